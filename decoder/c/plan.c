/* The planned way: only the pictures that the samples need, several groups of pictures at once.
 *
 * A reading thread collects packets into groups, from one picture at which decoding can start to the next, with one
 * group of look-ahead: an open group's leading pictures are coded after the next group's first picture and need both.
 * For each wanted time it chooses the picture with the largest time not after it, drops what no wanted picture can
 * depend on, and makes a job of the rest. Workers decode jobs, each with a decoder of its own that is flushed in
 * between; the main thread sends the pictures in order.
 *
 * Whatever is not understood, or goes wrong, ends in OUTCOME_PLAIN: then everything is decoded, from the start. */
#include <libavutil/mathematics.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "pictures.h"

/* A group beyond these is no group worth planning for. */
#define MAX_GROUP_BYTES (64u << 20)
#define MAX_GROUP_PACKETS 30000
/* Finished pictures that a worker may hold before the main thread takes one. */
#define MAX_READY 2

struct item {
    AVPacket *packet;
    int64_t pts;
    struct picture_facts facts;
    int discard; /* decoded, never shown: before an edit list's start */
};

struct group {
    struct item *items;
    size_t count, room, bytes;
    int64_t key_pts; /* of the first picture */
    int highest_layer;
};

struct wanted {
    int64_t pts;
    uint64_t sample, repeats;
    struct picture picture;
    unsigned notes;
    int ready;
};

struct fed {
    AVPacket *packet;
    int shell;    /* without its content, which nothing wanted depends on */
    int careless; /* a shell, or a leading picture that lacks what it needs: not shown, and its errors mean nothing */
};

struct job {
    struct fed *fed;
    size_t fed_count;
    struct wanted *wanted; /* in order of time */
    size_t wanted_count, sent;
    int done; /* its worker has left it */
};

struct plan {
    struct run *run;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    struct job **jobs; /* a ring of `room` */
    size_t room;
    uint64_t pushed, claimed, popped;
    uint64_t packets, fed;
    int complete; /* the reading thread makes no more jobs */
    int stop;     /* everybody goes home */
    int plain;    /* the plan is given up */
    struct failure failure;
    int failed;
    int64_t first_pts;
    /* The reading thread's own, read by others after it has ended: */
    struct picture_reader reader;
    uint64_t next_sample, skip;
    int64_t last_pts, last_duration;
    int at_end; /* the container's end was reached */
    AVPacket *carried;
    struct picture_facts carried_facts;
    int seek_helps;
};

/* ---- giving up, stopping ---- */

static int give_up(struct plan *p)
{
    pthread_mutex_lock(&p->lock);
    p->plain = p->stop = 1;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return -1;
}

static int give_failure(struct plan *p, const struct failure *f)
{
    pthread_mutex_lock(&p->lock);
    if (!p->failed)
        p->failure = *f;
    p->failed = p->stop = 1;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return -1;
}

static int no_memory(struct plan *p)
{
    struct failure f;
    fail(&f, "memory", "decoding does not fit into the memory limit");
    return give_failure(p, &f);
}

static void job_free(struct job *job)
{
    if (!job)
        return;
    for (size_t i = 0; i < job->fed_count; i++)
        av_packet_free(&job->fed[i].packet);
    for (size_t i = 0; i < job->wanted_count; i++)
        free(job->wanted[i].picture.rgb);
    free(job->fed);
    free(job->wanted);
    free(job);
}

static void group_clear(struct group *g)
{
    for (size_t i = 0; i < g->count; i++)
        av_packet_free(&g->items[i].packet);
    g->count = g->bytes = 0;
    g->highest_layer = 0;
}

/* ---- reading groups ---- */

/* The next packet with its facts: 1, 0 at the end, -1 when the plan is given up. */
static int read_packet(struct plan *p, AVPacket **packet, struct picture_facts *facts)
{
    int error;
    if (p->carried) {
        *packet = p->carried;
        *facts = p->carried_facts;
        p->carried = NULL;
        return 1;
    }
    AVPacket *next = av_packet_alloc();
    if (!next)
        return no_memory(p);
    do
        error = input_packet(&p->run->input, next);
    while (error == AVERROR(EAGAIN));
    if (error == AVERROR_EOF) {
        av_packet_free(&next);
        return 0;
    }
    if (error < 0 || next->pts == AV_NOPTS_VALUE || next->flags & AV_PKT_FLAG_CORRUPT ||
        av_packet_get_side_data(next, AV_PKT_DATA_NEW_EXTRADATA, NULL) ||
        av_packet_get_side_data(next, AV_PKT_DATA_PARAM_CHANGE, NULL) ||
        av_packet_get_side_data(next, AV_PKT_DATA_ENCRYPTION_INFO, NULL) ||
        av_packet_get_side_data(next, AV_PKT_DATA_SKIP_SAMPLES, NULL) || picture_facts(&p->reader, next, facts) ||
        (facts->recovers && p->run->request.policy == POLICY_KEYS)) {
        av_packet_free(&next);
        return give_up(p);
    }
    pthread_mutex_lock(&p->lock);
    p->packets++;
    pthread_mutex_unlock(&p->lock);
    *packet = next;
    return 1;
}

/* From a start to the packet before the next one: 1, 0 at the end, -1 when the plan is given up. */
static int read_group(struct plan *p, struct group *g)
{
    group_clear(g);
    for (;;) {
        AVPacket *packet;
        struct picture_facts facts;
        int got = read_packet(p, &packet, &facts);
        if (got < 0)
            return -1;
        if (got == 0)
            return g->count > 0;
        if (facts.start && g->count > 0) {
            p->carried = packet;
            p->carried_facts = facts;
            return 1;
        }
        if (g->count == g->room) {
            size_t room = g->room ? g->room * 2 : 64;
            struct item *grown = realloc(g->items, room * sizeof(*grown));
            if (!grown) {
                av_packet_free(&packet);
                return no_memory(p);
            }
            g->items = grown;
            g->room = room;
        }
        struct item *item = &g->items[g->count++];
        *item = (struct item){.packet = packet, .pts = packet->pts, .facts = facts};
        item->discard = !!(packet->flags & AV_PKT_FLAG_DISCARD);
        g->bytes += (size_t)packet->size;
        if (g->count == 1)
            g->key_pts = packet->pts;
        if (facts.layer > g->highest_layer)
            g->highest_layer = facts.layer;
        if ((g->count == 1 && !facts.start) || g->bytes > MAX_GROUP_BYTES || g->count > MAX_GROUP_PACKETS)
            return give_up(p);
    }
}

/* ---- choosing pictures ---- */

static int by_pts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The times at which the pictures of `now` are shown, and the leading ones of `next`; in order. */
static int shown_times(struct plan *p, const struct group *now, const struct group *next, int first, int64_t **times,
                       size_t *count)
{
    size_t n = 0;
    int64_t *t = malloc((now->count + next->count + 1) * sizeof(*t));
    if (!t)
        return no_memory(p);
    for (size_t i = 0; i < now->count; i++) {
        const struct item *m = &now->items[i];
        /* Before the first start nothing can be shown: what comes there must be marked so. */
        if (m->discard && !first)
            goto unproven;
        if (m->discard || !m->facts.shown)
            continue;
        if (m->pts < now->key_pts) {
            if (first)
                goto unproven;
            continue; /* belongs to the group before */
        }
        if (next->count && m->pts >= next->key_pts)
            goto unproven;
        t[n++] = m->pts;
    }
    for (size_t i = 0; i < next->count; i++) {
        const struct item *m = &next->items[i];
        if (m->pts >= next->key_pts || !m->facts.shown)
            continue;
        if (m->discard || m->pts <= now->key_pts)
            goto unproven;
        t[n++] = m->pts;
    }
    qsort(t, n, sizeof(*t), by_pts);
    for (size_t i = 1; i < n; i++)
        if (t[i] == t[i - 1])
            goto unproven;
    *times = t;
    *count = n;
    return 0;
unproven:
    free(t);
    return give_up(p);
}

/* Fills `job->wanted`. Returns 1 when nothing after this group is wanted, 0 otherwise, -1 on failure. */
static int choose(struct plan *p, struct job *job, const struct group *now, const struct group *next,
                  const int64_t *times, size_t count)
{
    const struct request *r = &p->run->request;
    AVRational tb = p->run->input.stream->time_base;
    size_t at = 0;
    job->wanted = calloc(count + 1, sizeof(*job->wanted));
    if (!job->wanted)
        return no_memory(p);
    if (r->policy == POLICY_KEYS || r->policy == POLICY_ALL) {
        int64_t from = p->first_pts + ticks_of_ns(r->start_ns, tb, 1);
        int64_t to = r->end_ns == INT64_MAX ? INT64_MAX : p->first_pts + ticks_of_ns(r->end_ns, tb, 1);
        for (size_t i = 0; i < count; i++) {
            if (r->policy == POLICY_KEYS && times[i] != now->key_pts)
                continue;
            if (times[i] >= to || p->next_sample >= r->limit)
                return 1;
            if (times[i] < from)
                continue;
            if (p->next_sample >= p->skip)
                job->wanted[job->wanted_count++] = (struct wanted){.pts = times[i], .sample = p->next_sample};
            p->next_sample++;
        }
        return 0;
    }
    for (;;) {
        int64_t tick;
        if (!request_tick(r, tb, p->next_sample, &tick))
            return 1;
        int64_t time = p->first_pts + tick;
        if (next->count ? time >= next->key_pts : count == 0 || time > times[count - 1])
            return 0;
        if (count == 0 || time < times[0])
            return give_up(p);
        while (at + 1 < count && times[at + 1] <= time)
            at++;
        /* What was asked for: the picture at which decoding starts instead of the one shown. */
        if (r->approximate && times[0] == now->key_pts)
            at = 0;
        if (job->wanted_count && job->wanted[job->wanted_count - 1].pts == times[at])
            job->wanted[job->wanted_count - 1].repeats++;
        else
            job->wanted[job->wanted_count++] = (struct wanted){.pts = times[at], .sample = p->next_sample};
        p->next_sample++;
    }
}

static int is_wanted(const struct job *job, int64_t pts)
{
    size_t low = 0, high = job->wanted_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (job->wanted[middle].pts < pts)
            low = middle + 1;
        else
            high = middle;
    }
    return low < job->wanted_count && job->wanted[low].pts == pts;
}

/* A picture that others may need: within its own layer, or because a higher layer exists. */
static int needed(const struct item *item, int highest_layer)
{
    return item->facts.reference || item->facts.layer < highest_layer;
}

/* The pictures that a job may need, in the order of coding: its group's, then the next one's as far as they lead. */
struct row {
    struct item *items;
    int *needed;
    size_t count;
};

/* Marks what the pictures that are marked can depend on. */
static void mark_dependencies(struct row *row, int highest_layer)
{
    int everything = 0;
    for (size_t i = row->count; i-- > 0;) {
        const struct picture_facts *f = &row->items[i].facts;
        row->needed[i] |= i == 0 || (everything && needed(&row->items[i], highest_layer));
        if (!row->needed[i])
            continue;
        everything |= !f->uses_known;
        for (int u = 0; f->uses_known && u < f->uses_count; u++)
            if (f->uses[u] - row->items[0].facts.picture < i)
                row->needed[f->uses[u] - row->items[0].facts.picture] = 1;
    }
}

/* Fills `job->fed` with what the wanted pictures can depend on. */
static int select_packets(struct plan *p, struct job *job, const struct group *now, const struct group *next)
{
    size_t last = 0, last_leading = 0;
    int highest = now->highest_layer > next->highest_layer ? now->highest_layer : next->highest_layer, error = 0;
    for (size_t i = 0; i < now->count; i++)
        if (now->items[i].pts >= now->key_pts && is_wanted(job, now->items[i].pts))
            last = i;
    for (size_t i = 1; i < next->count; i++)
        if (next->items[i].pts < next->key_pts && is_wanted(job, next->items[i].pts))
            last_leading = i;
    if (last_leading)
        last = now->count - 1;
    struct row row = {.count = last + 1 + (last_leading ? last_leading + 1 : 0)};
    row.items = calloc(row.count, sizeof(*row.items));
    row.needed = calloc(row.count, sizeof(*row.needed));
    job->fed = calloc(row.count, sizeof(*job->fed));
    if (!row.items || !row.needed || !job->fed)
        error = no_memory(p);
    for (size_t i = 0; !error && i < row.count; i++) {
        const struct group *g = i <= last ? now : next;
        row.items[i] = i <= last ? now->items[i] : next->items[i - last - 1];
        row.needed[i] = (g == now) == (row.items[i].pts >= g->key_pts) && is_wanted(job, row.items[i].pts);
    }
    if (!error)
        mark_dependencies(&row, highest);
    for (size_t i = 0; !error && i < row.count; i++) {
        const struct item *m = &row.items[i];
        /* Leading pictures of the first group lack what they need. */
        int leading = i <= last && m->pts < now->key_pts && !m->discard;
        if ((leading && m->facts.skipped) || (!row.needed[i] && !needed(m, highest)))
            continue;
        AVPacket *packet = row.needed[i] ? NULL : picture_shell(&p->reader, m->packet, &m->facts);
        int shell = packet != NULL;
        if (!shell)
            packet = av_packet_clone(m->packet);
        if (!packet)
            error = no_memory(p);
        else
            job->fed[job->fed_count++] = (struct fed){.packet = packet, .shell = shell, .careless = leading || shell};
    }
    free(row.items);
    free(row.needed);
    return error;
}

/* ---- the reading thread ---- */

static int push(struct plan *p, struct job *job)
{
    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->pushed - p->popped >= p->room)
        pthread_cond_wait(&p->changed, &p->lock);
    int stopped = p->stop;
    if (!stopped) {
        p->jobs[p->pushed++ % p->room] = job;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return stopped ? -1 : 0;
}

/* Where the next wanted picture lies, or AV_NOPTS_VALUE when every group counts. */
static int64_t next_time(const struct plan *p)
{
    const struct request *r = &p->run->request;
    AVRational tb = p->run->input.stream->time_base;
    int64_t tick = 0;
    if (r->policy == POLICY_GRID || r->policy == POLICY_TIMES)
        return request_tick(r, tb, p->next_sample, &tick) ? p->first_pts + tick : AV_NOPTS_VALUE;
    return p->next_sample == 0 && r->start_ns > 0 ? p->first_pts + ticks_of_ns(r->start_ns, tb, 0) : AV_NOPTS_VALUE;
}

/* When the container's index knows a start between what was read and the next wanted picture, goes there.
 * Returns 1 after a jump (`now` then holds the group there), 0 without one, -1 when the plan is given up. */
static int jump(struct plan *p, struct group *now, const struct group *next)
{
    AVStream *s = p->run->input.stream;
    int64_t time = next_time(p);
    const char *container = p->run->input.format->iformat->name;
    int matroska = strstr(container, "matroska") != NULL;
    /* Other containers' indexes do not list key pictures. */
    if ((!matroska && !strstr(container, "mov")) || !p->seek_helps || time == AV_NOPTS_VALUE || !p->carried || !next->count || time <= p->carried->pts)
        return 0;
    int index = av_index_search_timestamp(s, time, AVSEEK_FLAG_BACKWARD);
    const AVIndexEntry *entry = index >= 0 ? avformat_index_get_entry(s, index) : NULL;
    int64_t here = p->carried->dts != AV_NOPTS_VALUE ? p->carried->dts : p->carried->pts;
    /* Matroska reads its index only when it is first asked to seek. */
    int unread = matroska && av_compare_ts(time - p->carried->pts, s->time_base, 20, (AVRational){1, 1}) > 0;
    if (!unread && (!entry || entry->timestamp <= here || entry->pos <= p->carried->pos))
        return 0;
    int64_t reached = p->carried->pts;
    av_packet_free(&p->carried);
    if (av_seek_frame(p->run->input.format, s->index, time, AVSEEK_FLAG_BACKWARD) < 0)
        return give_up(p);
    picture_reader_jump(&p->reader);
    int got = read_group(p, now);
    if (got < 0)
        return -1;
    if (got == 0 || now->key_pts > time)
        return give_up(p);
    /* Not further than before: this container is read through. */
    if (now->key_pts <= reached)
        p->seek_helps = 0;
    return 1;
}

static void read_film(struct plan *p)
{
    struct group groups[2] = {{0}};
    struct group *now = &groups[0], *next = &groups[1];
    int first = 1, enough = 0;
    int got = read_group(p, now);
    if (got == 0)
        give_up(p);
    while (got > 0 && !enough) {
        int64_t *times = NULL;
        size_t count = 0;
        struct job *job = NULL;
        int more = read_group(p, next);
        if (more < 0 || shown_times(p, now, next, first, &times, &count))
            break;
        if (first) {
            if (count == 0) {
                free(times);
                give_up(p);
                break;
            }
            pthread_mutex_lock(&p->lock);
            p->first_pts = times[0];
            pthread_mutex_unlock(&p->lock);
            first = 0;
        }
        if (count) {
            p->last_pts = times[count - 1];
            p->last_duration = 0;
            for (size_t i = 0; i < now->count; i++)
                if (now->items[i].pts == p->last_pts)
                    p->last_duration = now->items[i].packet->duration;
        }
        job = calloc(1, sizeof(*job));
        enough = job ? choose(p, job, now, next, times, count) : no_memory(p);
        free(times);
        if (enough >= 0 && job->wanted_count) {
            if (select_packets(p, job, now, next) || push(p, job))
                enough = -1;
            else
                job = NULL;
        }
        job_free(job);
        if (enough)
            break;
        got = more;
        if (more) {
            int jumped = jump(p, now, next);
            if (jumped < 0)
                break;
            if (!jumped) {
                struct group *swap = now;
                now = next;
                next = swap;
            }
        } else {
            p->at_end = 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        group_clear(&groups[i]);
        free(groups[i].items);
    }
    av_packet_free(&p->carried);
}

static void *reading_thread(void *argument)
{
    struct plan *p = argument;
    read_film(p);
    pthread_mutex_lock(&p->lock);
    p->complete = 1;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- workers ---- */

struct worker {
    struct plan *plan;
    AVCodecContext *decoder;
    int concealment; /* as the decoder does it */
    struct converter converter;
    AVFrame *frame;
};

/* Hands a finished picture over, and waits while the main thread has enough of them. */
static int hand_over(struct plan *p, struct job *job, size_t at, const struct picture *picture, unsigned notes)
{
    pthread_mutex_lock(&p->lock);
    job->wanted[at].picture = *picture;
    job->wanted[at].notes = notes;
    job->wanted[at].ready = 1;
    pthread_cond_broadcast(&p->changed);
    while (!p->stop) {
        size_t ready = 0;
        for (size_t i = job->sent; i < job->wanted_count && i < job->sent + MAX_READY + 1; i++)
            ready += (size_t)job->wanted[i].ready;
        /* Waiting makes sense only if the picture that is sent next is among them. */
        if (ready < MAX_READY || !job->wanted[job->sent].ready)
            break;
        pthread_cond_wait(&p->changed, &p->lock);
    }
    int stopped = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stopped ? -1 : 0;
}

static int receive(struct worker *w, struct job *job, int careless, size_t *found)
{
    struct plan *p = w->plan;
    for (;;) {
        int error = avcodec_receive_frame(w->decoder, w->frame);
        if (error == AVERROR(EAGAIN) || error == AVERROR_EOF)
            return 0;
        if (error == AVERROR(ENOMEM))
            return no_memory(p);
        if (error < 0) {
            if (careless)
                return 0;
            return give_up(p);
        }
        AVFrame *f = w->frame;
        for (size_t at = 0; at < job->wanted_count; at++) {
            struct wanted *wanted = &job->wanted[at];
            if (wanted->pts != f->pts)
                continue;
            struct picture picture = {.pts = f->pts, .duration = f->duration, .flags = flags_of(f)};
            struct failure failure;
            if (f->decode_error_flags || f->flags & AV_FRAME_FLAG_CORRUPT)
                return give_up(p);
            if (convert(&w->converter, f, &picture, &failure))
                return give_failure(p, &failure);
            ++*found;
            if (hand_over(p, job, at, &picture, notes_of(p->run, f)))
                return -1;
            break;
        }
        av_frame_unref(f);
    }
}

static int decode_job(struct worker *w, struct job *job)
{
    struct plan *p = w->plan;
    size_t found = 0;
    for (size_t i = 0; i <= job->fed_count; i++) {
        int careless = i < job->fed_count && job->fed[i].careless;
        unsigned before = complaints_counted();
        int error;
        /* What a shell leaves out is not to be made up. */
        w->decoder->error_concealment = i < job->fed_count && job->fed[i].shell ? 0 : w->concealment;
        do {
            error = avcodec_send_packet(w->decoder, i < job->fed_count ? job->fed[i].packet : NULL);
            if (error == AVERROR(ENOMEM))
                return no_memory(p);
            if (receive(w, job, careless, &found))
                return -1;
        } while (error == AVERROR(EAGAIN));
        if (!careless && (error < 0 || complaints_counted() != before))
            return give_up(p);
        if (i < job->fed_count)
            av_packet_free(&job->fed[i].packet);
    }
    avcodec_flush_buffers(w->decoder);
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < job->fed_count; i++)
        p->fed += !job->fed[i].shell;
    pthread_mutex_unlock(&p->lock);
    /* A picture that the packets promised did not come. */
    return found == job->wanted_count ? 0 : give_up(p);
}

static void *working_thread(void *argument)
{
    struct worker *w = argument;
    struct plan *p = w->plan;
    for (;;) {
        struct job *job = NULL;
        pthread_mutex_lock(&p->lock);
        while (!p->stop && p->claimed == p->pushed && !p->complete)
            pthread_cond_wait(&p->changed, &p->lock);
        if (!p->stop && p->claimed < p->pushed)
            job = p->jobs[p->claimed++ % p->room];
        pthread_mutex_unlock(&p->lock);
        if (!job || decode_job(w, job))
            return NULL;
        pthread_mutex_lock(&p->lock);
        job->done = 1;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
    }
}

/* ---- the main thread: pictures out, in order ---- */

static enum outcome send_pictures(struct plan *p)
{
    struct run *run = p->run;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (!p->stop && p->popped == p->pushed && !p->complete)
            pthread_cond_wait(&p->changed, &p->lock);
        struct job *job = !p->stop && p->popped < p->pushed ? p->jobs[p->popped % p->room] : NULL;
        run->first_pts = p->first_pts;
        pthread_mutex_unlock(&p->lock);
        if (!job)
            return OUTCOME_DONE;
        for (size_t at = 0; at < job->wanted_count; at++) {
            struct wanted *wanted = &job->wanted[at];
            pthread_mutex_lock(&p->lock);
            while (!p->stop && !wanted->ready)
                pthread_cond_wait(&p->changed, &p->lock);
            int stopped = p->stop;
            pthread_mutex_unlock(&p->lock);
            if (stopped)
                return OUTCOME_DONE;
            wanted->picture.ticks = wanted->pts - run->first_pts;
            if (say_notes(run, wanted->notes) || wire_frame(wanted->sample, &wanted->picture))
                return OUTCOME_GONE;
            for (uint64_t i = 1; i <= wanted->repeats; i++)
                if (wire_repeat(wanted->sample + i))
                    return OUTCOME_GONE;
            run->next_sample = wanted->sample + wanted->repeats + 1;
            run->counts.samples += wanted->repeats + 1;
            pthread_mutex_lock(&p->lock);
            free(wanted->picture.rgb);
            wanted->picture.rgb = NULL;
            job->sent = at + 1;
            pthread_cond_broadcast(&p->changed);
            pthread_mutex_unlock(&p->lock);
        }
        /* Its worker may still be draining the decoder. */
        pthread_mutex_lock(&p->lock);
        while (!p->stop && !job->done)
            pthread_cond_wait(&p->changed, &p->lock);
        int stopped = p->stop;
        if (!stopped) {
            p->jobs[p->popped++ % p->room] = NULL;
            pthread_cond_broadcast(&p->changed);
        }
        pthread_mutex_unlock(&p->lock);
        if (stopped)
            return OUTCOME_DONE;
        job_free(job);
    }
}

/* ---- all together ---- */

static int start_workers(struct plan *p, struct worker *workers, int count, pthread_t *threads, int *started,
                         struct failure *failure)
{
    const struct run *run = p->run;
    for (int i = 0; i < count; i++) {
        workers[i].plan = p;
        workers[i].frame = av_frame_alloc();
        converter_init(&workers[i].converter, &run->input, &run->request);
        if (!workers[i].frame)
            return fail(failure, "memory", "no memory to start decoding");
        if (input_decoder(&run->input, &run->request, 1, &workers[i].decoder, failure))
            return -1;
        workers[i].concealment = workers[i].decoder->error_concealment;
    }
    for (int i = 0; i <= count; i++) {
        int error = i < count ? pthread_create(&threads[i], NULL, working_thread, &workers[i])
                              : pthread_create(&threads[i], NULL, reading_thread, p);
        if (error)
            return fail(failure, "memory", "no threads to decode with");
        ++*started;
    }
    return 0;
}

enum outcome decode_by_plan(struct run *run, struct failure *failure)
{
    int count = run->request.workers, started = 0;
    enum outcome outcome = OUTCOME_FAILED;
    struct plan p = {.run = run, .first_pts = AV_NOPTS_VALUE, .seek_helps = 1, .skip = run->next_sample};
    if (picture_reader_init(&p.reader, run->input.stream->codecpar))
        return OUTCOME_PLAIN;
    if (run->request.limit <= run->next_sample)
        return OUTCOME_DONE;
    p.next_sample = run->request.policy == POLICY_GRID || run->request.policy == POLICY_TIMES ? run->next_sample : 0;
    p.room = (size_t)count + 1;
    p.jobs = calloc(p.room, sizeof(*p.jobs));
    struct worker *workers = calloc((size_t)count, sizeof(*workers));
    pthread_t *threads = calloc((size_t)count + 1, sizeof(*threads));
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    if (!p.jobs || !workers || !threads)
        fail(failure, "memory", "no memory to start decoding");
    else if (start_workers(&p, workers, count, threads, &started, failure) == 0)
        outcome = send_pictures(&p);

    pthread_mutex_lock(&p.lock);
    p.stop = 1;
    pthread_cond_broadcast(&p.changed);
    pthread_mutex_unlock(&p.lock);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (outcome == OUTCOME_DONE && p.failed) {
        *failure = p.failure;
        outcome = OUTCOME_FAILED;
    } else if (outcome == OUTCOME_DONE && p.plain) {
        outcome = OUTCOME_PLAIN;
    }
    run->counts.packets += p.packets;
    run->counts.fed += p.fed;
    run->counts.planned = 1;
    if (outcome == OUTCOME_DONE && p.at_end &&
        tell_missing_end(run, p.last_pts + (p.last_duration > 0 ? p.last_duration : 1), 0, ""))
        outcome = OUTCOME_GONE;

    for (; p.jobs && p.popped < p.pushed; p.popped++)
        job_free(p.jobs[p.popped % p.room]);
    for (int i = 0; workers && i < count; i++) {
        avcodec_free_context(&workers[i].decoder);
        converter_free(&workers[i].converter);
        av_frame_free(&workers[i].frame);
    }
    free(p.jobs);
    free(workers);
    free(threads);
    pthread_cond_destroy(&p.changed);
    pthread_mutex_destroy(&p.lock);
    return outcome;
}
