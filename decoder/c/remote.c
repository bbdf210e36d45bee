#include "remote.h"

#include <libavutil/error.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "wire.h"

/* The longest answer that may be asked for. */
#define MAX_ANSWER (1 << 20)
#define ANSWER_FAILED UINT32_MAX

/* One question at a time: an answer belongs to the question before it. */
static pthread_mutex_t conversation = PTHREAD_MUTEX_INITIALIZER;
/* After half an answer nothing that comes can be understood. */
static int broken;

static int ask(int64_t offset, uint8_t *buffer, uint32_t size)
{
    uint8_t question[12], head[4];
    for (int i = 0; i < 8; i++)
        question[i] = (uint8_t)((uint64_t)offset >> (8 * i));
    for (int i = 0; i < 4; i++)
        question[8 + i] = (uint8_t)(size >> (8 * i));
    if (wire_put(STDIN_FILENO, question, sizeof(question)) || wire_take(STDIN_FILENO, head, sizeof(head)))
        return -1;
    uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
    /* The parent knows why, and says so. */
    if (length == ANSWER_FAILED || length > size || wire_take(STDIN_FILENO, buffer, length))
        return -1;
    return (int)length;
}

int remote_read(int64_t offset, uint8_t *buffer, int size)
{
    int got = -1;
    if (size > MAX_ANSWER)
        size = MAX_ANSWER;
    if (size <= 0)
        return 0;
    pthread_mutex_lock(&conversation);
    if (!broken)
        got = ask(offset, buffer, (uint32_t)size);
    broken |= got < 0;
    pthread_mutex_unlock(&conversation);
    return got < 0 ? AVERROR(EIO) : got;
}
