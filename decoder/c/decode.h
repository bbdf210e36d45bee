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
    NOTE_HDR = 1,
    NOTE_INTERLACED = 2,
    NOTE_RESIZED = 4,
    NOTE_BACKWARDS = 8,
    NOTE_ALPHA = 16,
    NOTE_ASPECT = 32,
};

enum outcome {
    OUTCOME_DONE,   /* everything asked for was answered */
    OUTCOME_FAILED, /* `failure` says why */
    OUTCOME_GONE,   /* the parent does not listen any more */
    OUTCOME_PLAIN,  /* the plan cannot be proven exact here: decode plainly from the start */
};

/* Says each thing once. Returns -1 when the parent is gone. */
int note_once(struct run *run, enum note note, const char *code, const char *text);
/* Says what is worth knowing about a picture. */
int note_frame(struct run *run, const AVFrame *frame);

uint32_t flags_of(const AVFrame *frame);

/* Decodes from the first packet on, every picture. Answers from `run->next_sample` on. */
enum outcome decode_plainly(struct run *run, struct failure *failure);

/* Decodes what the wanted pictures need, several groups of pictures at once. */
enum outcome decode_by_plan(struct run *run, struct failure *failure);

#endif
