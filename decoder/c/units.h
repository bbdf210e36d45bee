/* The NAL units of a packet of H.264 or HEVC. */
#ifndef PICCHU_UNITS_H
#define PICCHU_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct units {
    const uint8_t *at, *end;
    int length_bytes; /* before each unit; 0: start codes */
};

static inline const uint8_t *start_code(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 3; at++)
        if (at[0] == 0 && at[1] == 0 && at[2] == 1)
            return at;
    return end;
}

/* 1 with a unit, 0 at the end, -1 when the lengths make no sense. */
static inline int next_unit(struct units *u, const uint8_t **data, size_t *size)
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

#endif
