/* The Info message: what the film says of itself. */
#include <libavutil/mathematics.h>
#include <libavutil/pixdesc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "input.h"
#include "wire.h"

struct text {
    char bytes[4096];
    size_t length;
};

static void line(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text->bytes + text->length, sizeof(text->bytes) - text->length, format, list);
    va_end(list);
    /* A line that does not fit is left out whole. */
    if (n > 0 && (size_t)n < sizeof(text->bytes) - text->length)
        text->length += (size_t)n;
}

static const char *or_empty(const char *text) { return text ? text : ""; }

int input_describe(const struct input *in, const struct request *request)
{
    struct text t = {.length = 0};
    const AVStream *s = in->stream;
    const AVCodecParameters *p = s->codecpar;
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(p->format);
    struct turn turn = input_turn(s);
    AVRational aspect = s->sample_aspect_ratio.num ? s->sample_aspect_ratio : p->sample_aspect_ratio;
    AVRational rate = s->avg_frame_rate.num ? s->avg_frame_rate : s->r_frame_rate;
    int width, height, videos = 0, track = 0;
    display_size(p->width, p->height, aspect, turn, request->max_side, &width, &height);
    for (unsigned i = 0; i < in->format->nb_streams; i++) {
        const AVStream *o = in->format->streams[i];
        if (o->codecpar->codec_type != AVMEDIA_TYPE_VIDEO ||
            (o->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)))
            continue;
        if (o == s)
            track = videos;
        videos++;
    }
    line(&t, "protocol=%d\n", PICCHU_PROTOCOL);
    line(&t, "container=%s\n", in->format->iformat->name);
    line(&t, "codec=%s\n", avcodec_get_name(p->codec_id));
    line(&t, "profile=%s\n", or_empty(avcodec_profile_name(p->codec_id, p->profile)));
    line(&t, "stored_width=%d\nstored_height=%d\n", p->width, p->height);
    line(&t, "width=%d\nheight=%d\n", width, height);
    line(&t, "pixel_aspect=%d/%d\n", aspect.num > 0 ? aspect.num : 1, aspect.num > 0 && aspect.den > 0 ? aspect.den : 1);
    line(&t, "transpose=%d\nflip_x=%d\nflip_y=%d\n", turn.transpose, turn.flip_x, turn.flip_y);
    line(&t, "time_base=%d/%d\n", s->time_base.num, s->time_base.den);
    if (rate.num > 0 && rate.den > 0)
        line(&t, "frame_rate=%d/%d\n", rate.num, rate.den);
    if (s->start_time != AV_NOPTS_VALUE)
        line(&t, "start_pts=%lld\n", (long long)s->start_time);
    if (s->duration != AV_NOPTS_VALUE && s->duration > 0)
        line(&t, "duration_ns=%lld\n", (long long)av_rescale_q(s->duration, s->time_base, (AVRational){1, 1000000000}));
    else if (in->format->duration != AV_NOPTS_VALUE && in->format->duration > 0)
        line(&t, "duration_ns=%lld\n", (long long)av_rescale(in->format->duration, 1000, 1));
    if (s->nb_frames > 0)
        line(&t, "frames=%lld\n", (long long)s->nb_frames);
    if (pixel) {
        line(&t, "pixel_format=%s\nbit_depth=%d\nalpha=%d\n", pixel->name, pixel->comp[0].depth,
             !!(pixel->flags & AV_PIX_FMT_FLAG_ALPHA));
    }
    line(&t, "matrix=%s\n", or_empty(av_color_space_name(p->color_space)));
    line(&t, "primaries=%s\n", or_empty(av_color_primaries_name(p->color_primaries)));
    line(&t, "transfer=%s\n", or_empty(av_color_transfer_name(p->color_trc)));
    line(&t, "range=%s\n", or_empty(av_color_range_name(p->color_range)));
    line(&t, "interlaced=%d\n", p->field_order > AV_FIELD_PROGRESSIVE);
    line(&t, "tracks=%d\ntrack=%d\n", videos, track);
    return wire_info(t.bytes, t.length);
}
