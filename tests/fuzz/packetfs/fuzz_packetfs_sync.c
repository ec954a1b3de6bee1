/* A hostile peer's whole conversation. First byte 0: it is the source of an empty sink, which must not hold a snapshot that is not
 * whole; 1: it is the sink of a small source, references; 2: patterns. Of a source both connections: the second and third byte
 * say how much of the rest is the first's. */
#include <stdlib.h>

#include "sync_world.h"

struct script {
    struct hm_slice rest;
};

static int64_t script_read(void *ctx, void *out, size_t len, int timeout_ms)
{
    struct script *script = ctx;
    size_t part = script->rest.len < len ? script->rest.len : len;

    (void)timeout_ms;
    if (part > 0) {
        memcpy(out, script->rest.data, part);
        script->rest = hm_slice_of(script->rest.data + part, script->rest.len - part);
    }
    return (int64_t)part;
}

static int64_t script_write(void *ctx, const void *data, size_t len, int timeout_ms)
{
    (void)ctx;
    (void)data;
    (void)timeout_ms;
    return (int64_t)len;
}

static int patterns_talk(void *ctx, bool many, struct packetfs_talk **out, struct hm_error *error)
{
    (void)many;
    (void)error;
    *out = ctx;
    return 0;
}

static const uint8_t key[32] = {1, 2, 3};

static void hostile_source(struct hm_slice in)
{
    size_t first = in.len < 2 ? 0 : (size_t)in.data[0] << 8 | in.data[1];
    struct hm_slice rest = in.len < 2 ? (struct hm_slice){0} : hm_slice_of(in.data + 2, in.len - 2);
    struct script scripts[PACKETFS_KINDS];
    struct packetfs_talk talks[PACKETFS_KINDS];
    struct packetfs_wire_hello hello = {.sequence = 1};
    struct world_volume *volume = world_volume_new(key);
    struct packetfs_sink sink = {.side = &volume->side,
                                 .references = &talks[PACKETFS_REFERENCE],
                                 .patterns = patterns_talk,
                                 .patterns_ctx = &talks[PACKETFS_PATTERN],
                                 .peer = &hello};

    if (first > rest.len)
        first = rest.len;
    scripts[PACKETFS_REFERENCE].rest = hm_slice_of(rest.data, first);
    scripts[PACKETFS_PATTERN].rest = hm_slice_of(rest.data == NULL ? NULL : rest.data + first,
                                                 rest.len - first);
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        packetfs_talk_init(
            &talks[kind],
            (struct packetfs_channel){&scripts[kind], script_read, script_write, NULL}, 1000);
    if (packetfs_sync_sink(&sink, NULL) == 0 && volume->count > 0) {
        HM_CLEANUP(hm_buf) struct hm_buf got = {0};

        world_get(volume, &got);
    }
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        packetfs_talk_release(&talks[kind]);
    world_volume_free(volume);
}

static void hostile_sink(struct hm_slice in, enum packetfs_kind kind)
{
    static struct world_volume *volume;
    const struct hm_slice pieces[] = {hm_slice_str("one"), hm_slice_str("two")};
    struct packetfs_source source = {.kind = kind};
    struct script script = {in};
    struct packetfs_talk talk;

    if (volume == NULL) {
        volume = world_volume_new(key);
        world_put(volume, "label", pieces, 2);
    }
    source.side = &volume->side;
    packetfs_talk_init(&talk, (struct packetfs_channel){&script, script_read, script_write, NULL},
                       1000);
    if (packetfs_sync_source(&source, &talk, NULL) == 0 && source.objects > 100000)
        abort();
    packetfs_talk_release(&talk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 0)
        hostile_source(hm_slice_of(data + 1, size - 1));
    else if (data[0] <= 2)
        hostile_sink(hm_slice_of(data + 1, size - 1),
                     data[0] == 1 ? PACKETFS_REFERENCE : PACKETFS_PATTERN);
    return 0;
}
