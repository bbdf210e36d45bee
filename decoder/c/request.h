/* What the parent asks for: the command line, and the times it turns into. */
#ifndef PICCHU_REQUEST_H
#define PICCHU_REQUEST_H

#include <libavutil/rational.h>
#include <stddef.h>
#include <stdint.h>

enum policy {
    POLICY_GRID,  /* (a + k * b) / d seconds, k = 0, 1, ... */
    POLICY_TIMES, /* an ascending list of nanoseconds */
    POLICY_KEYS,  /* key pictures */
    POLICY_ALL,   /* every picture */
    POLICY_PROBE, /* only the description */
};

struct request {
    enum policy policy;
    int64_t grid_start, grid_step, grid_den;
    int64_t *times;
    size_t times_count;
    int64_t start_ns, end_ns; /* samples with start <= time < end */
    uint64_t limit; /* samples numbered from here on are not wanted */
    uint64_t skip;  /* samples numbered below are not wanted; the others keep their numbers */
    int max_side; /* 0: as stored */
    int workers;
    int plain;
    int approximate; /* a time may be answered by the picture before it at which decoding can start */
    int track; /* -1: the default one, otherwise the index among the video streams */
    int64_t max_pixels;
    uint64_t memory_bytes, cpu_seconds; /* 0: no limit */
    int64_t remote_size; /* the parent answers for the film's bytes, so many; -1: standard input holds them */
    int sandbox;
};

/* Returns 0, or -1 with a text that says which argument is wrong. */
int request_parse(struct request *request, int argc, char **argv, const char **error);
void request_free(struct request *request);

/* The container tick, relative to the first shown frame, at or before sample `k`'s time.
 * Returns 0 when there is no such sample. Only for POLICY_GRID and POLICY_TIMES. */
int request_tick(const struct request *request, AVRational time_base, uint64_t k, int64_t *tick);

/* Nanoseconds to ticks: `ceil` gives the first tick at or after, otherwise the last at or before. */
int64_t ticks_of_ns(int64_t ns, AVRational time_base, int ceil);

#endif
