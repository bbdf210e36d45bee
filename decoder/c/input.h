/* The film: opened from standard input, its video track chosen and described. */
#ifndef PICCHU_INPUT_H
#define PICCHU_INPUT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "bytes.h"
#include "complaints.h"
#include "request.h"
#include "shape.h"

struct input {
    AVFormatContext *format;
    AVIOContext *io;
    AVStream *stream;
    struct bytes bytes;
    int cut; /* the container says that bytes are missing at the end */
};

/* After bytes_find. */
int input_open(struct input *input, const struct request *request, struct failure *failure);
/* Back to the first packet. */
int input_rewind(struct input *input, const struct request *request, struct failure *failure);
void input_close(struct input *input);

/* The next packet of the chosen track: 0, AVERROR_EOF, or another error of FFmpeg's. */
int input_packet(struct input *input, AVPacket *packet);

/* An opened decoder of the chosen track. `threads` > 1 lets FFmpeg use several. */
int input_decoder(const struct input *input, const struct request *request, int threads, AVCodecContext **out,
                  struct failure *failure);

/* Sends the Info message. */
int input_describe(const struct input *input, const struct request *request);

#endif
