#include "deinterlace.h"

#include <libavutil/common.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>

/* How far, in 8-bit steps, a sample may stand out between the lines above and below and still belong to them. */
#define TOLERANCE 8

int is_interlaced(const AVFrame *f)
{
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(f->format);
    /* Only planes of whole samples: every interlaced format that is in use. */
    return f->flags & AV_FRAME_FLAG_INTERLACED && pixel && f->height >= 4 &&
           !(pixel->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_BE |
                             AV_PIX_FMT_FLAG_FLOAT)) &&
           (pixel->nb_components == 1 || pixel->flags & AV_PIX_FMT_FLAG_PLANAR) && pixel->comp[0].shift == 0 &&
           (pixel->nb_components < 3 || pixel->comp[1].step == pixel->comp[0].step) &&
           pixel->comp[0].step == (pixel->comp[0].depth > 8 ? 2 : 1);
}

/* One code for samples of one and two bytes: `wide` is a constant where this is inlined. */
static inline __attribute__((always_inline)) int sample(const uint8_t *line, int x, int wide)
{
    return wide ? ((const uint16_t *)(const void *)line)[x] : line[x];
}

/* Between the second and the third of four lines, on a curve through all of them. */
static inline __attribute__((always_inline)) int between(const uint8_t *const lines[4], int x, int depth, int wide)
{
    int inner = sample(lines[1], x, wide) + sample(lines[2], x, wide);
    int outer = sample(lines[0], x, wide) + sample(lines[3], x, wide);
    return av_clip_uintp2((9 * inner - outer + 8) >> 4, depth);
}

/* `line` lies between the second and the third of the kept field's `lines`. `stands_out` has room for a line. */
static inline __attribute__((always_inline)) void fill(uint8_t *line, const uint8_t *const lines[4], int width, int depth,
                                                       int wide, uint8_t *stands_out)
{
    int tolerance = TOLERANCE << (depth - 8);
    for (int x = 0; x < width; x++) {
        int a = sample(lines[1], x, wide), b = sample(lines[2], x, wide), c = sample(line, x, wide);
        stands_out[x] = c > FFMAX(a, b) + tolerance || c < FFMIN(a, b) - tolerance;
    }
    for (int x = 0; x < width; x++) {
        /* Movement is wider than one sample; what is next to it is doubtful too. */
        if (!stands_out[x] && !(x > 0 && stands_out[x - 1]) && !(x + 1 < width && stands_out[x + 1]))
            continue;
        int v = between(lines, x, depth, wide);
        if (wide)
            ((uint16_t *)(void *)line)[x] = (uint16_t)v;
        else
            line[x] = (uint8_t)v;
    }
}

static void fill_plane(uint8_t *data, int stride, int width, int height, int kept, int depth, uint8_t *stands_out)
{
    for (int y = 1 - kept; y < height; y += 2) {
        uint8_t *line = data + (ptrdiff_t)y * stride;
        const uint8_t *lines[4];
        for (int i = 0; i < 4; i++) {
            /* At the rim the nearest line of the field stands for those beyond. */
            int at = y + 2 * i - 3;
            while (at < 0)
                at += 2;
            while (at >= height)
                at -= 2;
            lines[i] = data + (ptrdiff_t)at * stride;
        }
        if (depth > 8)
            fill(line, lines, width, depth, 1, stands_out);
        else
            fill(line, lines, width, depth, 0, stands_out);
    }
}

AVFrame *deinterlace(const AVFrame *frame)
{
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(frame->format);
    AVFrame *copy = av_frame_alloc();
    uint8_t *stands_out = malloc((size_t)frame->width);
    if (!copy || !stands_out)
        goto none;
    copy->format = frame->format;
    copy->width = frame->width;
    copy->height = frame->height;
    if (av_frame_get_buffer(copy, 0) < 0 || av_frame_copy(copy, frame) < 0 || av_frame_copy_props(copy, frame) < 0)
        goto none;
    /* The field that is shown first is the picture's own time. */
    int kept = frame->flags & AV_FRAME_FLAG_TOP_FIELD_FIRST ? 0 : 1;
    for (int plane = 0; plane < 4 && copy->data[plane]; plane++) {
        int chroma = plane == 1 || plane == 2;
        int width = chroma ? AV_CEIL_RSHIFT(copy->width, pixel->log2_chroma_w) : copy->width;
        int height = chroma ? AV_CEIL_RSHIFT(copy->height, pixel->log2_chroma_h) : copy->height;
        fill_plane(copy->data[plane], copy->linesize[plane], width, height, kept, pixel->comp[0].depth, stands_out);
    }
    free(stands_out);
    return copy;
none:
    free(stands_out);
    av_frame_free(&copy);
    return NULL;
}
