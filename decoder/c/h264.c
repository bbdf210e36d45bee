#include "h264.h"

#include <string.h>

#include "bits.h"
#include "units.h"

enum unit { SLICE = 1, PARTITION = 2, LAST_PARTITION = 4, IDR_SLICE = 5, MESSAGE = 6, SEQUENCE = 7, SETTINGS = 8 };
enum kind { P = 0, B = 1, I = 2 };

#define MAX_CHANGES 32

/* A slice's header, without what nobody asks. */
struct slice {
    const struct h264_settings *settings;
    const struct h264_sequence *sequence;
    int kind, idr, reference;
    int number, order_low, order_bottom;
    int active[2]; /* references in use */
    /* Changes of the reference lists' order. */
    int changed[2];
    struct {
        int back;
        unsigned distance;
    } changes[2][MAX_CHANGES];
    /* References given up after this picture: distances in frame_num, or the oldest when there is no place left. */
    int gives_up, given_up[MAX_CHANGES], gives_up_oddly;
    const uint8_t *end;
};

/* ---- parameter sets ---- */

static void skip_scaling_list(struct bits *b, int size)
{
    int last = 8, next = 8;
    for (int i = 0; i < size && !b->broken; i++) {
        if (next)
            next = (last + signed_golomb(b) + 256) & 255;
        last = next ? next : last;
    }
}

/* Returns -1 when a sequence allows fields, or pictures that were taken out. */
static int read_sequence(struct h264_track *t, const uint8_t *data, size_t size)
{
    struct bits b = bits_of_unit(data + 1, size - 1);
    struct h264_sequence s = {.readable = 1, .chroma = 1};
    unsigned profile = bits(&b, 8);
    bits(&b, 16);
    unsigned id = golomb(&b);
    if (profile == 100 || profile == 110 || profile == 122 || profile == 244 || profile == 44 || profile == 83 ||
        profile == 86 || profile == 118 || profile == 128) {
        unsigned chroma = golomb(&b);
        s.chroma = chroma != 0;
        if (chroma == 3 && bit(&b))
            s.readable = 0; /* three planes, each with slices of its own */
        golomb(&b);
        golomb(&b);
        bit(&b);
        if (bit(&b))
            for (int i = 0; i < (chroma == 3 ? 12 : 8); i++)
                if (bit(&b))
                    skip_scaling_list(&b, i < 6 ? 16 : 64);
    }
    s.number_bits = (int)golomb(&b) + 4;
    s.order_type = (int)golomb(&b);
    if (s.order_type == 0) {
        s.order_bits = (int)golomb(&b) + 4;
    } else if (s.order_type == 1) {
        s.readable = 0; /* has not been seen in films */
        bit(&b);
        golomb(&b);
        golomb(&b);
        unsigned count = golomb(&b);
        if (count > 255)
            return -1;
        for (unsigned i = 0; i < count; i++)
            golomb(&b);
    }
    unsigned references = golomb(&b);
    s.max_references = references > 1 ? (int)references : 1;
    /* Gaps in the numbering of pictures: allowed in streams from which pictures were taken out. */
    unsigned gaps = bit(&b);
    golomb(&b);
    golomb(&b);
    if (!bit(&b) || gaps || b.broken || id >= sizeof(t->sequences) / sizeof(t->sequences[0]))
        return -1;
    if (s.number_bits > 16 || s.order_bits > 16 || references > MAX_USES)
        s.readable = 0;
    t->sequences[id] = s;
    return 0;
}

static void read_settings(struct h264_track *t, const uint8_t *data, size_t size)
{
    struct bits b = bits_of_unit(data + 1, size - 1);
    struct h264_settings s = {.readable = 1};
    unsigned id = golomb(&b);
    s.sequence = golomb(&b);
    s.cabac = (int)bit(&b);
    s.bottom_order = (int)bit(&b);
    unsigned groups = golomb(&b);
    s.references[0] = (int)golomb(&b) + 1;
    s.references[1] = (int)golomb(&b) + 1;
    s.weighted = (int)bit(&b);
    s.weighted_b = (int)bits(&b, 2);
    golomb(&b);
    golomb(&b);
    golomb(&b);
    s.deblocking = (int)bit(&b);
    bit(&b);
    s.redundant = (int)bit(&b);
    if (id >= sizeof(t->settings) / sizeof(t->settings[0]))
        return;
    if (groups || b.broken || s.sequence >= sizeof(t->sequences) / sizeof(t->sequences[0]))
        s.readable = 0;
    t->settings[id] = s;
}

/* A parameter set, or anything else. */
static int read_set(struct h264_track *t, const uint8_t *data, size_t size)
{
    if (size >= 4 && (data[0] & 31) == SEQUENCE)
        return read_sequence(t, data, size);
    if (size >= 2 && (data[0] & 31) == SETTINGS)
        read_settings(t, data, size);
    return 0;
}

int h264_configure(struct h264_track *t, const uint8_t *e, size_t length)
{
    memset(t, 0, sizeof(*t));
    if (length < 7 || e[0] != 1) {
        struct units u = {e, e + length, 0};
        const uint8_t *data;
        size_t size;
        while (length && next_unit(&u, &data, &size) > 0)
            if (read_set(t, data, size))
                return -1;
        return 0;
    }
    const uint8_t *at = e + 5, *end = e + length;
    t->length_bytes = (e[4] & 3) + 1;
    for (int sequences = 1; sequences >= 0 && at < end; sequences--) {
        for (int i = *at++ & (sequences ? 31 : 255); i > 0; i--) {
            if (end - at < 2)
                return sequences ? -1 : 0;
            int size = at[0] << 8 | at[1];
            at += 2;
            if (size > end - at || (sequences && size < 4))
                return sequences ? -1 : 0;
            if (read_set(t, at, (size_t)size))
                return -1;
            at += size;
        }
    }
    return 0;
}

/* ---- slice headers ---- */

static int read_changes(struct bits *b, struct slice *s, int list)
{
    if (!bit(b))
        return 0;
    for (;;) {
        unsigned what = golomb(b);
        if (what == 3)
            return b->broken ? -1 : 0;
        if (what > 1 || s->changed[list] == MAX_CHANGES)
            return -1; /* long-term references */
        s->changes[list][s->changed[list]].back = what == 0;
        s->changes[list][s->changed[list]++].distance = golomb(b) + 1;
    }
}

static void skip_weights(struct bits *b, const struct slice *s)
{
    int chroma = s->sequence->chroma;
    golomb(b);
    if (chroma)
        golomb(b);
    for (int list = 0; list <= (s->kind == B); list++)
        for (int i = 0; i < s->active[list]; i++) {
            if (bit(b))
                golomb(b), golomb(b);
            if (chroma && bit(b))
                golomb(b), golomb(b), golomb(b), golomb(b);
        }
}

static void read_marking(struct bits *b, struct slice *s)
{
    s->gives_up = -1; /* the oldest when there is no place left */
    if (s->idr) {
        bit(b);
        s->gives_up_oddly = (int)bit(b);
        return;
    }
    if (!bit(b))
        return;
    s->gives_up = 0;
    for (unsigned what; (what = golomb(b)) != 0 && !b->broken;) {
        if (what == 1 && s->gives_up < MAX_CHANGES) {
            s->given_up[s->gives_up++] = (int)golomb(b) + 1;
        } else { /* long-term references, or all of them: read on for the header's end only */
            s->gives_up_oddly = 1;
            if (what == 1 || what == 2 || what == 3 || what == 4 || what == 6)
                golomb(b);
            if (what == 3)
                golomb(b);
        }
    }
}

/* Returns -1 when the header cannot be read to its end. */
static int read_slice(const struct h264_track *t, const uint8_t *data, size_t size, struct slice *s)
{
    struct bits b = bits_of_unit(data + 1, size - 1);
    *s = (struct slice){.idr = (data[0] & 31) == IDR_SLICE, .reference = data[0] >> 5 & 3};
    golomb(&b);
    s->kind = (int)(golomb(&b) % 5);
    unsigned settings = golomb(&b);
    if (s->kind > I || settings >= sizeof(t->settings) / sizeof(t->settings[0]) || !t->settings[settings].readable)
        return -1;
    s->settings = &t->settings[settings];
    s->sequence = &t->sequences[s->settings->sequence];
    if (!s->sequence->readable)
        return -1;
    s->number = (int)bits(&b, s->sequence->number_bits);
    if (s->idr)
        golomb(&b);
    if (s->sequence->order_type == 0) {
        s->order_low = (int)bits(&b, s->sequence->order_bits);
        if (s->settings->bottom_order)
            s->order_bottom = signed_golomb(&b);
    }
    if (s->settings->redundant && golomb(&b))
        return -1;
    if (s->kind == B)
        bit(&b);
    if (s->kind != I) {
        int own = (int)bit(&b);
        for (int list = 0; list <= (s->kind == B); list++)
            s->active[list] = own ? (int)golomb(&b) + 1 : s->settings->references[list];
        for (int list = 0; list <= (s->kind == B); list++)
            if (s->active[list] < 1 || s->active[list] > 32 || read_changes(&b, s, list))
                return -1;
        if (s->kind == P ? s->settings->weighted : s->settings->weighted_b == 1)
            skip_weights(&b, s);
    }
    if (s->reference)
        read_marking(&b, s);
    if (s->settings->cabac && s->kind != I)
        golomb(&b);
    golomb(&b);
    if (s->settings->deblocking && golomb(&b) != 1)
        golomb(&b), golomb(&b);
    s->end = b.at;
    return b.broken ? -1 : 0;
}

/* ---- the references a decoder holds ---- */

/* Sets `order` of the picture that a slice belongs to. */
static int order_of(struct h264_track *t, const struct slice *s)
{
    int range = 1 << s->sequence->order_bits, high = t->order_high;
    if (s->sequence->order_type != 0)
        return 0;
    if (s->idr)
        high = t->order_low = 0;
    if (s->order_low < t->order_low && t->order_low - s->order_low >= range / 2)
        high += range;
    else if (s->order_low > t->order_low && s->order_low - t->order_low > range / 2)
        high -= range;
    if (s->reference) {
        t->order_high = high;
        t->order_low = s->order_low;
    }
    return high + s->order_low + (s->order_bottom < 0 ? s->order_bottom : 0);
}

/* frame_num as if it had not begun anew since. */
static int unwrapped(const struct h264_reference *r, const struct slice *s)
{
    return r->number > s->number ? r->number - (1 << s->sequence->number_bits) : r->number;
}

/* Whether `a` comes before `b` in a list of references as it is before changes. */
static int comes_before(const struct h264_reference *a, const struct h264_reference *b, const struct slice *s, int order,
                        int list)
{
    if (s->kind == P)
        return unwrapped(a, s) > unwrapped(b, s);
    int past_a = (a->order < order) != list, past_b = (b->order < order) != list;
    if (past_a != past_b)
        return past_a;
    return (a->order < order) ? a->order > b->order : a->order < b->order;
}

/* Section 8.2.4 of the specification: which references a slice can use. Returns -1 when that is not known. */
static int add_uses(const struct h264_track *t, const struct slice *s, int order, struct picture_facts *f)
{
    const struct h264_reference *lists[2][MAX_USES + 1];
    int range = 1 << s->sequence->number_bits;
    if (s->kind == B && s->sequence->order_type != 0)
        return -1;
    for (int list = 0; list <= (s->kind == B); list++) {
        for (int i = 0; i < t->count; i++) {
            int at = i;
            for (; at > 0 && comes_before(&t->references[i], lists[list][at - 1], s, order, list); at--)
                lists[list][at] = lists[list][at - 1];
            lists[list][at] = &t->references[i];
        }
    }
    if (s->kind == B && t->count > 1 && memcmp(lists[0], lists[1], (size_t)t->count * sizeof(lists[0][0])) == 0) {
        const struct h264_reference *swap = lists[1][0];
        lists[1][0] = lists[1][1];
        lists[1][1] = swap;
    }
    for (int list = 0; list <= (s->kind == B); list++) {
        int from = s->number, length = t->count;
        for (int c = 0; c < s->changed[list]; c++) {
            int distance = (int)(s->changes[list][c].distance % (unsigned)range), found = -1;
            from = (from + (s->changes[list][c].back ? range - distance : distance)) % range;
            for (int i = 0; i < t->count; i++)
                if (t->references[i].number == from)
                    found = i;
            if (found < 0 || c > MAX_USES)
                return -1;
            /* Put it at place `c`, and take its old entry out behind. */
            const struct h264_reference *moved = &t->references[found];
            int last = c;
            while (last < length && lists[list][last] != moved)
                last++;
            if (last == length && length > MAX_USES)
                return -1;
            if (last == length)
                length++;
            for (int i = last; i > c; i--)
                lists[list][i] = lists[list][i - 1];
            lists[list][c] = moved;
        }
        /* An entry beyond the list is none that a sound stream uses. */
        if (s->active[list] > length)
            return -1;
        for (int i = 0; i < s->active[list]; i++) {
            int at = 0;
            while (at < f->uses_count && f->uses[at] != lists[list][i]->picture)
                at++;
            if (at == MAX_USES)
                return -1;
            f->uses[at] = lists[list][i]->picture;
            if (at == f->uses_count)
                f->uses_count++;
        }
    }
    return 0;
}

static void forget(struct h264_track *t, int index)
{
    t->count--;
    memmove(&t->references[index], &t->references[index + 1], (size_t)(t->count - index) * sizeof(t->references[0]));
}

/* Section 8.2.5: after a picture. */
static void remember(struct h264_track *t, const struct slice *s, int order, unsigned picture)
{
    int range = 1 << s->sequence->number_bits;
    if (s->idr)
        t->count = 0;
    if (s->gives_up_oddly)
        t->known = 0;
    for (int i = 0; i < s->gives_up; i++) {
        int number = (s->number + range - s->given_up[i] % range) % range, found = -1;
        for (int k = 0; k < t->count; k++)
            if (t->references[k].number == number)
                found = k;
        if (found < 0)
            t->known = 0;
        else
            forget(t, found);
    }
    if (s->gives_up < 0 && t->count >= s->sequence->max_references) {
        int oldest = 0;
        for (int i = 1; i < t->count; i++)
            if (unwrapped(&t->references[i], s) < unwrapped(&t->references[oldest], s))
                oldest = i;
        forget(t, oldest);
    }
    if (t->count >= s->sequence->max_references) {
        t->known = 0;
        return;
    }
    t->references[t->count++] = (struct h264_reference){picture, s->number, order};
    t->last_number = s->number;
}

void h264_jump(struct h264_track *t) { t->known = 0; }

/* ---- packets ---- */

/* Frames until a recovery point is reached: -1 without such a message. */
static int recovery_frames(const uint8_t *data, size_t size)
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

/* What one slice says of the references. Returns -1 when they are not known (any more). */
static int follow(struct h264_track *t, const struct slice *s, int first, int *order, struct picture_facts *f)
{
    int range = 1 << s->sequence->number_bits;
    if (first) {
        if (s->idr) {
            t->known = 1;
            t->count = 0;
        } else if (s->number != t->last_number && s->number != (t->last_number + 1) % range) {
            t->known = 0; /* pictures are missing */
        }
        if (t->known)
            *order = order_of(t, s);
    }
    if (!t->known)
        return -1;
    return s->kind == I ? 0 : add_uses(t, s, *order, f);
}

int h264_facts(struct h264_track *t, const uint8_t *packet, size_t length, struct picture_facts *f)
{
    struct units u = {packet, packet + length, t->length_bytes};
    const uint8_t *data;
    size_t size;
    int found, slices = 0, idr = 0, intra = 1, recovery = -1, sets = 0, order = 0, readable = 1;
    struct slice slice = {0};
    f->uses_known = 1;
    while ((found = next_unit(&u, &data, &size)) > 0) {
        if (size < 2)
            continue;
        int type = data[0] & 31;
        if (read_set(t, data, size))
            return -1;
        if (type == SEQUENCE)
            sets |= 1;
        if (type == SETTINGS)
            sets |= 2;
        if (type == MESSAGE && recovery < 0)
            recovery = recovery_frames(data, size);
        if (type >= PARTITION && type <= LAST_PARTITION)
            return -1;
        if (type == SLICE || type == IDR_SLICE) {
            struct bits b = bits_of_unit(data + 1, size - 1);
            unsigned first = golomb(&b), kind = golomb(&b);
            if (first == 0 && slices)
                return -1; /* two pictures in one packet */
            slices++;
            idr |= type == IDR_SLICE;
            intra &= kind % 5 == I;
            f->reference |= (data[0] >> 5 & 3) != 0;
            readable &= read_slice(t, data, size, &slice) == 0;
            if (!readable || follow(t, &slice, slices == 1, &order, f))
                f->uses_known = 0;
            f->slice = readable && slices == 1 ? (size_t)(data - packet) : 0;
            f->header_end = f->slice ? (size_t)(slice.end - packet) : 0;
        }
    }
    if (found < 0 || !slices)
        return -1;
    if (!readable)
        t->known = 0;
    else if (t->known && f->reference)
        remember(t, &slice, order, f->picture);
    f->start = idr || (intra && recovery == 0);
    f->recovers = recovery > 0;
    f->shown = 1;
    /* Once parameter sets travel with the pictures, each start must bring its own, and nothing between may. */
    if (sets && !f->start)
        return -1;
    if (sets == 3)
        t->sets_inside = 1;
    else if (sets || (f->start && t->sets_inside))
        return -1;
    return 0;
}
