#include "bytes.h"

#include <errno.h>
#include <libavformat/avio.h>
#include <libavutil/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote.h"

int fail(struct failure *f, const char *code, const char *format, ...)
{
    va_list list;
    f->code = code;
    va_start(list, format);
    vsnprintf(f->text, sizeof(f->text), format, list);
    va_end(list);
    return -1;
}

int bytes_find(struct bytes *b, const struct request *request, struct failure *f)
{
    struct stat status;
    memset(b, 0, sizeof(*b));
    if (fstat(STDIN_FILENO, &status))
        return fail(f, "io", "standard input is closed");
    if (S_ISDIR(status.st_mode))
        return fail(f, "io", "the input is a folder");
    b->remote = request->remote_size >= 0;
    b->seekable = b->remote || S_ISREG(status.st_mode);
    b->size = b->remote ? request->remote_size : b->seekable ? (int64_t)status.st_size : AVERROR(ENOSYS);
    if (b->seekable && b->size == 0)
        return fail(f, "empty", "the file is empty");
    return 0;
}

/* 0 at the end, or an error of FFmpeg's. */
static int read_at(const struct bytes *b, int64_t offset, uint8_t *buffer, int size)
{
    if (b->remote)
        return remote_read(offset, buffer, size);
    for (;;) {
        ssize_t n = b->seekable ? pread(STDIN_FILENO, buffer, (size_t)size, (off_t)offset)
                                : read(STDIN_FILENO, buffer, (size_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 ? AVERROR(errno) : (int)n;
    }
}

int bytes_read(void *opaque, uint8_t *buffer, int size)
{
    struct bytes *b = opaque;
    int n = read_at(b, b->position, buffer, size);
    if (n > 0)
        b->position += n;
    return n == 0 ? AVERROR_EOF : n;
}

int64_t bytes_seek(void *opaque, int64_t offset, int whence)
{
    struct bytes *b = opaque;
    if (whence & AVSEEK_SIZE)
        return b->size;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        offset += b->position;
        break;
    case SEEK_END:
        offset += b->size;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (offset < 0)
        return AVERROR(EINVAL);
    b->position = offset;
    return offset;
}

size_t bytes_peek(const struct bytes *b, uint8_t *buffer, size_t size)
{
    size_t got = 0;
    while (got < size) {
        int n = read_at(b, (int64_t)got, buffer + got, (int)(size - got));
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}
