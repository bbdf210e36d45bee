/* Bytes that the parent fetches: questions and answers on standard input, which is then a socket. */
#ifndef PICCHU_REMOTE_H
#define PICCHU_REMOTE_H

#include <stdint.h>

/* Up to `size` bytes at `offset`; 0 at the end, or an error of FFmpeg's. Safe on several threads, each with a position
 * of its own. */
int remote_read(int64_t offset, uint8_t *buffer, int size);

#endif
