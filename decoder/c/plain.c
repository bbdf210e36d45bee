/* The plain way: every packet, in order, through one decoder. What it delivers is the definition of right. */
#include <libavutil/avutil.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

/* Packets in a row that may fail before the film is given up. */
#define MAX_LOST 4096

struct plain {
    struct run *run;
    struct failure *failure;
    struct converter converter;
    AVFrame *previous;    /* shown until the next frame's time */
    int64_t previous_pts;
    int sent;             /* `previous` went out already, so a repeat suffices */
    int64_t lost_from;    /* time of the first packet that failed since `previous`, or AV_NOPTS_VALUE */
    int64_t gap_from;     /* the same, until the gap was told */
    uint64_t gap_samples;
    char reason[256];
    uint64_t keys_or_all; /* pictures seen in range, for those policies */
    int finished;
    enum outcome outcome;
};

static enum outcome stop(struct plain *p, enum outcome outcome)
{
    p->finished = 1;
    p->outcome = outcome;
    return outcome;
}

static void emit(struct plain *p, uint64_t sample, const AVFrame *frame, int64_t pts)
{
    struct run *run = p->run;
    struct picture picture = {.pts = pts, .ticks = pts - run->first_pts, .duration = frame->duration, .flags = flags_of(frame)};
    if (p->sent) {
        if (wire_repeat(sample))
            stop(p, OUTCOME_GONE);
    } else {
        if (say_notes(run, notes_of(run, frame))) {
            stop(p, OUTCOME_GONE);
            return;
        }
        if (convert(&p->converter, frame, &picture, p->failure)) {
            stop(p, OUTCOME_FAILED);
            return;
        }
        if (wire_frame(sample, &picture))
            stop(p, OUTCOME_GONE);
        free(picture.rgb);
    }
    p->sent = 1;
    run->counts.samples++;
    run->next_sample = sample + 1;
}

static int by_time(const struct request *r) { return r->policy == POLICY_GRID || r->policy == POLICY_TIMES; }

/* Everything wanted before `until` is answered by the previous frame, or lies in a gap. */
static void answer(struct plain *p, int64_t until, int inclusive)
{
    struct run *run = p->run;
    int64_t tick;
    while (!p->finished) {
        if (!request_tick(&run->request, run->input.stream->time_base, run->next_sample, &tick)) {
            stop(p, OUTCOME_DONE);
            return;
        }
        int64_t wanted = run->first_pts + tick;
        if (inclusive ? wanted > until : wanted >= until)
            return;
        if (p->lost_from != AV_NOPTS_VALUE && wanted >= p->lost_from) {
            p->gap_samples++;
            run->next_sample++;
        } else {
            emit(p, run->next_sample, p->previous, p->previous_pts);
        }
    }
}

static void tell_gap(struct plain *p, int64_t to)
{
    if (p->gap_from == AV_NOPTS_VALUE)
        return;
    if (wire_gap(p->gap_from - p->run->first_pts, to == INT64_MAX ? to : to - p->run->first_pts, p->gap_samples, p->reason))
        stop(p, OUTCOME_GONE);
    p->gap_from = p->lost_from = AV_NOPTS_VALUE;
    p->gap_samples = 0;
}

static void lost(struct plain *p, int64_t pts, int error)
{
    char why[AV_ERROR_MAX_STRING_SIZE] = "";
    if (p->run->first_pts == AV_NOPTS_VALUE || pts == AV_NOPTS_VALUE)
        return;
    if (p->previous->width && pts <= p->previous_pts)
        pts = p->previous_pts + 1;
    if (p->lost_from == AV_NOPTS_VALUE || pts < p->lost_from)
        p->gap_from = p->lost_from = pts;
    av_strerror(error, why, sizeof(why));
    snprintf(p->reason, sizeof(p->reason), "the pictures could not be decoded (%s)", why);
}

static void offer(struct plain *p, AVFrame *frame)
{
    struct run *run = p->run;
    const struct request *r = &run->request;
    AVRational tb = run->input.stream->time_base;
    int64_t pts = frame->pts != AV_NOPTS_VALUE ? frame->pts : frame->best_effort_timestamp;
    int has_previous = p->previous->width > 0;
    if (pts == AV_NOPTS_VALUE)
        pts = has_previous ? p->previous_pts + (p->previous->duration > 0 ? p->previous->duration : 1) : 0;
    if (run->first_pts == AV_NOPTS_VALUE)
        run->first_pts = pts;
    if (has_previous && pts < p->previous_pts) {
        if (say_notes(run, NOTE_BACKWARDS))
            stop(p, OUTCOME_GONE);
        return;
    }
    if (by_time(r)) {
        if (has_previous)
            answer(p, pts, 0);
        if (p->finished)
            return;
        tell_gap(p, pts);
        av_frame_unref(p->previous);
        av_frame_move_ref(p->previous, frame);
        p->previous_pts = pts;
        p->sent = 0;
        return;
    }
    tell_gap(p, pts);
    int64_t ticks = pts - run->first_pts;
    if (ticks >= ticks_of_ns(r->end_ns, tb, 1)) {
        stop(p, OUTCOME_DONE);
        return;
    }
    if (ticks >= ticks_of_ns(r->start_ns, tb, 1) && (r->policy == POLICY_ALL || frame->flags & AV_FRAME_FLAG_KEY)) {
        uint64_t sample = p->keys_or_all++;
        if (sample >= r->limit) {
            stop(p, OUTCOME_DONE);
            return;
        }
        if (sample >= run->next_sample) {
            p->sent = 0;
            emit(p, sample, frame, pts);
        }
        if (p->keys_or_all >= r->limit)
            stop(p, OUTCOME_DONE);
    }
    av_frame_unref(p->previous);
    av_frame_move_ref(p->previous, frame);
    p->previous_pts = pts;
}

static void drain(struct plain *p, AVCodecContext *decoder, AVFrame *frame)
{
    while (!p->finished) {
        int error = avcodec_receive_frame(decoder, frame);
        if (error == AVERROR(ENOMEM)) {
            fail(p->failure, "memory", "decoding does not fit into the memory limit");
            stop(p, OUTCOME_FAILED);
        }
        if (error == AVERROR(EAGAIN) || error == AVERROR_EOF)
            return;
        if (error < 0) {
            /* The time of the picture that failed is not known: just after the last one. */
            lost(p, p->previous_pts + 1, error);
            continue;
        }
        offer(p, frame);
        av_frame_unref(frame);
    }
}

static void finish(struct plain *p, int truncated)
{
    struct run *run = p->run;
    if (run->first_pts == AV_NOPTS_VALUE) {
        const char *why = complaints_last();
        fail(p->failure, "no-frames", "no picture could be decoded (%s)", *why ? why : "the film is empty");
        stop(p, OUTCOME_FAILED);
        return;
    }
    if (by_time(&run->request))
        answer(p, p->previous_pts, 1);
    if (p->finished)
        return;
    int64_t end = p->previous_pts + (p->previous->duration > 0 ? p->previous->duration : 1);
    if (p->gap_from != AV_NOPTS_VALUE && p->gap_from > end)
        end = p->gap_from;
    truncated |= p->gap_from != AV_NOPTS_VALUE;
    stop(p, tell_missing_end(run, end, truncated, p->reason) ? OUTCOME_GONE : OUTCOME_DONE);
}

static int encrypted(const AVPacket *packet)
{
    return av_packet_side_data_get(packet->side_data, packet->side_data_elems, AV_PKT_DATA_ENCRYPTION_INFO) != NULL;
}

enum outcome decode_plainly(struct run *run, struct failure *failure)
{
    struct plain p = {.run = run, .failure = failure, .lost_from = AV_NOPTS_VALUE, .gap_from = AV_NOPTS_VALUE};
    AVCodecContext *decoder = NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int error = 0, failures = 0, truncated = 0;
    p.previous = av_frame_alloc();
    converter_init(&p.converter, &run->input, &run->request);
    if (!packet || !frame || !p.previous) {
        fail(failure, "memory", "no memory to start decoding");
        stop(&p, OUTCOME_FAILED);
    } else if (input_decoder(&run->input, &run->request, run->request.workers, &decoder, failure)) {
        stop(&p, OUTCOME_FAILED);
    }
    if (!p.finished && (run->request.limit == 0))
        stop(&p, OUTCOME_DONE);

    while (!p.finished) {
        error = input_packet(&run->input, packet);
        if (error == AVERROR(EAGAIN))
            continue;
        if (error < 0) {
            truncated = error != AVERROR_EOF;
            break;
        }
        run->counts.packets++;
        if (encrypted(packet)) {
            fail(failure, "encrypted", "the video track is encrypted");
            stop(&p, OUTCOME_FAILED);
            break;
        }
        int64_t pts = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
        do {
            error = avcodec_send_packet(decoder, packet);
            drain(&p, decoder, frame);
        } while (error == AVERROR(EAGAIN) && !p.finished);
        run->counts.fed++;
        av_packet_unref(packet);
        if (error == AVERROR(ENOMEM)) {
            fail(failure, "memory", "decoding does not fit into the memory limit");
            stop(&p, OUTCOME_FAILED);
        } else if (error < 0 && error != AVERROR(EAGAIN)) {
            lost(&p, pts, error);
            if (++failures >= MAX_LOST && run->first_pts == AV_NOPTS_VALUE) {
                fail(failure, "no-frames", "no picture could be decoded (%s)", complaints_last());
                stop(&p, OUTCOME_FAILED);
            }
        }
    }
    if (!p.finished) {
        error = avcodec_send_packet(decoder, NULL);
        if (error >= 0)
            drain(&p, decoder, frame);
    }
    if (!p.finished)
        finish(&p, truncated);

    avcodec_free_context(&decoder);
    av_packet_free(&packet);
    av_frame_free(&frame);
    av_frame_free(&p.previous);
    converter_free(&p.converter);
    return p.outcome;
}
