/* The film's bytes: a file or a pipe on standard input, or what the parent answers there. */
#ifndef PICCHU_BYTES_H
#define PICCHU_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "request.h"

struct failure {
    const char *code; /* one of the words in ../PROTOCOL.md */
    char text[512];
};

/* Always returns -1, so that a caller can `return fail(...)`. */
int fail(struct failure *failure, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct bytes {
    int64_t position, size; /* the size is an error of FFmpeg's when it is not known */
    int seekable;
    int remote; /* asked of the parent */
};

/* Looks at standard input; to be called before the sandbox closes. */
int bytes_find(struct bytes *bytes, const struct request *request, struct failure *failure);

/* As FFmpeg's input wants them; `bytes` is a struct bytes. */
int bytes_read(void *bytes, uint8_t *buffer, int size);
int64_t bytes_seek(void *bytes, int64_t offset, int whence);

/* Up to `size` bytes from the beginning, without moving. Only where positions can be chosen. */
size_t bytes_peek(const struct bytes *bytes, uint8_t *buffer, size_t size);

#endif
