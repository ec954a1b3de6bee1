/* The twin in memory: an open-addressed table of objects behind one lock. */
#include <pthread.h>

#include "packetfs_keys.h"

#define MEMORY_SLOTS_FIRST 64

struct memory_slot {
    struct packetfs_id id;
    uint8_t *data; /* NULL: free, or gone (then gone is true) */
    size_t len;
    enum packetfs_kind kind;
    bool gone;
};

struct packetfs_memory {
    pthread_mutex_t lock;
    struct packetfs_keys keys;
    struct memory_slot *slots;
    size_t room, used; /* used: with those that are gone */
    size_t count[PACKETFS_KINDS];
    uint64_t bytes[PACKETFS_KINDS];
};

int packetfs_memory_new(const uint8_t key[32], struct packetfs_memory **out)
{
    static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    struct packetfs_memory *memory = hm_calloc(1, sizeof(*memory));

    if (memory == NULL)
        return HM_ENOMEM;
    memory->slots = hm_calloc(MEMORY_SLOTS_FIRST, sizeof(*memory->slots));
    if (memory->slots == NULL || pthread_mutex_init(&memory->lock, NULL) != 0) {
        hm_free(memory->slots);
        hm_free(memory);
        return HM_ENOMEM;
    }
    memory->room = MEMORY_SLOTS_FIRST;
    packetfs_keys_derive(key, volume_id, &memory->keys);
    *out = memory;
    return 0;
}

void packetfs_memory_free(struct packetfs_memory *memory)
{
    if (memory == NULL)
        return;
    for (size_t i = 0; i < memory->room; i++)
        hm_free(memory->slots[i].data);
    hm_free(memory->slots);
    packetfs_keys_release(&memory->keys);
    (void)pthread_mutex_destroy(&memory->lock);
    hm_free(memory);
}

/* The object's slot, or the free one where it would go. */
static struct memory_slot *slot_of(struct memory_slot *slots, size_t room, enum packetfs_kind kind,
                                   const struct packetfs_id *id)
{
    size_t at = (size_t)hm_get_be64(id->bytes) & (room - 1);

    while (slots[at].data != NULL || slots[at].gone) {
        if (slots[at].data != NULL && slots[at].kind == kind &&
            packetfs_id_equal(&slots[at].id, id))
            break;
        at = (at + 1) & (room - 1);
    }
    return &slots[at];
}

static int memory_grow(struct packetfs_memory *memory)
{
    struct memory_slot *slots;

    if (memory->used * 2 < memory->room)
        return 0;
    slots = hm_calloc(memory->room * 2, sizeof(*slots));
    if (slots == NULL)
        return HM_ENOMEM;
    memory->used = 0;
    for (size_t i = 0; i < memory->room; i++) {
        const struct memory_slot *old = &memory->slots[i];
        if (old->data == NULL)
            continue;
        *slot_of(slots, memory->room * 2, old->kind, &old->id) = *old;
        memory->used++;
    }
    hm_free(memory->slots);
    memory->slots = slots;
    memory->room *= 2;
    return 0;
}

static int memory_has(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id)
{
    struct packetfs_memory *memory = ctx;

    (void)pthread_mutex_lock(&memory->lock);
    bool here = slot_of(memory->slots, memory->room, kind, id)->data != NULL;
    (void)pthread_mutex_unlock(&memory->lock);
    return here ? 0 : HM_ENOTFOUND;
}

static int memory_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                      struct hm_buf *out, struct hm_error *error)
{
    struct packetfs_memory *memory = ctx;
    const struct memory_slot *slot;
    char hex[2 * PACKETFS_ID_BYTES + 1];
    int rc = 0;

    hm_hex_encode(id->bytes, PACKETFS_ID_BYTES, hex);
    (void)pthread_mutex_lock(&memory->lock);
    slot = slot_of(memory->slots, memory->room, kind, id);
    if (slot->data == NULL)
        rc = hm_fail(error, HM_ENOTFOUND, "object %.16s… is not in memory", hex);
    else if (hm_buf_append(out, slot->data, slot->len) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for an object of %zu bytes", slot->len);
    (void)pthread_mutex_unlock(&memory->lock);
    return rc;
}

static int memory_put_locked(struct packetfs_memory *memory, enum packetfs_kind kind,
                             struct hm_slice bytes, const struct packetfs_id *id)
{
    struct memory_slot *slot;
    int rc = memory_grow(memory);

    if (rc != 0)
        return rc;
    slot = slot_of(memory->slots, memory->room, kind, id);
    if (slot->data != NULL)
        return 0;
    uint8_t *copy = hm_malloc(bytes.len);
    if (copy == NULL)
        return HM_ENOMEM;
    memcpy(copy, bytes.data, bytes.len);
    *slot = (struct memory_slot){.id = *id, .data = copy, .len = bytes.len, .kind = kind};
    memory->used++;
    memory->count[kind]++;
    memory->bytes[kind] += bytes.len;
    return 0;
}

static int memory_put(void *ctx, enum packetfs_kind kind, struct hm_slice bytes,
                      struct packetfs_id *id, struct hm_error *error)
{
    struct packetfs_memory *memory = ctx;
    struct packetfs_id own;

    if (bytes.len == 0 || bytes.len > PACKETFS_OBJECT_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "an object has 1 to %zu bytes, not %zu",
                       PACKETFS_OBJECT_MAX_BYTES, bytes.len);
    packetfs_keys_object_id(&memory->keys, kind, bytes, &own);
    (void)pthread_mutex_lock(&memory->lock);
    int rc = memory_put_locked(memory, kind, bytes, &own);
    (void)pthread_mutex_unlock(&memory->lock);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for an object of %zu bytes", bytes.len);
    *id = own;
    return 0;
}

struct packetfs_objects packetfs_memory_objects(struct packetfs_memory *memory)
{
    return (struct packetfs_objects){
        .ctx = memory, .has = memory_has, .get = memory_get, .put = memory_put};
}

size_t packetfs_memory_count(const struct packetfs_memory *memory, enum packetfs_kind kind)
{
    return memory->count[kind];
}

uint64_t packetfs_memory_bytes(const struct packetfs_memory *memory, enum packetfs_kind kind)
{
    return memory->bytes[kind];
}

bool packetfs_memory_forget(struct packetfs_memory *memory, enum packetfs_kind kind,
                            const struct packetfs_id *id)
{
    (void)pthread_mutex_lock(&memory->lock);
    struct memory_slot *slot = slot_of(memory->slots, memory->room, kind, id);
    bool here = slot->data != NULL;
    if (here) {
        memory->count[kind]--;
        memory->bytes[kind] -= slot->len;
        hm_free(HM_TAKE(slot->data));
        slot->gone = true; /* what lies behind it stays reachable */
    }
    (void)pthread_mutex_unlock(&memory->lock);
    return here;
}

int packetfs_memory_exchange(struct packetfs_memory *memory, enum packetfs_kind kind,
                             const struct packetfs_id *id, struct hm_slice bytes)
{
    uint8_t *copy = hm_malloc(bytes.len > 0 ? bytes.len : 1);
    int rc = HM_ENOTFOUND;

    if (copy == NULL)
        return HM_ENOMEM;
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    (void)pthread_mutex_lock(&memory->lock);
    struct memory_slot *slot = slot_of(memory->slots, memory->room, kind, id);
    if (slot->data != NULL) {
        uint8_t *old = slot->data;
        memory->bytes[kind] += bytes.len;
        memory->bytes[kind] -= slot->len;
        slot->data = copy;
        slot->len = bytes.len;
        copy = old;
        rc = 0;
    }
    (void)pthread_mutex_unlock(&memory->lock);
    hm_free(copy);
    return rc;
}
