#include "shape.h"

#include <libavutil/mathematics.h>
#include <stdlib.h>

struct turn input_turn(const AVStream *stream)
{
    struct turn turn = {0};
    const AVCodecParameters *p = stream->codecpar;
    const AVPacketSideData *side =
        av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    if (!side || side->size < 9 * sizeof(int32_t))
        return turn;
    /* Shown (x, y) = stored (x, y) times [a b; c d]. Only quarter turns and mirrors are applied. */
    const int32_t *m = (const int32_t *)side->data;
    int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    if (llabs(a) + llabs(d) >= llabs(b) + llabs(c)) {
        turn.flip_x = a < 0;
        turn.flip_y = d < 0;
    } else {
        turn.transpose = 1;
        turn.flip_x = c < 0;
        turn.flip_y = b < 0;
    }
    return turn;
}

void display_size(int width, int height, AVRational aspect, struct turn turn, int max_side, int *out_width,
                  int *out_height)
{
    int64_t w = width, h = height;
    /* Like players do: the lines stay, the width follows the pixel's shape. */
    if (aspect.num > 0 && aspect.den > 0 && aspect.num != aspect.den) {
        w = av_rescale(w, aspect.num, aspect.den);
        w = w < 1 ? 1 : w > (int64_t)width * 8 ? (int64_t)width * 8 : w;
    }
    if (turn.transpose) {
        int64_t swap = w;
        w = h;
        h = swap;
    }
    int64_t longer = w > h ? w : h;
    if (max_side > 0 && longer > max_side) {
        w = w * max_side / longer & ~1;
        h = h * max_side / longer & ~1;
        w = w < 2 ? 2 : w;
        h = h < 2 ? 2 : h;
    }
    *out_width = (int)w;
    *out_height = (int)h;
}
