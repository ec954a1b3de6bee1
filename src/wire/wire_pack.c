#include "wire.h"
#include "wire_scan.h"

int wire_pack(const ProtobufCMessage *message, struct hm_buf *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);

    if (hm_buf_reserve(out, size))
        return HM_ENOMEM;
    if (size > 0)
        out->len += protobuf_c_message_pack(message, out->data + out->len);
    return 0;
}

/* The arena as protobuf-c's allocator; remembers why it failed. */
struct arena_allocator {
    struct hm_arena *arena;
    bool failed;
    bool over_limit;
};

static void *arena_alloc(void *data, size_t size)
{
    struct arena_allocator *allocator = data;
    struct hm_arena *arena = allocator->arena;
    size_t limit = arena->limit ? arena->limit : HM_ARENA_LIMIT_BYTES;
    void *memory = hm_arena_alloc(arena, size);

    if (!memory) {
        allocator->failed = true;
        /* 16: what the arena may round up by */
        allocator->over_limit = arena->used > limit || limit - arena->used < size + 16;
    }
    return memory;
}

static void arena_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

static int unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                  struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    struct arena_allocator state = {.arena = arena};
    ProtobufCAllocator allocator = {
        .alloc = arena_alloc, .free = arena_free, .allocator_data = &state};
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, bytes.len,
                                                          bytes.data);

    if (!message && state.over_limit)
        return hm_fail(error, HM_ELIMIT,
                       "message %s of %zu bytes unfolds to more memory than one request may use",
                       descriptor->short_name, bytes.len);
    if (!message && state.failed)
        return hm_fail(error, HM_ENOMEM, "no memory to read a message %s", descriptor->short_name);
    if (!message)
        return hm_fail(error, HM_EPARSE, "message %s is malformed", descriptor->short_name);
    *out = message;
    return 0;
}

int wire_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes, size_t limit,
                struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    int rc;

    if (bytes.len > limit)
        return hm_fail(error, HM_ELIMIT, "message %s is %zu bytes long, at most %zu are taken",
                       descriptor->short_name, bytes.len, limit);
    rc = wire_scan(descriptor, bytes, error);
    return rc ? rc : unpack(descriptor, bytes, arena, out, error);
}

int wire_unpack_again(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                      struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    return unpack(descriptor, bytes, arena, out, error);
}
