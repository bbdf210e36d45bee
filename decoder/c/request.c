#include "request.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TIMES 1000000

static int number(const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < low || v > high)
        return -1;
    *out = v;
    return 0;
}

/* "a,b,d" */
static int grid(struct request *r, const char *text)
{
    char buffer[96], *at = buffer, *part[3];
    size_t length = strlen(text);
    if (length >= sizeof(buffer))
        return -1;
    memcpy(buffer, text, length + 1);
    for (int i = 0; i < 3; i++) {
        part[i] = at;
        char *comma = strchr(at, ',');
        if ((comma == NULL) != (i == 2))
            return -1;
        if (comma) {
            *comma = 0;
            at = comma + 1;
        }
    }
    return number(part[0], 0, INT64_MAX / 4, &r->grid_start) || number(part[1], 1, INT64_MAX / 4, &r->grid_step) ||
                   number(part[2], 1, INT64_MAX / 4, &r->grid_den)
               ? -1
               : 0;
}

/* "first,difference,difference,...", each list going on from the last. */
static int times(struct request *r, const char *text)
{
    int64_t last = r->times_count ? r->times[r->times_count - 1] : 0;
    while (*text) {
        char *end = NULL;
        errno = 0;
        long long step = strtoll(text, &end, 10);
        if (errno || end == text || step < 0 || step > INT64_MAX / 4 - last || r->times_count >= MAX_TIMES)
            return -1;
        /* Room is made in powers of two. */
        if ((r->times_count & (r->times_count - 1)) == 0) {
            size_t room = r->times_count ? r->times_count * 2 : 1;
            int64_t *grown = realloc(r->times, room * sizeof(*grown));
            if (!grown)
                return -1;
            r->times = grown;
        }
        last += step;
        r->times[r->times_count++] = last;
        if (*end != 0 && *end != ',')
            return -1;
        text = *end ? end + 1 : end;
    }
    return 0;
}

int request_parse(struct request *r, int argc, char **argv, const char **error)
{
    int chosen = 0;
    int64_t v;
    *r = (struct request){.policy = POLICY_PROBE,
                          .end_ns = INT64_MAX,
                          .limit = UINT64_MAX,
                          .workers = 1,
                          .track = -1,
                          .max_pixels = 1 << 28,
                          .remote_size = -1,
                          .sandbox = 1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = strchr(name, '=');
        size_t length = value ? (size_t)(value - name) : strlen(name);
        value = value ? value + 1 : "";
        *error = name;
#define IS(text) (length == sizeof(text) - 1 && memcmp(name, text, length) == 0)
        if (IS("--protocol")) {
            if (number(value, 1, 1, &v)) {
                *error = "only protocol 1 is spoken here";
                return -1;
            }
        } else if (IS("--probe")) {
            r->policy = POLICY_PROBE, chosen++;
        } else if (IS("--grid")) {
            r->policy = POLICY_GRID, chosen++;
            if (grid(r, value))
                return -1;
        } else if (IS("--times")) {
            chosen += r->policy != POLICY_TIMES;
            r->policy = POLICY_TIMES;
            if (times(r, value))
                return -1;
        } else if (IS("--keys")) {
            r->policy = POLICY_KEYS, chosen++;
        } else if (IS("--all")) {
            r->policy = POLICY_ALL, chosen++;
        } else if (IS("--start-ns")) {
            if (number(value, 0, INT64_MAX, &r->start_ns))
                return -1;
        } else if (IS("--end-ns")) {
            if (number(value, 0, INT64_MAX, &r->end_ns))
                return -1;
        } else if (IS("--limit")) {
            if (number(value, 0, INT64_MAX, &v))
                return -1;
            r->limit = (uint64_t)v;
        } else if (IS("--skip")) {
            if (number(value, 0, INT64_MAX, &v))
                return -1;
            r->skip = (uint64_t)v;
        } else if (IS("--max-side")) {
            if (number(value, 2, 1 << 20, &v))
                return -1;
            r->max_side = (int)v;
        } else if (IS("--workers")) {
            if (number(value, 1, 64, &v))
                return -1;
            r->workers = (int)v;
        } else if (IS("--track")) {
            if (number(value, 0, INT_MAX, &v))
                return -1;
            r->track = (int)v;
        } else if (IS("--max-pixels")) {
            if (number(value, 1, 1 << 30, &r->max_pixels))
                return -1;
        } else if (IS("--memory-bytes")) {
            if (number(value, 0, INT64_MAX, &v))
                return -1;
            r->memory_bytes = (uint64_t)v;
        } else if (IS("--cpu-seconds")) {
            if (number(value, 0, INT64_MAX, &v))
                return -1;
            r->cpu_seconds = (uint64_t)v;
        } else if (IS("--remote")) {
            if (number(value, 0, INT64_MAX, &r->remote_size))
                return -1;
        } else if (IS("--plain")) {
            r->plain = 1;
        } else if (IS("--approximate")) {
            r->approximate = 1;
        } else if (IS("--no-sandbox")) {
            r->sandbox = 0;
        } else {
            return -1;
        }
#undef IS
    }
    if (chosen != 1) {
        *error = "exactly one of --probe, --grid, --times, --keys, --all is needed";
        return -1;
    }
    return 0;
}

void request_free(struct request *r)
{
    free(r->times);
    r->times = NULL;
    r->times_count = 0;
}

int64_t ticks_of_ns(int64_t ns, AVRational tb, int ceil)
{
    if (ns == INT64_MAX)
        return INT64_MAX;
    __int128 top = (__int128)ns * tb.den, bottom = (__int128)1000000000 * tb.num;
    __int128 t = (top + (ceil ? bottom - 1 : 0)) / bottom;
    return t > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)t;
}

int request_tick(const struct request *r, AVRational tb, uint64_t k, int64_t *tick)
{
    if (k >= r->limit)
        return 0;
    if (r->policy == POLICY_TIMES) {
        if (k >= r->times_count)
            return 0;
        *tick = ticks_of_ns(r->times[k], tb, 0);
        return 1;
    }
    __int128 at = (__int128)r->grid_start + (__int128)k * r->grid_step; /* over grid_den */
    if (at >= INT64_MAX)
        return 0;
    if (r->end_ns != INT64_MAX && at * 1000000000 >= (__int128)r->end_ns * r->grid_den)
        return 0;
    __int128 t = at * tb.den / ((__int128)r->grid_den * tb.num);
    *tick = t > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)t;
    return 1;
}
