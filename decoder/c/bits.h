/* Bits of a header, first bit first. */
#ifndef PICCHU_BITS_H
#define PICCHU_BITS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct bits {
    const uint8_t *at, *end;
    int zeros, left;
    unsigned byte;
    int broken;
};

/* Of a NAL unit: the bytes that only guard against start codes are left out. */
static inline struct bits bits_of_unit(const uint8_t *data, size_t size)
{
    return (struct bits){.at = data, .end = data + size};
}

/* Of anything else. */
static inline struct bits bits_of(const uint8_t *data, size_t size)
{
    return (struct bits){.at = data, .end = data + size, .zeros = INT_MIN / 2};
}

static inline unsigned bit(struct bits *b)
{
    if (b->left == 0) {
        if (b->at < b->end && b->zeros >= 2 && *b->at == 3) {
            b->at++;
            b->zeros = 0;
        }
        if (b->at >= b->end) {
            b->broken = 1;
            return 0;
        }
        b->byte = *b->at++;
        b->zeros = b->byte ? 0 : b->zeros + 1;
        b->left = 8;
    }
    return b->byte >> --b->left & 1;
}

static inline unsigned bits(struct bits *b, int count)
{
    unsigned v = 0;
    while (count-- > 0)
        v = v << 1 | bit(b);
    return v;
}

/* An Exp-Golomb code of H.264 and HEVC. */
static inline unsigned golomb(struct bits *b)
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

/* The same with a sign. */
static inline int signed_golomb(struct bits *b)
{
    unsigned code = golomb(b);
    return code & 1 ? (int)(code / 2 + 1) : -(int)(code / 2);
}

#endif
