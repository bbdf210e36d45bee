#include "pictures.h"

#include <string.h>

#include "av1.h"
#include "bits.h"
#include "units.h"

static int hevc_facts(struct picture_reader *r, const AVPacket *p, struct picture_facts *f)
{
    struct units u = {p->data, p->data + p->size, r->nal_length};
    const uint8_t *data;
    size_t size;
    int found, pictures = 0, slices = 0, sets = 0;
    while ((found = next_unit(&u, &data, &size)) > 0) {
        if (size < 3)
            continue;
        int type = data[0] >> 1 & 63, layer_id = (data[0] & 1) << 5 | data[1] >> 3, layer = (data[1] & 7) - 1;
        if (layer_id)
            continue;
        if (type == 33)
            sets |= 1;
        if (type == 34)
            sets |= 2;
        if (type >= 32)
            continue;
        slices++;
        pictures += data[2] >> 7; /* first slice of a picture */
        f->start = type >= 16 && type <= 21;
        f->skipped = type == 8 || type == 9;
        /* Even types below 16 are not needed within their own layer; higher layers are the caller's concern. */
        f->reference = !(type <= 14 && type % 2 == 0);
        f->layer = layer;
    }
    if (found < 0 || pictures != 1 || !slices)
        return -1;
    f->shown = 1;
    if (sets && !f->start)
        return -1;
    if (sets == 3)
        r->sets_inside = 1;
    else if (sets || (f->start && r->sets_inside))
        return -1;
    return 0;
}

static int mpeg2_facts(const AVPacket *p, struct picture_facts *f)
{
    const uint8_t *end = p->data + p->size, *at = start_code(p->data, end);
    int pictures = 0, sequence = 0, intra = 0;
    for (; end - at >= 6; at = start_code(at + 3, end)) {
        if (at[3] == 0xB3)
            sequence = 1;
        if (at[3] == 0) {
            int type = at[5] >> 3 & 7;
            if (type < 1 || type > 3)
                return -1;
            intra |= !pictures && type == 1;
            f->reference |= type != 3;
            pictures++;
        }
    }
    if (pictures < 1 || pictures > 2)
        return -1;
    f->start = intra && sequence;
    f->shown = 1;
    return 0;
}

static int mpeg4_facts(const AVPacket *p, struct picture_facts *f)
{
    const uint8_t *end = p->data + p->size, *at = start_code(p->data, end);
    int pictures = 0;
    for (; end - at >= 5; at = start_code(at + 3, end)) {
        if (at[3] != 0xB6)
            continue;
        pictures++;
        f->start = at[4] >> 6 == 0;
        f->reference = at[4] >> 6 != 2;
    }
    if (pictures != 1)
        return -1; /* packed or empty pictures */
    f->shown = 1;
    return 0;
}

static int vp8_facts(const AVPacket *p, struct picture_facts *f)
{
    if (p->size < 10)
        return -1;
    f->start = !(p->data[0] & 1);
    f->shown = p->data[0] >> 4 & 1;
    f->reference = 1;
    return 0;
}

static int vp9_facts(const AVPacket *p, struct picture_facts *f)
{
    if (p->size < 2)
        return -1;
    struct bits b = bits_of(p->data, (size_t)p->size);
    if (bits(&b, 2) != 2)
        return -1;
    unsigned profile = bit(&b);
    profile |= bit(&b) << 1;
    if (profile == 3)
        bit(&b);
    int existing = (int)bit(&b);
    int several = (p->data[p->size - 1] & 0xE0) == 0xC0;
    f->reference = 1;
    if (existing) {
        f->shown = 1;
    } else {
        f->start = !bit(&b);
        f->shown = (int)bit(&b) || several;
    }
    return 0;
}

int picture_reader_init(struct picture_reader *r, const AVCodecParameters *p)
{
    *r = (struct picture_reader){.codec = p->codec_id};
    const uint8_t *e = p->extradata;
    switch (p->codec_id) {
    case AV_CODEC_ID_H264:
        return h264_configure(&r->h264, e, (size_t)p->extradata_size);
    case AV_CODEC_ID_HEVC:
        if (p->extradata_size >= 23 && (e[0] || e[1] || e[2] > 1))
            r->nal_length = (e[21] & 3) + 1;
        return 0;
    case AV_CODEC_ID_AV1:
        /* Four bytes of settings, then a sequence header. */
        return p->extradata_size > 4 && e[0] == 0x81 ? av1_configure(&r->av1, e + 4, (size_t)p->extradata_size - 4) : 0;
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_MJPEG:
    case AV_CODEC_ID_PRORES:
    case AV_CODEC_ID_DNXHD:
    case AV_CODEC_ID_DVVIDEO:
    case AV_CODEC_ID_HUFFYUV:
    case AV_CODEC_ID_FFVHUFF:
    case AV_CODEC_ID_RAWVIDEO:
        return 0;
    default:
        return -1;
    }
}

int picture_facts(struct picture_reader *r, const AVPacket *p, struct picture_facts *f)
{
    memset(f, 0, sizeof(*f));
    if (!p->data || p->size <= 0)
        return -1;
    f->picture = r->pictures++;
    switch (r->codec) {
    case AV_CODEC_ID_H264:
        return h264_facts(&r->h264, p->data, (size_t)p->size, f);
    case AV_CODEC_ID_HEVC:
        return hevc_facts(r, p, f);
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
        return mpeg2_facts(p, f);
    case AV_CODEC_ID_MPEG4:
        return mpeg4_facts(p, f);
    case AV_CODEC_ID_VP8:
        return vp8_facts(p, f);
    case AV_CODEC_ID_VP9:
        return vp9_facts(p, f);
    case AV_CODEC_ID_AV1:
        return av1_facts(&r->av1, p->data, (size_t)p->size, f);
    default: /* every picture stands alone */
        f->start = f->reference = f->shown = 1;
        return 0;
    }
}

void picture_reader_jump(struct picture_reader *r)
{
    if (r->codec == AV_CODEC_ID_H264)
        h264_jump(&r->h264);
}

AVPacket *picture_shell(const struct picture_reader *r, const AVPacket *p, const struct picture_facts *f)
{
    /* No slice's content begins like this, so that decoding it ends at once; the last byte closes the unit. */
    static const uint8_t nothing[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x80};
    size_t before = (size_t)r->h264.length_bytes, size = f->header_end + sizeof(nothing), unit = size - f->slice;
    if (!f->header_end || f->header_end > (size_t)p->size || (before && before < 4 && unit >> (8 * before)))
        return NULL;
    AVPacket *shell = av_packet_alloc();
    if (!shell || av_new_packet(shell, (int)size) || av_packet_copy_props(shell, p)) {
        av_packet_free(&shell);
        return NULL;
    }
    memcpy(shell->data, p->data, f->header_end);
    memcpy(shell->data + f->header_end, nothing, sizeof(nothing));
    for (size_t i = 0; i < before; i++)
        shell->data[f->slice - 1 - i] = (uint8_t)(unit >> (8 * i));
    return shell;
}
