#include "av1.h"

#include <string.h>

#include "bits.h"

enum unit { SEQUENCE = 1, FRAME_HEADER = 3, FRAME = 6, REDUNDANT_HEADER = 7 };
enum kind { KEY = 0, INTER = 1, INTRA_ONLY = 2, SWITCH = 3 };

struct unit_at {
    int type;
    const uint8_t *data;
    size_t size;
};

/* 1 with a unit, 0 at the end, -1 when it makes no sense or has spatial layers. */
static int next_unit(const uint8_t **at, const uint8_t *end, struct unit_at *unit)
{
    const uint8_t *p = *at;
    if (p == end)
        return 0;
    int head = *p++, extended = head & 4, sized = head & 2;
    if (head & 0x80)
        return -1;
    if (extended && (p == end || *p++ >> 3 & 3))
        return -1;
    uint64_t size = (uint64_t)(end - p);
    if (sized) {
        size = 0;
        for (int i = 0;; i++) {
            if (p == end || i == 8)
                return -1;
            size |= (uint64_t)(*p & 0x7F) << (7 * i);
            if (!(*p++ & 0x80))
                break;
        }
    }
    if (size > (uint64_t)(end - p))
        return -1;
    *unit = (struct unit_at){head >> 3 & 15, p, (size_t)size};
    *at = p + size;
    return 1;
}

static void skip_long(struct bits *b)
{
    int zeros = 0;
    while (!b->broken && zeros < 32 && !bit(b))
        zeros++;
    if (zeros < 32)
        bits(b, zeros);
}

/* sequence_header_obu() of the specification, as far as frame headers need it. */
static int read_sequence(struct av1_sequence *s, const struct unit_at *unit)
{
    struct bits b = bits_of(unit->data, unit->size);
    int delay_bits = 0, model = 0;
    memset(s, 0, sizeof(*s));
    bits(&b, 3);
    bit(&b);
    if (bit(&b))
        return -1; /* a still picture with a header of its own */
    if (bit(&b)) { /* timing */
        bits(&b, 32);
        bits(&b, 32);
        if (bit(&b))
            skip_long(&b);
        model = (int)bit(&b);
        if (model) {
            delay_bits = (int)bits(&b, 5) + 1;
            bits(&b, 32);
            bits(&b, 5);
            bits(&b, 5);
        }
    }
    int delays = (int)bit(&b), points = (int)bits(&b, 5) + 1;
    for (int i = 0; i < points; i++) {
        bits(&b, 12);
        if (bits(&b, 5) > 7)
            bit(&b);
        if (model && bit(&b)) {
            bits(&b, delay_bits);
            bits(&b, delay_bits);
            bit(&b);
        }
        if (delays && bit(&b))
            bits(&b, 4);
    }
    int width_bits = (int)bits(&b, 4) + 1, height_bits = (int)bits(&b, 4) + 1;
    bits(&b, width_bits);
    bits(&b, height_bits);
    s->frame_ids = (int)bit(&b);
    if (s->frame_ids) {
        int delta = (int)bits(&b, 4) + 2;
        s->id_length = (int)bits(&b, 3) + delta + 1;
    }
    bits(&b, 3); /* block size, two intra tools */
    bits(&b, 4); /* four inter tools */
    int order = (int)bit(&b);
    if (order)
        bits(&b, 2);
    s->screen_content = bit(&b) ? 2 : (int)bit(&b);
    s->integer_motion = 2;
    if (s->screen_content > 0 && !bit(&b))
        s->integer_motion = (int)bit(&b);
    if (order)
        s->order_bits = (int)bits(&b, 3) + 1;
    /* With a model of the decoder's buffers, frame headers carry times that are not read here. */
    s->known = !b.broken && !model;
    return b.broken ? -1 : 0;
}

int av1_configure(struct av1_sequence *s, const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    struct unit_at unit;
    int got;
    while ((got = next_unit(&at, end, &unit)) > 0)
        if (unit.type == SEQUENCE && read_sequence(s, &unit))
            return -1;
    return got;
}

/* uncompressed_header() of the specification up to the pictures it replaces. */
static int read_frame(const struct av1_sequence *s, const struct unit_at *unit, int *key, int *shown, int *refreshes)
{
    struct bits b = bits_of(unit->data, unit->size);
    if (bit(&b)) { /* an old picture is shown: nothing changes, but after a key picture it would */
        *key = 0, *shown = 1, *refreshes = 1;
        return b.broken ? -1 : 0;
    }
    int kind = (int)bits(&b, 2), resilient;
    *shown = (int)bit(&b);
    if (!*shown)
        bit(&b);
    resilient = kind == SWITCH || (kind == KEY && *shown) ? 1 : (int)bit(&b);
    *key = kind == KEY && *shown;
    *refreshes = 1;
    if (kind == KEY || kind == SWITCH || !s->known)
        return b.broken ? -1 : 0;
    bit(&b); /* tables of the entropy coder stay */
    int screen = s->screen_content == 2 ? (int)bit(&b) : s->screen_content;
    if (screen && s->integer_motion == 2)
        bit(&b);
    if (s->frame_ids)
        bits(&b, s->id_length);
    bit(&b); /* its own size */
    bits(&b, s->order_bits);
    if (kind != INTRA_ONLY && !resilient)
        bits(&b, 3);
    *refreshes = bits(&b, 8) != 0;
    return b.broken ? -1 : 0;
}

int av1_facts(struct av1_sequence *s, const uint8_t *data, size_t size, struct picture_facts *f)
{
    const uint8_t *at = data, *end = data + size;
    struct unit_at unit;
    int got, pictures = 0, shows = 0, keys = 0, sequence = 0;
    while ((got = next_unit(&at, end, &unit)) > 0) {
        int key, shown, refreshes;
        if (unit.type == SEQUENCE) {
            struct av1_sequence before = *s;
            if (pictures || read_sequence(s, &unit))
                return -1;
            /* Another sequence may begin only with a key picture; checked below. */
            sequence = 1 + (before.known && memcmp(&before, s, sizeof(before)) != 0);
        }
        if (unit.type != FRAME && unit.type != FRAME_HEADER)
            continue;
        if (read_frame(s, &unit, &key, &shown, &refreshes))
            return -1;
        pictures++;
        shows += shown;
        keys += key;
        f->reference |= refreshes;
    }
    if (got < 0 || shows != 1 || (sequence == 2 && !keys))
        return -1;
    f->start = keys == 1 && pictures == 1;
    f->shown = 1;
    return 0;
}
