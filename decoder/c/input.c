#include "input.h"

#include <errno.h>
#include <libavutil/display.h>
#include <libavutil/mathematics.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define IO_BUFFER (1 << 16)

int fail(struct failure *f, const char *code, const char *format, ...)
{
    va_list list;
    f->code = code;
    va_start(list, format);
    vsnprintf(f->text, sizeof(f->text), format, list);
    va_end(list);
    return -1;
}

/* ---- FFmpeg's log: only the last error is kept ---- */

static pthread_mutex_t complaint_lock = PTHREAD_MUTEX_INITIALIZER;
static char complaint[256];
static _Thread_local unsigned complaint_count;

static void keep_complaint(void *context, int level, const char *format, va_list list)
{
    char text[sizeof(complaint)];
    (void)context;
    if (level > AV_LOG_ERROR)
        return;
    /* After an open group's start, H.264 asks to forget pictures that were never there: no harm is done. */
    complaint_count += strncmp(format, "mmco:", 5) != 0;
    vsnprintf(text, sizeof(text), format, list);
    text[strcspn(text, "\r\n")] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || (unsigned char)*c > 126)
            *c = '?';
    pthread_mutex_lock(&complaint_lock);
    memcpy(complaint, text, sizeof(complaint));
    pthread_mutex_unlock(&complaint_lock);
}

void complaints_install(void)
{
    av_log_set_level(AV_LOG_ERROR);
    av_log_set_callback(keep_complaint);
}

unsigned complaints_counted(void) { return complaint_count; }

const char *complaints_last(void)
{
    static char copy[sizeof(complaint)]; /* asked for by the main thread only */
    pthread_mutex_lock(&complaint_lock);
    memcpy(copy, complaint, sizeof(copy));
    pthread_mutex_unlock(&complaint_lock);
    return copy;
}

/* ---- reading file descriptor 0 ---- */

static int io_read(void *opaque, uint8_t *buffer, int size)
{
    struct input *in = opaque;
    for (;;) {
        ssize_t n = in->seekable ? pread(STDIN_FILENO, buffer, (size_t)size, (off_t)in->position)
                                 : read(STDIN_FILENO, buffer, (size_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return AVERROR(errno);
        in->position += n;
        return n == 0 ? AVERROR_EOF : (int)n;
    }
}

static int64_t io_seek(void *opaque, int64_t offset, int whence)
{
    struct input *in = opaque;
    if (whence & AVSEEK_SIZE)
        return in->size;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        offset += in->position;
        break;
    case SEEK_END:
        offset += in->size;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (offset < 0)
        return AVERROR(EINVAL);
    in->position = offset;
    return offset;
}

static const char *error_text(int error)
{
    static char text[AV_ERROR_MAX_STRING_SIZE];
    av_strerror(error, text, sizeof(text));
    return text;
}

static int is_encrypted(const AVStream *stream)
{
    const AVCodecParameters *p = stream->codecpar;
    return av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, AV_PKT_DATA_ENCRYPTION_INIT_INFO) ||
           p->codec_tag == MKTAG('e', 'n', 'c', 'v');
}

static int choose_track(struct input *in, const struct request *request, struct failure *f)
{
    AVFormatContext *format = in->format;
    int videos = 0, covers = 0, audios = 0;
    AVStream *best = NULL;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        AVStream *s = format->streams[i];
        if (s->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
            audios++;
        if (s->codecpar->codec_type != AVMEDIA_TYPE_VIDEO)
            continue;
        if (s->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)) {
            covers++;
            continue;
        }
        if (request->track >= 0) {
            if (videos == request->track)
                best = s;
        } else if (!best || (!(best->disposition & AV_DISPOSITION_DEFAULT) &&
                             (s->disposition & AV_DISPOSITION_DEFAULT))) {
            best = s;
        }
        videos++;
    }
    if (!videos && covers)
        return fail(f, "no-video", "the file has cover art but no moving picture");
    if (!videos && audios)
        return fail(f, "no-video", "the file has sound but no picture");
    if (!videos)
        return fail(f, "no-video", "the file has no video track");
    if (!best)
        return fail(f, "no-track", "track %d was asked for, the file has %d video track(s)", request->track, videos);
    in->stream = best;
    for (unsigned i = 0; i < format->nb_streams; i++)
        if (format->streams[i] != best)
            format->streams[i]->discard = AVDISCARD_ALL;
    return 0;
}

static int check_size(int64_t width, int64_t height, const struct request *request, struct failure *f)
{
    if (width > 0 && height > 0 && width * height > request->max_pixels)
        return fail(f, "too-large", "pictures of %lld x %lld pixels are over the limit of %lld pixels", (long long)width,
                    (long long)height, (long long)request->max_pixels);
    return 0;
}

static int refuse_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
    (void)format, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM);
}

/* A number as Matroska writes them: the first byte's leading zeros tell its length. */
static int64_t ebml_number(const uint8_t *data, size_t size, size_t *at)
{
    int length = 1;
    if (*at >= size)
        return -1;
    while (length <= 8 && !(data[*at] & (0x80 >> (length - 1))))
        length++;
    if (length > 8 || *at + (size_t)length > size)
        return -1;
    int64_t v = data[(*at)++] & (0x7F >> (length - 1));
    for (int i = 1; i < length; i++)
        v = v << 8 | data[(*at)++];
    return v == ((int64_t)1 << (7 * length)) - 1 ? -1 : v; /* all ones: not known */
}

/* Whether a Matroska file is shorter than its segment says. */
static int matroska_cut(int64_t file_size)
{
    uint8_t data[512];
    ssize_t got = pread(STDIN_FILENO, data, sizeof(data), 0);
    size_t size = got > 0 ? (size_t)got : 0, at = 4;
    if (size < 16 || memcmp(data, "\x1A\x45\xDF\xA3", 4))
        return 0;
    int64_t length = ebml_number(data, size, &at);
    if (length < 0 || length > (int64_t)(size - at) - 5 || memcmp(data + at + length, "\x18\x53\x80\x67", 4))
        return 0;
    at += (size_t)length + 4;
    length = ebml_number(data, size, &at);
    return length >= 0 && length > file_size - (int64_t)at;
}

static int open_container(struct input *in, int seekable, struct failure *f)
{
    uint8_t *buffer = av_malloc(IO_BUFFER);
    if (!buffer)
        return fail(f, "memory", "no memory for the input buffer");
    in->position = 0;
    in->io = avio_alloc_context(buffer, IO_BUFFER, 0, in, io_read, NULL, in->seekable ? io_seek : NULL);
    if (!in->io) {
        av_free(buffer);
        return fail(f, "memory", "no memory for the input");
    }
    if (!seekable)
        in->io->seekable = 0;
    in->format = avformat_alloc_context();
    if (!in->format)
        return fail(f, "memory", "no memory for the container");
    in->format->pb = in->io;
    in->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    /* A file may name others (external tracks, playlists): none is ever opened. */
    in->format->io_open = refuse_open;
    in->format->max_streams = 256;
    int error = avformat_open_input(&in->format, NULL, NULL, NULL);
    if (error == AVERROR(ENOMEM))
        return fail(f, "memory", "the container's index does not fit into the memory limit");
    if (error < 0)
        return fail(f, "not-a-video", "not a video that is understood here (%s)",
                    *complaints_last() ? complaints_last() : error_text(error));
    return 0;
}

static int open_format(struct input *in, const struct request *request, struct failure *f)
{
    if (open_container(in, in->seekable, f)) {
        struct failure again;
        if (!in->seekable || strcmp(f->code, "not-a-video"))
            return -1;
        /* A broken end can spoil the reading of a whole index; from front to back, what is before it comes. */
        input_close(in);
        if (open_container(in, 0, &again))
            return -1;
    }
    AVDictionary **options = NULL;
    unsigned streams = 0;
    int error;
    for (unsigned i = 0; i < in->format->nb_streams; i++)
        if (in->format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
            check_size(in->format->streams[i]->codecpar->width, in->format->streams[i]->codecpar->height, request, f))
            return -1;
    streams = in->format->nb_streams;
    if (streams) {
        options = av_calloc(streams, sizeof(*options));
        if (!options)
            return fail(f, "memory", "no memory for the tracks");
        for (unsigned i = 0; i < streams; i++)
            av_dict_set_int(&options[i], "max_pixels", request->max_pixels, 0);
    }
    error = avformat_find_stream_info(in->format, options);
    for (unsigned i = 0; i < streams; i++)
        av_dict_free(&options[i]);
    av_free(options);
    if (error == AVERROR(ENOMEM))
        return fail(f, "memory", "the container does not fit into the memory limit");
    if (error < 0)
        return fail(f, "not-a-video", "the container cannot be read (%s)", error_text(error));
    return 0;
}

int input_find(struct input *in, struct failure *f)
{
    struct stat status;
    memset(in, 0, sizeof(*in));
    if (fstat(STDIN_FILENO, &status))
        return fail(f, "io", "standard input is closed");
    if (S_ISDIR(status.st_mode))
        return fail(f, "io", "the input is a folder");
    in->seekable = S_ISREG(status.st_mode);
    in->size = in->seekable ? (int64_t)status.st_size : AVERROR(ENOSYS);
    if (in->seekable && in->size == 0)
        return fail(f, "empty", "the file is empty");
    in->cut = in->seekable && matroska_cut(in->size);
    return 0;
}

int input_open(struct input *in, const struct request *request, struct failure *f)
{
    if (open_format(in, request, f) || choose_track(in, request, f))
        return -1;

    const AVCodecParameters *p = in->stream->codecpar;
    if (is_encrypted(in->stream))
        return fail(f, "encrypted", "the video track is encrypted");
    if (p->codec_id == AV_CODEC_ID_NONE)
        return fail(f, "codec", "the video track's codec is not known");
    if (!avcodec_find_decoder(p->codec_id))
        return fail(f, "codec", "no decoder for %s in this build", avcodec_get_name(p->codec_id));
    if (check_size(p->width, p->height, request, f))
        return -1;
    if (in->stream->time_base.num <= 0 || in->stream->time_base.den <= 0)
        return fail(f, "not-a-video", "the video track has no clock");
    return 0;
}

void input_close(struct input *in)
{
    avformat_close_input(&in->format);
    if (in->io)
        av_freep(&in->io->buffer);
    avio_context_free(&in->io);
    in->stream = NULL;
}

int input_rewind(struct input *in, const struct request *request, struct failure *f)
{
    if (!in->seekable)
        return fail(f, "io", "the input cannot be read a second time");
    input_close(in);
    return open_format(in, request, f) || choose_track(in, request, f) ? -1 : 0;
}

int input_packet(struct input *in, AVPacket *packet)
{
    for (;;) {
        int error = av_read_frame(in->format, packet);
        if (error < 0 || packet->stream_index == in->stream->index)
            return error;
        av_packet_unref(packet);
    }
}

int input_decoder(const struct input *in, const struct request *request, int threads, AVCodecContext **out,
                  struct failure *f)
{
    const AVCodec *codec = avcodec_find_decoder(in->stream->codecpar->codec_id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!context)
        return fail(f, "memory", "no memory for the decoder");
    int error = avcodec_parameters_to_context(context, in->stream->codecpar);
    if (error >= 0) {
        context->pkt_timebase = in->stream->time_base;
        context->max_pixels = request->max_pixels;
        context->thread_count = threads;
        context->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
        error = avcodec_open2(context, codec, NULL);
    }
    if (error < 0) {
        avcodec_free_context(&context);
        return fail(f, error == AVERROR(ENOMEM) ? "memory" : "codec", "the %s decoder does not start (%s)", codec->name,
                    error_text(error));
    }
    *out = context;
    return 0;
}

struct turn input_turn(const AVStream *stream)
{
    struct turn turn = {0};
    const AVCodecParameters *p = stream->codecpar;
    const AVPacketSideData *side =
        av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    if (!side || side->size < 9 * sizeof(int32_t))
        return turn;
    /* Shown (x, y) = stored (x, y) times [a b; c d]. Only quarter turns and mirrors are applied. */
    const int32_t *m = (const int32_t *)side->data;
    int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    if (llabs(a) + llabs(d) >= llabs(b) + llabs(c)) {
        turn.flip_x = a < 0;
        turn.flip_y = d < 0;
    } else {
        turn.transpose = 1;
        turn.flip_x = c < 0;
        turn.flip_y = b < 0;
    }
    return turn;
}

void display_size(int width, int height, AVRational aspect, struct turn turn, int max_side, int *out_width,
                  int *out_height)
{
    int64_t w = width, h = height;
    /* Like players do: the lines stay, the width follows the pixel's shape. */
    if (aspect.num > 0 && aspect.den > 0 && aspect.num != aspect.den) {
        w = av_rescale(w, aspect.num, aspect.den);
        w = w < 1 ? 1 : w > (int64_t)width * 8 ? (int64_t)width * 8 : w;
    }
    if (turn.transpose) {
        int64_t swap = w;
        w = h;
        h = swap;
    }
    int64_t longer = w > h ? w : h;
    if (max_side > 0 && longer > max_side) {
        w = w * max_side / longer & ~1;
        h = h * max_side / longer & ~1;
        w = w < 2 ? 2 : w;
        h = h < 2 ? 2 : h;
    }
    *out_width = (int)w;
    *out_height = (int)h;
}

/* ---- the description ---- */

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
