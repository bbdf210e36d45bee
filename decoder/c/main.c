/* picchu-decode: the film on standard input, the wish on the command line, pictures on standard output. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libavutil/pixdesc.h>
#include <unistd.h>

#include "decode.h"
#include "sandbox.h"

int note_once(struct run *run, enum note note, const char *code, const char *text)
{
    if (run->notes & note)
        return 0;
    run->notes |= note;
    return wire_note(code, text);
}

int note_frame(struct run *run, const AVFrame *frame)
{
    const AVCodecParameters *p = run->input.stream->codecpar;
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(frame->format);
    AVRational aspect = frame->sample_aspect_ratio;
    int gone = 0;
    if (frame->color_trc == AVCOL_TRC_SMPTE2084)
        gone |= note_once(run, NOTE_HDR, "hdr-pq", "high dynamic range (PQ), tone-mapped to an ordinary screen");
    if (frame->color_trc == AVCOL_TRC_ARIB_STD_B67)
        gone |= note_once(run, NOTE_HDR, "hdr-hlg", "high dynamic range (HLG), tone-mapped to an ordinary screen");
    if (frame->flags & AV_FRAME_FLAG_INTERLACED)
        gone |= note_once(run, NOTE_INTERLACED, "interlaced", "interlaced pictures, delivered with both fields as stored");
    if (frame->width != p->width || frame->height != p->height)
        gone |= note_once(run, NOTE_RESIZED, "size-change", "the picture size changes within the film; frames keep their own");
    if (pixel && pixel->flags & AV_PIX_FMT_FLAG_ALPHA)
        gone |= note_once(run, NOTE_ALPHA, "alpha", "transparent pixels are shown on black");
    if (aspect.num > 0 && aspect.den > 0 && aspect.num != aspect.den)
        gone |= note_once(run, NOTE_ASPECT, "pixel-aspect", "pixels are not square; pictures are widened to the shape a player shows");
    return gone ? -1 : 0;
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

static enum outcome decode(struct run *run, struct failure *failure)
{
    enum outcome outcome = OUTCOME_PLAIN;
    if (run->request.policy == POLICY_PROBE)
        return OUTCOME_DONE;
    if (!run->request.plain && run->input.seekable) {
        outcome = decode_by_plan(run, failure);
        if (outcome == OUTCOME_PLAIN) {
            run->counts.planned = 0;
            run->first_pts = AV_NOPTS_VALUE;
            if (run->counts.packets && input_rewind(&run->input, &run->request, failure))
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
    } else if (input_find(&run.input, &failure) == 0) {
        complaints_install();
        run.next_sample = run.request.skip;
        widen_pipe();
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
