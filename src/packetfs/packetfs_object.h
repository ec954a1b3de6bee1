/* Objects: what a volume is made of, and the four calls through which trees, sync and restore see them. */
#ifndef HM_PACKETFS_OBJECT_H
#define HM_PACKETFS_OBJECT_H

#include "base.h"
#include "packetfs.h"

/* Two kinds, with keys of their own, packs of their own and, on the wire, connections of their own:
 * patterns are the pieces that data is made of; references say which pieces, in which order. The store has a third, which no
 * tree names and no peer sees: dictionaries, with which it compresses small patterns (packetfs_dict.h). */
enum packetfs_kind { PACKETFS_PATTERN = 0, PACKETFS_REFERENCE = 1, PACKETFS_DICTIONARY = 2 };
#define PACKETFS_KINDS       2
#define PACKETFS_STORE_KINDS 3

/* An object's plain bytes, before compression and sealing. */
#define PACKETFS_OBJECT_MAX_BYTES ((size_t)1 << 20)

/* struct packetfs_id: keyed BLAKE3 of the plain bytes, under the kind's own key of the volume: says nothing to who lacks the key. */
static inline bool packetfs_id_equal(const struct packetfs_id *a, const struct packetfs_id *b)
{
    return memcmp(a->bytes, b->bytes, PACKETFS_ID_BYTES) == 0;
}

/* A source and sink of objects: a volume on disk (packetfs_store.h), a peer, or the twin in memory below. Calls may
 * come from several threads. */
struct packetfs_objects {
    void *ctx;
    /* Is it here? 0, HM_ENOTFOUND, HM_EIO. */
    int (*has)(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id);
    /* Appends the plain bytes, which were checked against id. HM_ENOTFOUND, HM_ECORRUPT (damaged or exchanged). */
    int (*get)(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id, struct hm_buf *out,
               struct hm_error *error);
    /* Stores bytes (1..PACKETFS_OBJECT_MAX_BYTES) unless they are here already, and gives their id. Durable when the
     * writer behind it says so (packetfs_writer_flush). NULL where nothing can be written. */
    int (*put)(void *ctx, enum packetfs_kind kind, struct hm_slice bytes, struct packetfs_id *id,
               struct hm_error *error);
};

/* The twin in memory, for tests: ids as in a volume of this key. Thread-safe. */
struct packetfs_memory;
int packetfs_memory_new(const uint8_t key[32], struct packetfs_memory **out);
void packetfs_memory_free(struct packetfs_memory *memory);
struct packetfs_objects packetfs_memory_objects(struct packetfs_memory *memory);
size_t packetfs_memory_count(const struct packetfs_memory *memory, enum packetfs_kind kind);
uint64_t packetfs_memory_bytes(const struct packetfs_memory *memory, enum packetfs_kind kind);
/* As a hostile or damaged store would: forgets an object (false: not there), or gives other bytes for its id without a word
 * (HM_ENOTFOUND, HM_ENOMEM). */
bool packetfs_memory_forget(struct packetfs_memory *memory, enum packetfs_kind kind,
                            const struct packetfs_id *id);
int packetfs_memory_exchange(struct packetfs_memory *memory, enum packetfs_kind kind,
                             const struct packetfs_id *id, struct hm_slice bytes);

#endif
