#include "pictures.h"

#include <string.h>

#include "av1.h"
#include "bits.h"

static unsigned golomb(struct bits *b)
{
    int zeros = 0;
    while (!b->broken && zeros < 32 && !bit(b))
        zeros++;
    if (b->broken || zeros > 31) {
        b->broken = 1;
        return 0;
    }
    return (unsigned)((1ull << zeros) - 1 + bits(b, zeros));
}

static void skip_scaling_list(struct bits *b, int size)
{
    int last = 8, next = 8;
    for (int i = 0; i < size && !b->broken; i++) {
        if (next) {
            unsigned code = golomb(b);
            int delta = code & 1 ? (int)(code / 2 + 1) : -(int)(code / 2);
            next = (last + delta + 256) & 255;
        }
        last = next ? next : last;
    }
}

/* Whether an H.264 sequence parameter set allows only whole frames, never fields. */
static int h264_only_frames(const uint8_t *data, size_t size)
{
    struct bits b = bits_of_unit(data + 1, size - 1);
    unsigned profile = bits(&b, 8);
    bits(&b, 16);
    golomb(&b);
    if (profile == 100 || profile == 110 || profile == 122 || profile == 244 || profile == 44 || profile == 83 ||
        profile == 86 || profile == 118 || profile == 128) {
        unsigned chroma = golomb(&b);
        if (chroma == 3)
            bit(&b);
        golomb(&b);
        golomb(&b);
        bit(&b);
        if (bit(&b))
            for (int i = 0; i < (chroma == 3 ? 12 : 8); i++)
                if (bit(&b))
                    skip_scaling_list(&b, i < 6 ? 16 : 64);
    }
    golomb(&b);
    unsigned order = golomb(&b);
    if (order == 0) {
        golomb(&b);
    } else if (order == 1) {
        bit(&b);
        golomb(&b);
        golomb(&b);
        unsigned count = golomb(&b);
        if (count > 255)
            return 0;
        for (unsigned i = 0; i < count; i++)
            golomb(&b);
    }
    golomb(&b);
    /* Gaps in the numbering of pictures: allowed in streams from which pictures were taken out. */
    unsigned gaps = bit(&b);
    golomb(&b);
    golomb(&b);
    return bit(&b) && !gaps && !b.broken;
}

/* Frames until an H.264 recovery point is reached: -1 without such a message. */
static int h264_recovery(const uint8_t *data, size_t size)
{
    size_t at = 1;
    while (at + 2 <= size) {
        unsigned type = 0, length = 0;
        while (at < size && data[at] == 255)
            type += 255, at++;
        if (at < size)
            type += data[at++];
        while (at < size && data[at] == 255)
            length += 255, at++;
        if (at < size)
            length += data[at++];
        if (at >= size)
            break;
        if (type == 6) {
            struct bits b = bits_of_unit(data + at, size - at);
            unsigned frames = golomb(&b);
            return b.broken || frames > 1 << 20 ? -1 : (int)frames;
        }
        /* A guard byte inside would shift what follows: then the message is not found, and nothing is skipped. */
        if (length > size - at)
            break;
        at += length;
    }
    return -1;
}

/* ---- NAL units of a packet ---- */

struct units {
    const uint8_t *at, *end;
    int length_bytes;
};

static const uint8_t *start_code(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 3; at++)
        if (at[0] == 0 && at[1] == 0 && at[2] == 1)
            return at;
    return end;
}

/* 1 with a unit, 0 at the end, -1 when the lengths make no sense. */
static int next_unit(struct units *u, const uint8_t **data, size_t *size)
{
    if (u->length_bytes) {
        size_t length = 0;
        if (u->at == u->end)
            return 0;
        if (u->end - u->at < u->length_bytes)
            return -1;
        for (int i = 0; i < u->length_bytes; i++)
            length = length << 8 | *u->at++;
        if (length > (size_t)(u->end - u->at))
            return -1;
        *data = u->at;
        *size = length;
        u->at += length;
        return 1;
    }
    const uint8_t *from = start_code(u->at, u->end);
    if (from == u->end)
        return 0;
    from += 3;
    u->at = start_code(from, u->end);
    *data = from;
    *size = (size_t)(u->at - from);
    return 1;
}

static int h264_facts(struct picture_reader *r, const AVPacket *p, struct picture_facts *f)
{
    struct units u = {p->data, p->data + p->size, r->nal_length};
    const uint8_t *data;
    size_t size;
    int found, slices = 0, idr = 0, intra = 1, recovery = -1, sets = 0;
    while ((found = next_unit(&u, &data, &size)) > 0) {
        if (size < 2)
            continue;
        int type = data[0] & 31, needed = data[0] >> 5 & 3;
        if (type == 7 && !h264_only_frames(data, size))
            return -1;
        if (type == 7)
            sets |= 1;
        if (type == 8)
            sets |= 2;
        if (type == 6 && recovery < 0)
            recovery = h264_recovery(data, size);
        if (type >= 2 && type <= 4)
            return -1; /* data partitions */
        if (type == 1 || type == 5) {
            struct bits b = bits_of_unit(data + 1, size - 1);
            unsigned first = golomb(&b), kind = golomb(&b);
            if (first == 0 && slices)
                return -1; /* two pictures in one packet */
            slices++;
            idr |= type == 5;
            intra &= kind == 2 || kind == 7;
            f->reference |= needed != 0;
        }
    }
    if (found < 0 || !slices)
        return -1;
    f->start = idr || (intra && recovery == 0);
    f->recovers = recovery > 0;
    f->shown = 1;
    /* Once parameter sets travel with the pictures, each start must bring its own, and nothing between may. */
    if (sets && !f->start)
        return -1;
    if (sets == 3)
        r->sets_inside = 1;
    else if (sets || (f->start && r->sets_inside))
        return -1;
    return 0;
}

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
        if (p->extradata_size >= 7 && e[0] == 1) {
            r->nal_length = (e[4] & 3) + 1;
            const uint8_t *at = e + 6, *end = e + p->extradata_size;
            for (int i = e[5] & 31; i > 0; i--) {
                if (end - at < 2)
                    return -1;
                int size = at[0] << 8 | at[1];
                at += 2;
                if (size < 4 || size > end - at || !h264_only_frames(at, (size_t)size))
                    return -1;
                at += size;
            }
        } else if (p->extradata_size > 0) {
            struct units u = {e, e + p->extradata_size, 0};
            const uint8_t *data;
            size_t size;
            while (next_unit(&u, &data, &size) > 0)
                if (size >= 4 && (data[0] & 31) == 7 && !h264_only_frames(data, size))
                    return -1;
        }
        return 0;
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
    switch (r->codec) {
    case AV_CODEC_ID_H264:
        return h264_facts(r, p, f);
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
        *f = (struct picture_facts){.start = 1, .reference = 1, .shown = 1};
        return 0;
    }
}
