/* The film: opened from standard input, its video track chosen and described. */
#ifndef PICCHU_INPUT_H
#define PICCHU_INPUT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "request.h"

struct input {
    AVFormatContext *format;
    AVIOContext *io;
    AVStream *stream;
    int64_t position, size;
    int seekable;
    int cut; /* the container says that bytes are missing at the end */
};

struct failure {
    const char *code; /* one of the words in ../PROTOCOL.md */
    char text[512];
};

/* Always returns -1, so that a caller can `return fail(...)`. */
int fail(struct failure *failure, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Keeps FFmpeg's last complaint, for the reasons that are given with a gap. */
void complaints_install(void);
const char *complaints_last(void);
/* How many there were on this thread. */
unsigned complaints_counted(void);

/* Looks at the open file itself; to be called before the sandbox closes. */
int input_find(struct input *input, struct failure *failure);
int input_open(struct input *input, const struct request *request, struct failure *failure);
/* Back to the first packet. */
int input_rewind(struct input *input, const struct request *request, struct failure *failure);
void input_close(struct input *input);

/* The next packet of the chosen track: 0, AVERROR_EOF, or another error of FFmpeg's. */
int input_packet(struct input *input, AVPacket *packet);

/* An opened decoder of the chosen track. `threads` > 1 lets FFmpeg use several. */
int input_decoder(const struct input *input, const struct request *request, int threads, AVCodecContext **out,
                  struct failure *failure);

/* The eight ways a picture can be turned: transpose first, then mirror. */
struct turn {
    int transpose, flip_x, flip_y;
};
struct turn input_turn(const AVStream *stream);

/* The size at which a stored picture is shown: square pixels, turned, at most max_side. */
void display_size(int width, int height, AVRational aspect, struct turn turn, int max_side, int *out_width,
                  int *out_height);

/* Sends the Info message. */
int input_describe(const struct input *input, const struct request *request);

#endif
