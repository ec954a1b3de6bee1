/* One file's bytes, cut as they come: pieces become patterns, in this thread or in others, and in order a list. */
#include "put/packetfs_put.h"

#include <stdatomic.h>

/* --- parts ---------------------------------------------------------------------------------------------------------------- */
static void part_free(struct packetfs_put_part *part)
{
    if (part == NULL)
        return;
    hm_free(part->data);
    hm_free(part->lens);
    hm_free(part->ids);
    hm_free(part->known);
    hm_free(part);
}

static struct packetfs_put_part *part_new(struct packetfs_put *put)
{
    struct packetfs_put_part *part = hm_calloc(1, sizeof(*part));
    size_t max = packetfs_cutter_max(put->cutter);
    size_t cuts = (PACKETFS_PUT_READ + max) / 256 + 2; /* no chunk but the last is shorter */

    if (part == NULL)
        return NULL;
    part->put = put;
    part->data = hm_malloc(PACKETFS_PUT_READ + max);
    part->lens = hm_malloc(cuts * sizeof(*part->lens));
    part->ids = hm_malloc(cuts * sizeof(*part->ids));
    part->known = hm_malloc(cuts * sizeof(*part->known));
    if (part->data != NULL && part->lens != NULL && part->ids != NULL && part->known != NULL)
        return part;
    part_free(part);
    return NULL;
}

static struct packetfs_put_part *part_take(struct packetfs_put *put)
{
    (void)pthread_mutex_lock(&put->lock);
    struct packetfs_put_part *part = put->parts;
    if (part != NULL)
        put->parts = part->next;
    (void)pthread_mutex_unlock(&put->lock);
    if (part == NULL)
        part = part_new(put);
    if (part != NULL) {
        part->count = 0;
        part->result = 0;
        atomic_store_explicit(&part->done, false, memory_order_relaxed);
    }
    return part;
}

static void part_give(struct packetfs_put *put, struct packetfs_put_part *part)
{
    if (part == NULL)
        return;
    (void)pthread_mutex_lock(&put->lock);
    part->next = put->parts;
    put->parts = part;
    (void)pthread_mutex_unlock(&put->lock);
}

void packetfs_put_parts_free(struct packetfs_put *put)
{
    while (put->parts != NULL) {
        struct packetfs_put_part *part = put->parts;
        put->parts = part->next;
        part_free(part);
    }
}

static void part_store(struct packetfs_put_part *part)
{
    struct packetfs_put *put = part->put;
    const uint8_t *at = part->data;

    for (size_t i = 0; i < part->count && part->result == 0; i++) {
        if (!part->known[i])
            part->result = put->objects.put(put->objects.ctx, PACKETFS_PATTERN,
                                            hm_slice_of(at, part->lens[i]), &part->ids[i],
                                            &part->error);
        at += part->lens[i];
    }
    if (part->result != 0)
        packetfs_put_fatal(put, part->result, &part->error);
    atomic_fetch_add_explicit(&put->report.bytes_done, (uint64_t)(at - part->data),
                              memory_order_relaxed);
}

static void part_run(struct packetfs_job *job, unsigned worker)
{
    struct packetfs_put_part *part = (struct packetfs_put_part *)(void *)job;

    (void)worker;
    part_store(part);
    atomic_store_explicit(&part->done, true, memory_order_release);
}

/* --- pieces in order ------------------------------------------------------------------------------------------------------ */
static int piece_add(struct packetfs_put_cut *cut, const struct packetfs_id *id, uint64_t len,
                     struct hm_error *error)
{
    struct packetfs_put *put = cut->put;
    int result = 0;

    cut->bytes += len;
    if (cut->pieces++ == 0) {
        cut->first_hole = id == NULL;
        cut->first_len = len;
        if (id != NULL)
            cut->first = *id;
        return 0;
    }
    if (cut->list == NULL) {
        result = packetfs_list_new(&put->objects, put->node_key, &cut->list, error);
        if (result == 0)
            result = packetfs_list_add(cut->list, cut->first_hole ? NULL : &cut->first,
                                       cut->first_len, error);
    }
    return result == 0 ? packetfs_list_add(cut->list, id, len, error) : result;
}

static int part_collect(struct packetfs_put_cut *cut, struct packetfs_put_part *part,
                        struct hm_error *error)
{
    int result = part->result;

    if (result != 0 && error != NULL)
        *error = part->error;
    for (size_t i = 0; result == 0 && i < part->count; i++)
        result = piece_add(cut, &part->ids[i], part->lens[i], error);
    part_give(cut->put, part);
    return result;
}

/* Until at most that many parts are with other threads. */
static int ring_collect(struct packetfs_put_cut *cut, size_t most, struct hm_error *error)
{
    int result = 0;

    while (cut->ring_count > 0) {
        struct packetfs_put_part *part = cut->ring[cut->ring_first];
        if (!atomic_load_explicit(&part->done, memory_order_acquire)) {
            if (cut->ring_count <= most)
                break;
            packetfs_pool_wait(cut->put->pool, true, &part->done);
        }
        cut->ring_first = (cut->ring_first + 1) % PACKETFS_PUT_PARTS;
        cut->ring_count--;
        int one = part_collect(cut, part, result == 0 ? error : NULL);
        if (result == 0)
            result = one;
    }
    return result;
}

/* --- cutting ---------------------------------------------------------------------------------------------------- */
/* Where the old cuts still hold; the length of what they cut. */
static size_t part_guess(struct packetfs_put_cut *cut, struct packetfs_put_part *part, size_t at,
                         size_t have, bool last)
{
    uint64_t began = packetfs_now_ns();
    size_t len;

    while (at < have && (len = packetfs_guess_take(cut->guess, part->data + at, have - at, last,
                                                   &part->ids[part->count])) > 0) {
        part->known[part->count] = true;
        part->lens[part->count++] = (uint32_t)len;
        at += len;
    }
    atomic_fetch_add_explicit(&cut->put->ns_hash, packetfs_now_ns() - began, memory_order_relaxed);
    return at;
}

/* Cuts what is in the part; the length of what was cut. */
static size_t part_search(struct packetfs_put_cut *cut, struct packetfs_put_part *part, size_t have,
                          bool last)
{
    struct packetfs_put *put = cut->put;
    size_t max = packetfs_cutter_max(put->cutter), at = 0;
    uint64_t began = packetfs_now_ns(), guessed = 0;

    /* Without the most a chunk can have at hand the cutter would look in vain, and look again. */
    while (at < have && (last || have - at >= max)) {
        if (cut->guess != NULL) {
            uint64_t before = packetfs_now_ns();
            at = part_guess(cut, part, at, have, last);
            guessed += packetfs_now_ns() - before;
            if (at == have || (!last && have - at < max))
                break;
        }
        size_t len = packetfs_cutter_next(put->cutter, part->data + at, have - at, last);
        part->known[part->count] = cut->guess != NULL &&
                                   packetfs_guess_again(cut->guess, part->data + at, len,
                                                        &part->ids[part->count]);
        part->lens[part->count++] = (uint32_t)len;
        at += len;
    }
    atomic_fetch_add_explicit(&put->ns_chunk, packetfs_now_ns() - began - guessed,
                              memory_order_relaxed);
    return at;
}

/* Stores the part's first `done` bytes here or in another thread; the part at hand is then one with the bytes behind them in front. */
static int part_pass(struct packetfs_put_cut *cut, size_t done, bool last, struct hm_error *error)
{
    struct packetfs_put *put = cut->put;
    struct packetfs_put_part *full = cut->part;
    /* Of the last one its result is waited for at once. */
    bool over = !last && packetfs_pool_idle(put->pool);
    size_t left = cut->have - done;
    int result = 0;

    if (!over && cut->ring_count == 0) {
        part_store(full);
        result = full->result;
        if (result != 0 && error != NULL)
            *error = full->error;
        for (size_t i = 0; result == 0 && i < full->count; i++)
            result = piece_add(cut, &full->ids[i], full->lens[i], error);
        memmove(full->data, full->data + done, left);
        full->count = 0;
        cut->have = left;
        return result;
    }
    if (cut->ring_count == PACKETFS_PUT_PARTS)
        result = ring_collect(cut, PACKETFS_PUT_PARTS - 1, error);
    struct packetfs_put_part *next = result == 0 ? part_take(put) : NULL;
    if (next == NULL)
        return result != 0 ? result : hm_fail(error, HM_ENOMEM, "no memory to read a file");
    memcpy(next->data, full->data + done, left);
    full->job.run = part_run;
    cut->ring[(cut->ring_first + cut->ring_count++) % PACKETFS_PUT_PARTS] = full;
    cut->part = next;
    cut->have = left;
    if (over)
        packetfs_pool_add_urgent(put->pool, &full->job);
    else
        part_run(&full->job, 0);
    return ring_collect(cut, PACKETFS_PUT_PARTS, error);
}

/* --- for those who have the bytes ------------------------------------------------------------------------------------------- */
static size_t part_bytes(const struct packetfs_put_cut *cut)
{
    return PACKETFS_PUT_READ + packetfs_cutter_max(cut->put->cutter);
}

int packetfs_put_cut_room(struct packetfs_put_cut *cut, uint8_t **at, size_t *len,
                          struct hm_error *error)
{
    if (cut->part == NULL) {
        cut->part = part_take(cut->put);
        cut->have = 0;
    }
    if (cut->part == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read a file");
    *at = cut->part->data + cut->have;
    *len = part_bytes(cut) - cut->have;
    return 0;
}

int packetfs_put_cut_filled(struct packetfs_put_cut *cut, size_t len, bool last,
                            struct hm_error *error)
{
    cut->have += len;
    if (cut->have == 0 || (!last && cut->have < part_bytes(cut)))
        return 0;
    return part_pass(cut, part_search(cut, cut->part, cut->have, last), last, error);
}

int packetfs_put_cut_hole(struct packetfs_put_cut *cut, uint64_t len, struct hm_error *error)
{
    int result = ring_collect(cut, 0, error);

    return result == 0 ? piece_add(cut, NULL, len, error) : result;
}

int packetfs_put_cut_finish(struct packetfs_put_cut *cut, struct packetfs_content *out,
                            struct hm_error *error)
{
    int result = ring_collect(cut, 0, error);

    if (result != 0)
        return result;
    if (cut->list != NULL)
        return packetfs_list_finish(cut->list, out, error);
    if (cut->pieces == 0) {
        *out = (struct packetfs_content){.kind = PACKETFS_CONTENT_EMPTY};
        return 0;
    }
    if (!cut->first_hole) {
        *out = (struct packetfs_content){
            .kind = PACKETFS_CONTENT_PATTERN, .id = cut->first, .bytes = cut->first_len};
        return 0;
    }
    result = packetfs_list_new(&cut->put->objects, cut->put->node_key, &cut->list, error);
    if (result == 0)
        result = packetfs_list_add(cut->list, NULL, cut->first_len, error);
    return result == 0 ? packetfs_list_finish(cut->list, out, error) : result;
}

void packetfs_put_cut_release(struct packetfs_put_cut *cut)
{
    (void)ring_collect(cut, 0, NULL);
    part_give(cut->put, cut->part);
    cut->part = NULL;
    cut->have = 0;
    packetfs_list_free(cut->list);
    packetfs_guess_free(cut->guess);
    cut->list = NULL;
    cut->guess = NULL;
}
