/* What a packet of H.264 says of its picture, and from which earlier ones it can be predicted. */
#ifndef PICCHU_H264_H
#define PICCHU_H264_H

#include <stddef.h>
#include <stdint.h>

#include "facts.h"

/* A sequence parameter set, as far as slice headers need it. */
struct h264_sequence {
    int readable; /* slice headers can be read to their end */
    int number_bits, order_type, order_bits, max_references, chroma;
};

/* A picture parameter set, as far as slice headers need it. */
struct h264_settings {
    int readable;
    unsigned sequence;
    int cabac, bottom_order, references[2], weighted, weighted_b, deblocking, redundant;
};

/* A picture that later ones may be predicted from. */
struct h264_reference {
    unsigned picture; /* as in struct picture_facts */
    int number, order; /* frame_num, PicOrderCnt */
};

struct h264_track {
    int length_bytes; /* before each unit; 0: start codes */
    int sets_inside;  /* parameter sets were seen in a packet */
    struct h264_sequence sequences[32];
    struct h264_settings settings[256];
    /* The references that a decoder holds, the latest last, as long as they are known. */
    int known, count;
    struct h264_reference references[17];
    int last_number, order_high, order_low;
};

/* Takes the parameter sets from before the first packet. Returns -1 when the plan is not proven for the track. */
int h264_configure(struct h264_track *track, const uint8_t *data, size_t size);

/* As picture_facts. */
int h264_facts(struct h264_track *track, const uint8_t *data, size_t size, struct picture_facts *facts);

/* The next packet is not the one after the last. */
void h264_jump(struct h264_track *track);

#endif
