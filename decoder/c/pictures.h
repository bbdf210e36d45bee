/* What a coded picture says of itself before it is decoded. */
#ifndef PICCHU_PICTURES_H
#define PICCHU_PICTURES_H

#include <libavcodec/avcodec.h>

/* What AV1's sequence header says about reading frame headers. */
struct av1_sequence {
    int known;                            /* frame headers can be read as far as the pictures they replace */
    int frame_ids, id_length, order_bits; /* bits of a frame's number and of its place in order */
    int screen_content, integer_motion;   /* 0, 1, or 2: each frame says */
};

/* What is known of a track. One per reading thread. */
struct picture_reader {
    enum AVCodecID codec;
    int nal_length; /* bytes of the length before each unit; 0: start codes */
    int sets_inside; /* parameter sets were seen in a packet */
    struct av1_sequence av1;
};

struct picture_facts {
    int start;     /* decoding can begin here, and what is shown later is then right */
    int reference; /* other pictures may need it */
    int shown;     /* it is displayed */
    int layer;     /* temporal layer */
    int skipped;   /* cannot be decoded right after a start (HEVC's RASL pictures) */
    int recovers;  /* begins a gradual recovery: a key picture to some, no start */
};

/* Returns -1 when this track's pictures cannot be read. */
int picture_reader_init(struct picture_reader *reader, const AVCodecParameters *parameters);

/* Returns -1 when the packet is none that the plan is proven for. */
int picture_facts(struct picture_reader *reader, const AVPacket *packet, struct picture_facts *facts);

#endif
