#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>

void world_keys(uint64_t number, struct packetfs_keys *out)
{
    uint8_t key[PACKETFS_KEY_BYTES] = {0};
    uint8_t id[PACKETFS_VOLUME_ID_BYTES] = {0};

    hm_put_be64(key, number);
    hm_put_be64(id, number);
    packetfs_keys_derive(key, id, out);
}

void world_init(struct world *world)
{
    const char *base = getenv("TMPDIR");
    struct hm_error error;

    memset(world, 0, sizeof(*world));
    (void)snprintf(world->dir, sizeof(world->dir), "%s/packetfs-store-XXXXXX",
                   base ? base : "/tmp");
    assert_non_null(mkdtemp(world->dir));
    assert_ok(crypto_setup(&error));
    world_keys(1, &world->keys);
    world->options = (struct packetfs_store_options){
        .suite = PACKETFS_SUITE_AES_256_GCM,
        .zstd_level = 3,
        .pad = true,
        .dictionaries = true,
        .dictionary_samples_bytes = WORLD_DICTIONARY_SAMPLES};
    assert_ok(
        packetfs_store_open(world->dir, &world->keys, &world->options, &world->store, &error));
}

void world_reopen(struct world *world)
{
    struct hm_error error;

    packetfs_store_close(HM_TAKE(world->store));
    assert_ok(
        packetfs_store_open(world->dir, &world->keys, &world->options, &world->store, &error));
}

void world_release(struct world *world)
{
    struct hm_error error;

    packetfs_store_close(HM_TAKE(world->store));
    assert_ok(hm_remove_tree(world->dir, &error));
}

void world_object(uint64_t n, size_t len, struct hm_buf *out)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, n + 1);

    hm_buf_clear(out);
    assert_int_equal(hm_buf_reserve(out, len + 32), 0);
    if (n % 2 == 0 && n < WORLD_SMALL) {
        assert_int_equal(source.fill(source.ctx, out->data, len), 0);
        out->len = len;
        return;
    }
    while (out->len < len)
        assert_int_equal(
            hm_buf_printf(out, "%llu words ", (unsigned long long)(hm_random_u64(&source) % 5000)),
            0);
    out->len = len;
}

void world_put(struct packetfs_writer *writer, enum packetfs_kind kind, uint64_t n, size_t len,
               struct packetfs_id *id)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct hm_error error;

    world_object(n, len, &bytes);
    assert_ok(packetfs_writer_put(writer, kind, hm_buf_slice(&bytes), id, &error));
}

void world_id(const struct world *world, enum packetfs_kind kind, uint64_t n, size_t len,
              struct packetfs_id *id)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    world_object(n, len, &bytes);
    packetfs_keys_object_id(&world->keys, kind, hm_buf_slice(&bytes), id);
}

int world_check(struct packetfs_store *store, enum packetfs_kind kind, uint64_t n, size_t len,
                const struct packetfs_id *id, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf want = {0};
    HM_CLEANUP(hm_buf) struct hm_buf got = {0};
    int rc = packetfs_store_get(store, kind, id, &got, error);

    if (rc)
        return rc;
    world_object(n, len, &want);
    if (!hm_slice_equal(hm_buf_slice(&want), hm_buf_slice(&got)))
        fail_msg("object %llu came back as other bytes", (unsigned long long)n);
    return 0;
}

size_t world_len(uint64_t n)
{
    static const size_t lens[] = {100, 4096, 65536, 70001, 20000, 3000};

    return n < WORLD_SMALL ? lens[n % HM_COUNT_OF(lens)] : 500 + n * 37 % 600;
}

void world_snapshot(struct world *world, struct packetfs_writer *writer, const uint64_t *numbers,
                    size_t count, const char *label, struct packetfs_snapshot *out)
{
    struct packetfs_objects objects = packetfs_writer_objects(writer);
    struct packetfs_list_builder *list = NULL;
    struct packetfs_content content;
    struct packetfs_snapshot snapshot = {.time_ns = 1, .files = 1};
    struct hm_error error;

    assert_true(count >= 2);
    assert_ok(packetfs_list_new(&objects, world->keys.node, &list, &error));
    for (size_t i = 0; i < count; i++) {
        struct packetfs_id id;

        world_put(writer, PACKETFS_PATTERN, numbers[i], world_len(numbers[i]), &id);
        assert_ok(packetfs_list_add(list, &id, world_len(numbers[i]), &error));
    }
    assert_ok(packetfs_list_finish(list, &content, &error));
    packetfs_list_free(list);
    assert_ok(packetfs_writer_flush(writer, &error));
    snapshot.root = content.id;
    (void)snprintf(snapshot.label, sizeof(snapshot.label), "%s", label);
    assert_ok(packetfs_snapshot_add(world->store, &snapshot, &error));
    *out = snapshot;
}

void world_check_numbers(struct world *world, const uint64_t *numbers, size_t count)
{
    struct hm_error error;

    for (size_t i = 0; i < count; i++) {
        struct packetfs_id id;
        size_t len = world_len(numbers[i]);

        world_id(world, PACKETFS_PATTERN, numbers[i], len, &id);
        assert_ok(world_check(world->store, PACKETFS_PATTERN, numbers[i], len, &id, &error));
    }
}

static void take_finding(void *ctx, const char *sentence)
{
    (void)hm_buf_printf(ctx, "%s\n", sentence);
}

int world_findings(struct world *world, bool full, struct hm_buf *out)
{
    const struct packetfs_watch watch = {.finding = take_finding, .ctx = out};
    struct packetfs_check_result result = {0};
    struct hm_error error = {0};
    int rc = packetfs_store_check(world->store, full, &watch, &result, &error);

    if (rc && rc != HM_ECORRUPT)
        fail_msg("check: %s", error.text);
    return rc;
}

struct packetfs_prune_result world_prune(struct world *world, unsigned percent)
{
    const struct packetfs_prune_options options = {.unused_percent = percent};
    struct packetfs_prune_result result = {0};
    struct hm_error error;

    assert_ok(packetfs_store_prune(world->store, &options, NULL, &result, &error));
    return result;
}

struct packetfs_stats world_stats(struct world *world)
{
    struct packetfs_stats stats = {0};
    struct hm_error error;

    assert_ok(packetfs_store_stats(world->store, &stats, &error));
    return stats;
}
