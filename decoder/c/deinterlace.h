/* Interlaced pictures: two moments woven into one. */
#ifndef PICCHU_DEINTERLACE_H
#define PICCHU_DEINTERLACE_H

#include <libavutil/frame.h>

/* Whether `deinterlace` has work to do. */
int is_interlaced(const AVFrame *frame);

/* A copy that shows the earlier moment: lines of the later one stay where they fit in, and are filled in where they
 * show movement. NULL without memory. Needs no other picture, so that it does not matter which ones were decoded. */
AVFrame *deinterlace(const AVFrame *frame);

#endif
