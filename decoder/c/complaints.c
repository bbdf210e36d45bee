#include "complaints.h"

#include <libavutil/log.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t complaint_lock = PTHREAD_MUTEX_INITIALIZER;
static char complaint[256];
static _Thread_local unsigned complaint_count;

static void keep_complaint(void *context, int level, const char *format, va_list list)
{
    char text[sizeof(complaint)];
    (void)context;
    if (level > AV_LOG_ERROR)
        return;
    /* After an open group's start, H.264 asks to forget pictures that were never there: no harm is done. */
    complaint_count += strncmp(format, "mmco:", 5) != 0;
    vsnprintf(text, sizeof(text), format, list);
    text[strcspn(text, "\r\n")] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || (unsigned char)*c > 126)
            *c = '?';
    pthread_mutex_lock(&complaint_lock);
    memcpy(complaint, text, sizeof(complaint));
    pthread_mutex_unlock(&complaint_lock);
}

void complaints_install(void)
{
    av_log_set_level(AV_LOG_ERROR);
    av_log_set_callback(keep_complaint);
}

unsigned complaints_counted(void) { return complaint_count; }

const char *complaints_last(void)
{
    static char copy[sizeof(complaint)]; /* asked for by the main thread only */
    pthread_mutex_lock(&complaint_lock);
    memcpy(copy, complaint, sizeof(copy));
    pthread_mutex_unlock(&complaint_lock);
    return copy;
}

