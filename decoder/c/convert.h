/* From a decoded picture to 8-bit RGB as a player would show it. */
#ifndef PICCHU_CONVERT_H
#define PICCHU_CONVERT_H

#include <libavutil/frame.h>
#include <libswscale/swscale.h>

#include "input.h"
#include "wire.h"

/* Belongs to one thread. */
struct converter {
    struct turn turn;
    AVRational aspect; /* the container's; a frame's own is used when this is unknown */
    int max_side;
    int64_t max_pixels;
    struct SwsContext *scaler;
    int key[8]; /* what `scaler` was made for */
    struct tone *tone;
};

void converter_init(struct converter *converter, const struct input *input, const struct request *request);
void converter_free(struct converter *converter);

/* Fills size and pixels of `picture`; free(picture->rgb) afterwards. */
int convert(struct converter *converter, const AVFrame *frame, struct picture *picture, struct failure *failure);

#endif
