/* How a stored picture is turned and widened before it is shown. */
#ifndef PICCHU_SHAPE_H
#define PICCHU_SHAPE_H

#include <libavformat/avformat.h>

/* The eight ways a picture can be turned: transpose first, then mirror. */
struct turn {
    int transpose, flip_x, flip_y;
};
struct turn input_turn(const AVStream *stream);

/* The size at which a stored picture is shown: square pixels, turned, at most max_side. */
void display_size(int width, int height, AVRational aspect, struct turn turn, int max_side, int *out_width,
                  int *out_height);

#endif
