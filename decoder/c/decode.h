/* The two ways to decode, and what they share. */
#ifndef PICCHU_DECODE_H
#define PICCHU_DECODE_H

#include "convert.h"
#include "input.h"
#include "request.h"
#include "wire.h"

/* One run of the program. Used by the main thread; `notes` remembers what was said. */
struct run {
    struct request request;
    struct input input;
    struct counts counts;
    uint64_t next_sample;
    int64_t first_pts; /* of the first shown frame; AV_NOPTS_VALUE until known */
    unsigned notes;
};

enum note {
    NOTE_PQ = 1,
    NOTE_HLG = 2,
    NOTE_INTERLACED = 4,
    NOTE_RESIZED = 8,
    NOTE_ALPHA = 16,
    NOTE_ASPECT = 32,
    NOTE_BACKWARDS = 64,
};

enum outcome {
    OUTCOME_DONE,   /* everything asked for was answered */
    OUTCOME_FAILED, /* `failure` says why */
    OUTCOME_GONE,   /* the parent does not listen any more */
    OUTCOME_PLAIN,  /* the plan cannot be proven exact here: decode plainly from the start */
};

/* What is worth knowing about a picture, as bits of `enum note`. */
unsigned notes_of(const struct run *run, const AVFrame *frame);
/* Says what was not said before. Returns -1 when the parent is gone. */
int say_notes(struct run *run, unsigned notes);

uint32_t flags_of(const AVFrame *frame);

/* After the last packet: tells the gap when the container promises more than `end`, or `truncated` says so.
 * Returns -1 when the parent is gone. */
int tell_missing_end(struct run *run, int64_t end, int truncated, const char *reason);

/* Decodes from the first packet on, every picture. Answers from `run->next_sample` on. */
enum outcome decode_plainly(struct run *run, struct failure *failure);

/* Decodes what the wanted pictures need, several groups of pictures at once. */
enum outcome decode_by_plan(struct run *run, struct failure *failure);

#endif
