#include "wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT 2048

int wire_put(int file, const void *data, size_t length)
{
    const uint8_t *at = data;
    while (length > 0) {
        /* Some systems refuse a single write of 2 GiB or more. */
        ssize_t n = write(file, at, length < (1u << 30) ? length : (1u << 30));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

int wire_take(int file, void *data, size_t length)
{
    uint8_t *at = data;
    while (length > 0) {
        ssize_t n = read(file, at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

static int write_all(const void *data, size_t length) { return wire_put(STDOUT_FILENO, data, length); }

static uint8_t *put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(v >> (8 * i));
    return at;
}

static uint8_t *put64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        *at++ = (uint8_t)(v >> (8 * i));
    return at;
}

static uint8_t *put_header(uint8_t *at, enum message_type type, uint32_t length)
{
    *at++ = 'P';
    *at++ = 'C';
    *at++ = (uint8_t)type;
    *at++ = 0;
    return put32(at, length);
}

int wire_info(const char *lines, size_t length)
{
    uint8_t header[8];
    put_header(header, MSG_INFO, (uint32_t)length);
    return write_all(header, sizeof(header)) || write_all(lines, length) ? -1 : 0;
}

int wire_frame(uint64_t sample, const struct picture *p)
{
    uint8_t head[8 + 48], *at = head;
    size_t pixels = (size_t)p->width * p->height * 3;
    if (pixels > UINT32_MAX - 48)
        return -1;
    at = put_header(at, MSG_FRAME, (uint32_t)(48 + pixels));
    at = put64(at, sample);
    at = put64(at, (uint64_t)p->pts);
    at = put64(at, (uint64_t)p->ticks);
    at = put64(at, (uint64_t)p->duration);
    at = put32(at, p->width);
    at = put32(at, p->height);
    at = put32(at, p->flags);
    put32(at, 0);
    return write_all(head, sizeof(head)) || write_all(p->rgb, pixels) ? -1 : 0;
}

int wire_repeat(uint64_t sample)
{
    uint8_t message[16];
    put64(put_header(message, MSG_REPEAT, 8), sample);
    return write_all(message, sizeof(message));
}

int wire_gap(int64_t from, int64_t to, uint64_t lost, const char *reason)
{
    size_t length = strnlen(reason, MAX_TEXT);
    uint8_t head[8 + 24], *at = head;
    at = put_header(at, MSG_GAP, (uint32_t)(24 + length));
    at = put64(at, (uint64_t)from);
    at = put64(at, (uint64_t)to);
    put64(at, lost);
    return write_all(head, sizeof(head)) || write_all(reason, length) ? -1 : 0;
}

static int text_message(enum message_type type, const char *code, const char *text)
{
    size_t code_length = strnlen(code, MAX_TEXT), text_length = strnlen(text, MAX_TEXT);
    uint8_t header[8];
    put_header(header, type, (uint32_t)(code_length + 1 + text_length));
    return write_all(header, sizeof(header)) || write_all(code, code_length) || write_all("\n", 1) ||
                   write_all(text, text_length)
               ? -1
               : 0;
}

int wire_note(const char *code, const char *text) { return text_message(MSG_NOTE, code, text); }

int wire_error(const char *code, const char *text) { return text_message(MSG_ERROR, code, text); }

int wire_end(const struct counts *c)
{
    uint8_t message[8 + 32], *at = put_header(message, MSG_END, 32);
    at = put64(at, c->samples);
    at = put64(at, c->packets);
    at = put64(at, c->fed);
    put64(at, c->planned);
    return write_all(message, sizeof(message));
}
