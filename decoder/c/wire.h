/* Messages to the parent process. See ../PROTOCOL.md; every integer is little endian. */
#ifndef PICCHU_WIRE_H
#define PICCHU_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define PICCHU_PROTOCOL 1

enum message_type {
    MSG_INFO = 1,
    MSG_FRAME = 2,
    MSG_REPEAT = 3,
    MSG_GAP = 4,
    MSG_NOTE = 5,
    MSG_ERROR = 6,
    MSG_END = 7,
};

enum frame_flags {
    FRAME_KEY = 1,
    FRAME_DAMAGED = 2,
    FRAME_INTERLACED = 4,
};

/* One picture, ready to be sent. */
struct picture {
    int64_t pts;      /* container ticks, as stored */
    int64_t ticks;    /* container ticks since the first shown frame */
    int64_t duration; /* container ticks, 0 when unknown */
    uint32_t width, height, flags;
    uint8_t *rgb; /* width * height * 3 bytes */
};

struct counts {
    uint64_t samples; /* frames and repeats sent */
    uint64_t packets; /* read from the container */
    uint64_t fed;     /* given to a decoder */
    uint64_t planned; /* 1 when the planned decoder answered */
};

/* Every function returns 0, or -1 when the parent is gone. */

/* All of the bytes, to and from an open file. */
int wire_put(int file, const void *data, size_t length);
int wire_take(int file, void *data, size_t length);

int wire_info(const char *lines, size_t length);
int wire_frame(uint64_t sample, const struct picture *picture);
int wire_repeat(uint64_t sample);
int wire_gap(int64_t from_ticks, int64_t to_ticks, uint64_t samples_lost, const char *reason);
int wire_note(const char *code, const char *text);
int wire_error(const char *code, const char *text);
int wire_end(const struct counts *counts);

#endif
