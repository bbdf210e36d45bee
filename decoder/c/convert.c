#include "convert.h"

#include "deinterlace.h"

#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Vector code works on whole groups of pixels and leaves a line's rest out unless there is room for a whole group;
 * it may also write past the last line's end. */
#define GROUP 16
#define PADDING 256
#define TABLE 4096

/* Tables that bring HDR signals down to what an ordinary screen shows. */
struct tone {
    enum AVColorTransferCharacteristic transfer;
    float linear[TABLE];   /* signal to light, 1.0 is reference white (203 nits) */
    uint8_t encode[TABLE]; /* square root of light (0..1) to an sRGB byte */
};

void converter_init(struct converter *c, const struct input *in, const struct request *request)
{
    const AVStream *s = in->stream;
    memset(c, 0, sizeof(*c));
    c->turn = input_turn(s);
    c->aspect = s->sample_aspect_ratio.num ? s->sample_aspect_ratio : s->codecpar->sample_aspect_ratio;
    c->max_side = request->max_side;
    c->max_pixels = request->max_pixels;
}

void converter_free(struct converter *c)
{
    sws_freeContext(c->scaler);
    free(c->tone);
    c->scaler = NULL;
    c->tone = NULL;
}

static int is_hdr(const AVFrame *frame)
{
    return frame->color_trc == AVCOL_TRC_SMPTE2084 || frame->color_trc == AVCOL_TRC_ARIB_STD_B67;
}

static struct tone *tone_new(enum AVColorTransferCharacteristic transfer)
{
    struct tone *t = malloc(sizeof(*t));
    if (!t)
        return NULL;
    t->transfer = transfer;
    for (int i = 0; i < TABLE; i++) {
        double e = i / (TABLE - 1.0);
        if (transfer == AVCOL_TRC_SMPTE2084) { /* SMPTE ST 2084 */
            double p = pow(e, 32.0 / 2523.0);
            double top = p - 3424.0 / 4096.0;
            t->linear[i] = (float)(10000.0 / 203.0 * pow((top > 0 ? top : 0) / (2413.0 / 128.0 - 2392.0 / 128.0 * p), 16384.0 / 2610.0));
        } else { /* ARIB STD-B67, scene light 0..1 */
            const double a = 0.17883277, b = 0.28466892, c = 0.55991073;
            t->linear[i] = (float)(e <= 0.5 ? e * e / 3 : (exp((e - c) / a) + b) / 12);
        }
        double light = e * e;
        double signal = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
        t->encode[i] = (uint8_t)(signal * 255 + 0.5);
    }
    return t;
}

static uint8_t encode(const struct tone *t, float light)
{
    light = light < 0 ? 0 : light > 1 ? 1 : light;
    return t->encode[(int)(sqrtf(light) * (TABLE - 1) + 0.5f)];
}

/* One line of 16-bit RGB to 8-bit: light, tone curve on the brightest channel (hues stay), BT.2020 to BT.709. */
static void tone_line(const struct tone *t, const uint16_t *in, uint8_t *out, int width, int wide)
{
    const float knee = 0.75f;
    for (int x = 0; x < width; x++, in += 3, out += 3) {
        float r = t->linear[in[0] >> 4], g = t->linear[in[1] >> 4], b = t->linear[in[2] >> 4];
        if (t->transfer == AVCOL_TRC_ARIB_STD_B67) { /* the nominal 1000 nit screen */
            float y = 0.2627f * r + 0.6780f * g + 0.0593f * b;
            float gain = 1000.0f / 203.0f * (y > 0 ? powf(y, 0.2f) : 0);
            r *= gain, g *= gain, b *= gain;
        }
        float top = r > g ? (r > b ? r : b) : (g > b ? g : b);
        if (top > knee) {
            float over = (top - knee) / (1 - knee);
            float scale = (knee + (1 - knee) * over / (1 + over)) / top;
            r *= scale, g *= scale, b *= scale;
        }
        if (wide) {
            float r2 = 1.660491f * r - 0.587641f * g - 0.072850f * b;
            float g2 = -0.124550f * r + 1.132900f * g - 0.008349f * b;
            float b2 = -0.018151f * r - 0.100579f * g + 1.118730f * b;
            r = r2, g = g2, b = b2;
        }
        out[0] = encode(t, r);
        out[1] = encode(t, g);
        out[2] = encode(t, b);
    }
}

/* Transparent pixels show black. */
static void blend_line(const uint8_t *in, uint8_t *out, int width)
{
    for (int x = 0; x < width; x++, in += 4, out += 3)
        for (int i = 0; i < 3; i++)
            out[i] = (uint8_t)((in[i] * in[3] + 127) / 255);
}

static void turn_pixels(const uint8_t *in, uint8_t *out, int width, int height, struct turn turn)
{
    /* `width` and `height` are the result's. */
    for (int y = 0; y < height; y++) {
        int sy = turn.flip_y ? height - 1 - y : y;
        for (int x = 0; x < width; x++, out += 3) {
            int sx = turn.flip_x ? width - 1 - x : x;
            const uint8_t *from = in + 3 * (turn.transpose ? (size_t)sx * height + sy : (size_t)sy * width + sx);
            memcpy(out, from, 3);
        }
    }
}

/* What the stream does not say is BT.601, as everywhere in FFmpeg: docs/decisions/0012. */
static int matrix_of(const AVFrame *frame)
{
    switch (frame->colorspace) {
    case AVCOL_SPC_BT709:
        return SWS_CS_ITU709;
    case AVCOL_SPC_FCC:
        return SWS_CS_FCC;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
        return SWS_CS_ITU601;
    case AVCOL_SPC_SMPTE240M:
        return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return SWS_CS_BT2020;
    default:
        return SWS_CS_ITU601;
    }
}

static int is_full_range(const AVFrame *frame)
{
    switch (frame->format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ411P:
        return 1;
    default:
        return frame->color_range == AVCOL_RANGE_JPEG;
    }
}

static int prepare(struct converter *c, const AVFrame *f, int width, int height, enum AVPixelFormat format)
{
    int matrix = matrix_of(f), full = is_full_range(f);
    int key[8] = {f->width, f->height, f->format, width, height, format, matrix, full};
    if (c->scaler && memcmp(key, c->key, sizeof(key)) == 0)
        return 0;
    sws_freeContext(c->scaler);
    int shrinks = width < f->width || height < f->height;
    int flags = width == f->width && height == f->height ? SWS_BICUBIC : (shrinks ? SWS_AREA : SWS_BICUBIC) | SWS_ACCURATE_RND;
    c->scaler = sws_getContext(f->width, f->height, f->format, width, height, format, flags, NULL, NULL, NULL);
    if (!c->scaler)
        return -1;
    memcpy(c->key, key, sizeof(key));
    /* Refused for RGB and grey sources, which need no matrix. */
    sws_setColorspaceDetails(c->scaler, sws_getCoefficients(matrix), full, sws_getCoefficients(SWS_CS_DEFAULT), 1, 0,
                             1 << 16, 1 << 16);
    return 0;
}

static int convert_frame(struct converter *c, const AVFrame *frame, struct picture *picture, struct failure *f)
{
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(frame->format);
    AVRational aspect = c->aspect.num > 0 ? c->aspect : frame->sample_aspect_ratio;
    int out_width, out_height, width, height;
    if (!pixel || frame->width <= 0 || frame->height <= 0)
        return fail(f, "pixels", "a picture has no known pixel format");
    display_size(frame->width, frame->height, aspect, c->turn, c->max_side, &out_width, &out_height);
    if ((int64_t)out_width * out_height > c->max_pixels)
        return fail(f, "too-large", "pictures of %d x %d pixels are over the limit of %lld pixels", out_width, out_height,
                    (long long)c->max_pixels);
    width = c->turn.transpose ? out_height : out_width;
    height = c->turn.transpose ? out_width : out_height;

    int hdr = is_hdr(frame), alpha = !hdr && (pixel->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL));
    int turned = c->turn.transpose || c->turn.flip_x || c->turn.flip_y;
    size_t pixels = (size_t)width * height, line = 3 * (size_t)width;
    size_t stride = ((size_t)width + GROUP - 1) / GROUP * GROUP * (hdr ? 6 : alpha ? 4 : 3);
    uint8_t *rgb = NULL, *first = malloc(stride * height + PADDING);
    if (!first)
        return fail(f, "memory", "no memory for a picture of %d x %d pixels", width, height);
    if (prepare(c, frame, width, height, hdr ? AV_PIX_FMT_RGB48 : alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24)) {
        free(first);
        return fail(f, "pixels", "pictures in %s cannot be converted", pixel->name);
    }
    uint8_t *planes[4] = {first};
    int strides[4] = {(int)stride};
    if (sws_scale(c->scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, planes, strides) !=
        height) {
        free(first);
        return fail(f, "pixels", "a picture could not be converted");
    }
    if (hdr) {
        if (!c->tone || c->tone->transfer != frame->color_trc) {
            free(c->tone);
            c->tone = tone_new(frame->color_trc);
            if (!c->tone) {
                free(first);
                return fail(f, "memory", "no memory for the tone tables");
            }
        }
        /* In place, like the others below: a line of the result is shorter, so it never overtakes its source. */
        for (int y = 0; y < height; y++)
            tone_line(c->tone, (const uint16_t *)(void *)(first + y * stride), first + y * line, width,
                      frame->color_primaries == AVCOL_PRI_BT2020);
    } else if (alpha) {
        for (int y = 0; y < height; y++)
            blend_line(first + y * stride, first + y * line, width);
    } else if (stride != line) {
        for (int y = 1; y < height; y++)
            memmove(first + y * line, first + y * stride, line);
    }
    if (turned) {
        rgb = malloc(pixels * 3);
        if (!rgb) {
            free(first);
            return fail(f, "memory", "no memory for a picture of %d x %d pixels", width, height);
        }
        turn_pixels(first, rgb, out_width, out_height, c->turn);
        free(first);
        first = rgb;
    }
    picture->width = (uint32_t)out_width;
    picture->height = (uint32_t)out_height;
    picture->rgb = first;
    return 0;
}

int convert(struct converter *c, const AVFrame *frame, struct picture *picture, struct failure *f)
{
    if (!is_interlaced(frame))
        return convert_frame(c, frame, picture, f);
    AVFrame *whole = deinterlace(frame);
    if (!whole)
        return fail(f, "memory", "no memory for a picture of %d x %d pixels", frame->width, frame->height);
    int error = convert_frame(c, whole, picture, f);
    av_frame_free(&whole);
    return error;
}
