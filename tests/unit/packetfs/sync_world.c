#include "sync_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "crypto.h"

#define PATIENCE_MS 5000

/* --- a volume ------------------------------------------------------------------------------------------------------- */

static int side_snapshots(void *ctx, struct packetfs_snapshot **out, size_t *count,
                          struct hm_error *error)
{
    const struct world_volume *volume = ctx;

    *out = hm_malloc((volume->count + 1) * sizeof(**out));
    if (*out == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a list");
    memcpy(*out, volume->snapshots, volume->count * sizeof(**out));
    *count = volume->count;
    return 0;
}

static int side_snapshot_read(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                              struct hm_buf *out, struct hm_error *error)
{
    const struct world_volume *volume = ctx;

    for (size_t i = 0; i < volume->count; i++)
        if (memcmp(volume->snapshots[i].id, id, PACKETFS_SNAPSHOT_ID_BYTES) == 0)
            return hm_buf_append(out, volume->sealed[i].data, volume->sealed[i].len);
    return hm_fail(error, HM_ENOTFOUND, "no such snapshot");
}

static int side_snapshot_open(void *ctx, struct hm_slice sealed, struct packetfs_snapshot *out,
                              struct hm_error *error)
{
    const struct world_volume *volume = ctx;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    uint8_t hash[32];
    int rc = crypto_open(volume->keys.snapshot, hm_slice_str("test"), sealed, &plain, error);

    if (rc != 0)
        return rc;
    if (plain.len != sizeof(*out))
        return hm_fail(error, HM_EPARSE, "no snapshot");
    memcpy(out, plain.data, sizeof(*out));
    crypto_hash(sealed.data, sealed.len, hash);
    memcpy(out->id, hash, sizeof(out->id));
    return 0;
}

static int side_snapshot_add(void *ctx, struct hm_slice sealed, struct hm_error *error)
{
    struct world_volume *volume = ctx;
    int rc;

    assert_true(volume->count < WORLD_SNAPSHOTS_MAX);
    rc = side_snapshot_open(ctx, sealed, &volume->snapshots[volume->count], error);
    if (rc == 0)
        rc = hm_buf_append(&volume->sealed[volume->count], sealed.data, sealed.len);
    volume->count += rc == 0;
    return rc;
}

static int side_flush(void *ctx, struct hm_error *error)
{
    struct world_volume *volume = ctx;

    volume->flushes++;
    if (volume->disk_is_full)
        return hm_fail(error, HM_EIO, "the disk is full");
    return 0;
}

static int side_seen_read(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                          uint64_t *sequence, struct hm_error *error)
{
    const struct world_volume *volume = ctx;

    (void)replica;
    (void)error;
    *sequence = volume->seen;
    return 0;
}

static int side_seen_write(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                           uint64_t sequence, struct hm_error *error)
{
    struct world_volume *volume = ctx;

    (void)replica;
    (void)error;
    volume->seen = sequence;
    return 0;
}

struct world_volume *world_volume_new(const uint8_t key[32])
{
    static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    struct world_volume *volume = hm_calloc(1, sizeof(*volume));

    assert_non_null(volume);
    packetfs_keys_derive(key, volume_id, &volume->keys);
    assert_int_equal(packetfs_memory_new(key, &volume->memory), 0);
    volume->side = (struct packetfs_side){
        .keys = &volume->keys,
        .objects = packetfs_memory_objects(volume->memory),
        .ctx = volume,
        .snapshots = side_snapshots,
        .snapshot_read = side_snapshot_read,
        .snapshot_open = side_snapshot_open,
        .snapshot_add = side_snapshot_add,
        .flush = side_flush,
        .seen_read = side_seen_read,
        .seen_write = side_seen_write,
    };
    return volume;
}

void world_volume_free(struct world_volume *volume)
{
    for (size_t i = 0; i < WORLD_SNAPSHOTS_MAX; i++)
        hm_buf_release(&volume->sealed[i]);
    packetfs_memory_free(volume->memory);
    hm_free(volume);
}

void world_seal(struct world_volume *volume, struct packetfs_snapshot *snapshot, struct hm_buf *out)
{
    uint8_t hash[32];

    memset(snapshot->id, 0, sizeof(snapshot->id));
    assert_int_equal(crypto_seal(volume->keys.snapshot, hm_slice_str("test"),
                                 hm_slice_of(snapshot, sizeof(*snapshot)), hm_random_system(), out,
                                 NULL),
                     0);
    crypto_hash(out->data, out->len, hash);
    memcpy(snapshot->id, hash, sizeof(snapshot->id));
}

static struct packetfs_content put_content(struct world_volume *volume,
                                           const struct hm_slice *pieces, size_t count)
{
    const struct packetfs_objects *objects = &volume->side.objects;
    struct packetfs_list_builder *list;
    struct packetfs_content content;
    struct packetfs_id id;

    assert_int_equal(packetfs_list_new(objects, volume->keys.node, &list, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(objects->put(objects->ctx, PACKETFS_PATTERN, pieces[i], &id, NULL), 0);
        assert_int_equal(packetfs_list_add(list, &id, pieces[i].len, NULL), 0);
    }
    assert_int_equal(packetfs_list_finish(list, &content, NULL), 0);
    packetfs_list_free(list);
    return content;
}

void world_put(struct world_volume *volume, const char *label, const struct hm_slice *pieces,
               size_t count)
{
    struct packetfs_folder_builder *folder;
    const struct packetfs_entry entry = {.name = hm_slice_str("file"),
                                         .type = PACKETFS_FILE,
                                         .mode = 0600,
                                         .mtime_s = (int64_t)volume->count,
                                         .content = put_content(volume, pieces, count)};
    struct packetfs_snapshot snapshot;
    size_t at = volume->count;

    assert_true(at < WORLD_SNAPSHOTS_MAX);
    memset(&snapshot, 0, sizeof(snapshot));
    snapshot.sequence = at > 0 ? volume->snapshots[at - 1].sequence + 1 : 1;
    snapshot.files = 1;
    for (size_t i = 0; i < count; i++)
        snapshot.bytes += pieces[i].len;
    memcpy(snapshot.label, label, strlen(label));
    assert_int_equal(packetfs_folder_new(&volume->side.objects, volume->keys.node, &folder, NULL),
                     0);
    assert_int_equal(packetfs_folder_add(folder, &entry, NULL), 0);
    assert_int_equal(packetfs_folder_finish(folder, &snapshot.root, NULL), 0);
    packetfs_folder_free(folder);
    world_seal(volume, &snapshot, &volume->sealed[at]);
    volume->snapshots[at] = snapshot;
    volume->count++;
}

void world_get(struct world_volume *volume, struct hm_buf *out)
{
    const struct packetfs_objects *objects = &volume->side.objects;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct packetfs_list_cursor *cursor;
    struct packetfs_entry entry;
    struct packetfs_piece piece;
    int rc;

    assert_true(volume->count > 0);
    assert_int_equal(packetfs_tree_find(objects, &volume->snapshots[volume->count - 1].root,
                                        hm_slice_str("file"), &entry, &buf, NULL),
                     0);
    assert_int_equal(packetfs_list_open(objects, &entry.content, &cursor, NULL), 0);
    while ((rc = packetfs_list_next(cursor, &piece, NULL)) == 0)
        assert_int_equal(objects->get(objects->ctx, PACKETFS_PATTERN, &piece.id, out, NULL), 0);
    assert_int_equal(rc, HM_ENOTFOUND);
    packetfs_list_close(cursor);
}

/* --- a wire --------------------------------------------------------------------------------------------------------- */

struct direction { /* what one end wrote and the other has not read */
    struct { /* not of the allocator whose failures are tried */
        uint8_t *data;
        size_t len;
    } bytes;
    size_t at;
    uint64_t written, flip_at, cut_at;
    bool closed;
};

struct wire_end {
    struct world_wire *wire;
    unsigned number;
};

struct world_wire {
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct direction from[2];
    struct wire_end ends[2];
};

struct world_wire *world_wire_new(void)
{
    struct world_wire *wire = hm_calloc(1, sizeof(*wire));

    assert_non_null(wire);
    (void)pthread_mutex_init(&wire->lock, NULL);
    (void)pthread_cond_init(&wire->news, NULL);
    for (unsigned i = 0; i < 2; i++) {
        wire->ends[i] = (struct wire_end){wire, i};
        wire->from[i].flip_at = wire->from[i].cut_at = UINT64_MAX;
    }
    return wire;
}

void world_wire_free(struct world_wire *wire)
{
    for (unsigned i = 0; i < 2; i++)
        free(wire->from[i].bytes.data);
    (void)pthread_cond_destroy(&wire->news);
    (void)pthread_mutex_destroy(&wire->lock);
    hm_free(wire);
}

static int64_t wire_read(void *ctx, void *out, size_t len, int timeout_ms)
{
    struct wire_end *end = ctx;
    struct world_wire *wire = end->wire;
    struct direction *from = &wire->from[1 - end->number];
    struct timespec until;
    int64_t result = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += timeout_ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&wire->lock);
    while (from->at == from->bytes.len && !from->closed && result == 0)
        if (pthread_cond_timedwait(&wire->news, &wire->lock, &until) != 0)
            result = HM_ETIMEOUT;
    if (from->at < from->bytes.len) {
        size_t part = from->bytes.len - from->at;

        if (part > len)
            part = len;
        if (part > 1000) /* messages arrive in pieces */
            part = part / 2 + 1;
        memcpy(out, from->bytes.data + from->at, part);
        from->at += part;
        result = (int64_t)part;
        if (from->at == from->bytes.len) {
            from->bytes.len = from->at = 0;
        }
    }
    (void)pthread_mutex_unlock(&wire->lock);
    return result;
}

static int64_t wire_write(void *ctx, const void *data, size_t len, int timeout_ms)
{
    struct wire_end *end = ctx;
    struct world_wire *wire = end->wire;
    struct direction *from = &wire->from[end->number];
    int64_t result = (int64_t)len;

    (void)timeout_ms;
    (void)pthread_mutex_lock(&wire->lock);
    if (from->closed || from->written + len > from->cut_at) {
        wire->from[0].closed = wire->from[1].closed = true;
        result = HM_EUNAVAILABLE;
    } else {
        size_t at = from->bytes.len;

        from->bytes.data = realloc(from->bytes.data, at + len + 1);
        assert_non_null(from->bytes.data);
        memcpy(from->bytes.data + at, data, len);
        from->bytes.len += len;
        if (from->flip_at >= from->written && from->flip_at < from->written + len)
            from->bytes.data[at + (size_t)(from->flip_at - from->written)] ^= 0x20;
        from->written += len;
    }
    (void)pthread_cond_broadcast(&wire->news);
    (void)pthread_mutex_unlock(&wire->lock);
    return result;
}

struct packetfs_channel world_wire_end(struct world_wire *wire, unsigned end)
{
    return (struct packetfs_channel){&wire->ends[end], wire_read, wire_write, NULL};
}

void world_wire_close(struct world_wire *wire, unsigned end)
{
    (void)pthread_mutex_lock(&wire->lock);
    wire->from[end].closed = true;
    (void)pthread_cond_broadcast(&wire->news);
    (void)pthread_mutex_unlock(&wire->lock);
}

uint64_t world_wire_bytes(struct world_wire *wire, unsigned from)
{
    return wire->from[from].written;
}

void world_wire_flip(struct world_wire *wire, unsigned from, uint64_t at)
{
    wire->from[from].flip_at = at;
}

void world_wire_cut(struct world_wire *wire, unsigned from, uint64_t at)
{
    wire->from[from].cut_at = at;
}

/* --- a transfer ------------------------------------------------------------------------------------------------------ */

void world_transfer_init(struct world_transfer *transfer, struct world_volume *source,
                         struct world_volume *sink)
{
    *transfer = (struct world_transfer){.source = source, .sink = sink};
    for (int i = 0; i < PACKETFS_KINDS; i++)
        transfer->wires[i] = world_wire_new();
}

void world_transfer_release(struct world_transfer *transfer)
{
    for (int i = 0; i < PACKETFS_KINDS; i++)
        world_wire_free(transfer->wires[i]);
}

struct source_thread {
    struct world_transfer *transfer;
    enum packetfs_kind kind;
    int code;
    struct hm_error error;
};

static void *source_main(void *arg)
{
    struct source_thread *thread = arg;
    struct world_wire *wire = thread->transfer->wires[thread->kind];
    struct packetfs_source source = {.side = &thread->transfer->source->side,
                                     .kind = thread->kind,
                                     .choice = thread->transfer->choice};
    struct packetfs_talk talk;

    packetfs_talk_init(&talk, world_wire_end(wire, 0), PATIENCE_MS);
    thread->code = packetfs_sync_source(&source, &talk, &thread->error);
    if (thread->code != 0)
        packetfs_talk_fail(&talk, &thread->error);
    world_wire_close(wire, 0);
    packetfs_talk_release(&talk);
    return NULL;
}

static int sink_patterns(void *ctx, bool many, struct packetfs_talk **out, struct hm_error *error)
{
    (void)many;
    (void)error;
    *out = ctx;
    return 0;
}

void world_transfer_run(struct world_transfer *transfer)
{
    struct source_thread threads[PACKETFS_KINDS] = {{.transfer = transfer, .kind = 0},
                                                    {.transfer = transfer, .kind = 1}};
    struct packetfs_talk talks[PACKETFS_KINDS];
    struct packetfs_wire_hello hello = {.role = PACKETFS_WIRE_SOURCE, .replica = {1}};
    struct packetfs_sink sink = {.side = &transfer->sink->side,
                                 .references = &talks[PACKETFS_REFERENCE],
                                 .patterns = sink_patterns,
                                 .patterns_ctx = &talks[PACKETFS_PATTERN],
                                 .peer = &hello,
                                 .accept_rollback = transfer->accept_rollback};
    pthread_t ids[PACKETFS_KINDS];

    for (size_t i = 0; i < transfer->source->count; i++)
        if (transfer->source->snapshots[i].sequence > hello.sequence)
            hello.sequence = transfer->source->snapshots[i].sequence;
    if (transfer->claimed_sequence != 0)
        hello.sequence = transfer->claimed_sequence;
    for (int i = 0; i < PACKETFS_KINDS; i++) {
        assert_int_equal(pthread_create(&ids[i], NULL, source_main, &threads[i]), 0);
        packetfs_talk_init(&talks[i], world_wire_end(transfer->wires[i], 1), PATIENCE_MS);
    }
    hm_alloc_fail_at(transfer->fail_nth);
    transfer->sink_code = packetfs_sync_sink(&sink, &transfer->sink_error);
    hm_alloc_fail_at(0);
    if (transfer->sink_code != 0)
        packetfs_talk_fail(&talks[PACKETFS_REFERENCE], &transfer->sink_error);
    for (int i = 0; i < PACKETFS_KINDS; i++)
        world_wire_close(transfer->wires[i], 1);
    for (int i = 0; i < PACKETFS_KINDS; i++) {
        (void)pthread_join(ids[i], NULL);
        packetfs_talk_release(&talks[i]);
    }
    transfer->done = sink.done;
    transfer->source_code = threads[PACKETFS_REFERENCE].code;
    transfer->source_error = threads[PACKETFS_REFERENCE].error;
}

/* --- a file --- */

void world_file_make(struct world_file *file, uint64_t seed)
{
    struct hm_random_seeded state;
    struct hm_random random = hm_random_seeded_source(&state, seed);

    file->bytes = hm_malloc((size_t)WORLD_PIECES * WORLD_PIECE_BYTES);
    assert_int_equal(random.fill(random.ctx, file->bytes, (size_t)WORLD_PIECES * WORLD_PIECE_BYTES),
                     0);
    for (size_t i = 0; i < WORLD_PIECES; i++)
        file->pieces[i] = hm_slice_of(file->bytes + i * WORLD_PIECE_BYTES, WORLD_PIECE_BYTES);
}

void world_assert_file(struct world_volume *volume, const struct world_file *file)
{
    HM_CLEANUP(hm_buf) struct hm_buf got = {0};

    world_get(volume, &got);
    assert_int_equal(got.len, (size_t)WORLD_PIECES * WORLD_PIECE_BYTES);
    assert_memory_equal(got.data, file->bytes, got.len);
}

struct world_transfer world_run(struct world_volume *source, struct world_volume *sink, int code)
{
    struct world_transfer transfer;

    world_transfer_init(&transfer, source, sink);
    world_transfer_run(&transfer);
    if (transfer.sink_code != code)
        fail_msg("%d %s / %d %s", transfer.sink_code, transfer.sink_error.text,
                 transfer.source_code, transfer.source_error.text);
    return transfer;
}

/* --- two volumes and a file --- */

const uint8_t world_key[32] = {1, 2, 3};

int world_pair_setup(void **state)
{
    struct world_pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    pair->source = world_volume_new(world_key);
    pair->sink = world_volume_new(world_key);
    *state = pair;
    return 0;
}

int world_pair_teardown(void **state)
{
    struct world_pair *pair = *state;

    world_volume_free(pair->source);
    world_volume_free(pair->sink);
    hm_free(pair->file.bytes);
    free(pair);
    return 0;
}

void world_sync(const struct world_pair *pair)
{
    struct world_transfer transfer = world_run(pair->source, pair->sink, 0);

    world_transfer_release(&transfer);
}
