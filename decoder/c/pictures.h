/* Reading pictures before they are decoded, whatever their codec. */
#ifndef PICCHU_PICTURES_H
#define PICCHU_PICTURES_H

#include <libavcodec/avcodec.h>

#include "facts.h"
#include "h264.h"

/* What AV1's sequence header says about reading frame headers. */
struct av1_sequence {
    int known;                            /* frame headers can be read as far as the pictures they replace */
    int frame_ids, id_length, order_bits; /* bits of a frame's number and of its place in order */
    int screen_content, integer_motion;   /* 0, 1, or 2: each frame says */
};

/* What is known of a track. One per reading thread. */
struct picture_reader {
    enum AVCodecID codec;
    unsigned pictures; /* read so far */
    int nal_length; /* HEVC: bytes of the length before each unit; 0: start codes */
    int sets_inside; /* HEVC: parameter sets were seen in a packet */
    struct h264_track h264;
    struct av1_sequence av1;
};

/* Returns -1 when this track's pictures cannot be read. */
int picture_reader_init(struct picture_reader *reader, const AVCodecParameters *parameters);

/* Returns -1 when the packet is none that the plan is proven for. */
int picture_facts(struct picture_reader *reader, const AVPacket *packet, struct picture_facts *facts);

/* The next packet is not the one after the last. */
void picture_reader_jump(struct picture_reader *reader);

/* What a decoder needs of a reference picture in order to know it without showing it: all but its content. NULL where
 * that cannot be cut out, or without memory. */
AVPacket *picture_shell(const struct picture_reader *reader, const AVPacket *packet, const struct picture_facts *facts);

#endif
