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
static int matroska_cut(const struct bytes *bytes)
{
    uint8_t data[512];
    size_t size = bytes_peek(bytes, data, sizeof(data)), at = 4;
    if (size < 16 || memcmp(data, "\x1A\x45\xDF\xA3", 4))
        return 0;
    int64_t length = ebml_number(data, size, &at);
    if (length < 0 || length > (int64_t)(size - at) - 5 || memcmp(data + at + length, "\x18\x53\x80\x67", 4))
        return 0;
    at += (size_t)length + 4;
    length = ebml_number(data, size, &at);
    return length >= 0 && length > bytes->size - (int64_t)at;
}

static int open_container(struct input *in, int seekable, struct failure *f)
{
    uint8_t *buffer = av_malloc(IO_BUFFER);
    if (!buffer)
        return fail(f, "memory", "no memory for the input buffer");
    in->bytes.position = 0;
    in->io = avio_alloc_context(buffer, IO_BUFFER, 0, &in->bytes, bytes_read, NULL,
                                in->bytes.seekable ? bytes_seek : NULL);
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
    if (open_container(in, in->bytes.seekable, f)) {
        struct failure again;
        if (!in->bytes.seekable || strcmp(f->code, "not-a-video"))
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

int input_open(struct input *in, const struct request *request, struct failure *f)
{
    in->cut = in->bytes.seekable && matroska_cut(&in->bytes);
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
    if (!in->bytes.seekable)
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
        /* The AV1 decoder's several pictures at once have been seen to lose some; its tiles at once are right. */
        if (codec->id == AV_CODEC_ID_AV1 && context->priv_data)
            av_opt_set_int(context->priv_data, "max_frame_delay", 1, 0);
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
