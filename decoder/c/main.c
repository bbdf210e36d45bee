/* picchu-decode: the film on standard input, the wish on the command line, pictures on standard output. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libavutil/mathematics.h>
#include <libavutil/pixdesc.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <unistd.h>

#include "decode.h"
#include "sandbox.h"

unsigned notes_of(const struct run *run, const AVFrame *frame)
{
    const AVCodecParameters *p = run->input.stream->codecpar;
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(frame->format);
    AVRational aspect = frame->sample_aspect_ratio;
    return (frame->color_trc == AVCOL_TRC_SMPTE2084 ? NOTE_PQ : 0) |
           (frame->color_trc == AVCOL_TRC_ARIB_STD_B67 ? NOTE_HLG : 0) |
           (frame->flags & AV_FRAME_FLAG_INTERLACED ? NOTE_INTERLACED : 0) |
           (frame->width != p->width || frame->height != p->height ? NOTE_RESIZED : 0) |
           (pixel && pixel->flags & AV_PIX_FMT_FLAG_ALPHA ? NOTE_ALPHA : 0) |
           (aspect.num > 0 && aspect.den > 0 && aspect.num != aspect.den ? NOTE_ASPECT : 0);
}

int say_notes(struct run *run, unsigned notes)
{
    static const struct {
        enum note note;
        const char *code, *text;
    } words[] = {
        {NOTE_PQ, "hdr-pq", "high dynamic range (PQ), tone-mapped to an ordinary screen"},
        {NOTE_HLG, "hdr-hlg", "high dynamic range (HLG), tone-mapped to an ordinary screen"},
        {NOTE_INTERLACED, "interlaced", "interlaced pictures; each shows its first field, filled in with what fits of the other"},
        {NOTE_RESIZED, "size-change", "the picture size changes within the film; frames keep their own"},
        {NOTE_ALPHA, "alpha", "transparent pixels are shown on black"},
        {NOTE_ASPECT, "pixel-aspect", "pixels are not square; pictures are widened to the shape a player shows"},
        {NOTE_BACKWARDS, "clock-backwards", "the film's clock jumps back; pictures that would come twice are left out"},
    };
    notes &= ~run->notes;
    run->notes |= notes;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (notes & words[i].note && wire_note(words[i].code, words[i].text))
            return -1;
    return 0;
}

int tell_missing_end(struct run *run, int64_t end, int truncated, const char *reason)
{
    const struct request *r = &run->request;
    const AVStream *s = run->input.stream;
    int64_t promised = s->duration > 0 && s->start_time != AV_NOPTS_VALUE ? s->start_time + s->duration : end;
    if (run->input.cut && run->input.format->duration > 0)
        promised = run->first_pts + av_rescale_q(run->input.format->duration, AV_TIME_BASE_Q, s->time_base);
    int64_t slack = av_rescale(s->time_base.den, 1, (int64_t)s->time_base.num * 4); /* a quarter of a second */
    int64_t to = promised > end ? promised : INT64_MAX, tick;
    uint64_t lost = 0;
    if (!truncated && !run->input.cut && promised <= end + slack)
        return 0;
    if (to != INT64_MAX && (r->policy == POLICY_GRID || r->policy == POLICY_TIMES))
        for (; request_tick(r, s->time_base, run->next_sample, &tick) && run->first_pts + tick < to; run->next_sample++)
            lost++;
    return wire_gap(end - run->first_pts, to == INT64_MAX ? to : to - run->first_pts, lost,
                    *reason ? reason : "the file ends before the film does");
}

uint32_t flags_of(const AVFrame *frame)
{
    return (frame->flags & AV_FRAME_FLAG_KEY ? FRAME_KEY : 0) |
           (frame->flags & AV_FRAME_FLAG_CORRUPT || frame->decode_error_flags ? FRAME_DAMAGED : 0) |
           (frame->flags & AV_FRAME_FLAG_INTERLACED ? FRAME_INTERLACED : 0);
}

/* One picture crosses in a few steps instead of a hundred. */
static void widen_pipe(void)
{
#ifdef F_SETPIPE_SZ
    (void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
#endif
}

/* Pictures come and go in the same few sizes: their memory is kept instead of being asked for, and cleared, anew. */
static void keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

static enum outcome decode(struct run *run, struct failure *failure)
{
    enum outcome outcome = OUTCOME_PLAIN;
    if (run->request.policy == POLICY_PROBE)
        return OUTCOME_DONE;
    if (!run->request.plain && run->input.bytes.seekable) {
        outcome = decode_by_plan(run, failure);
        if (outcome == OUTCOME_PLAIN) {
            run->first_pts = AV_NOPTS_VALUE;
            /* Only a plan that began has read packets. */
            int began = (int)run->counts.planned;
            run->counts.planned = 0;
            if (began && input_rewind(&run->input, &run->request, failure))
                return OUTCOME_FAILED;
        }
    }
    return outcome == OUTCOME_PLAIN ? decode_plainly(run, failure) : outcome;
}

int main(int argc, char **argv)
{
    struct run run = {.first_pts = AV_NOPTS_VALUE};
    struct failure failure = {.code = "internal", .text = ""};
    const char *wrong = "";
    enum outcome outcome = OUTCOME_FAILED;
    if (request_parse(&run.request, argc, argv, &wrong)) {
        fail(&failure, "request", "this request is not understood: %.200s", wrong);
    } else if (bytes_find(&run.input.bytes, &run.request, &failure) == 0) {
        complaints_install();
        run.next_sample = run.request.skip;
        widen_pipe();
        keep_memory();
        sandbox_enter(&run.request);
        if (input_open(&run.input, &run.request, &failure) == 0)
            outcome = input_describe(&run.input, &run.request) ? OUTCOME_GONE : decode(&run, &failure);
    }
    if (outcome == OUTCOME_DONE && wire_end(&run.counts))
        outcome = OUTCOME_GONE;
    if (outcome == OUTCOME_FAILED && wire_error(failure.code, failure.text))
        outcome = OUTCOME_GONE;
    input_close(&run.input);
    request_free(&run.request);
    return outcome == OUTCOME_DONE ? 0 : 1;
}
