/* Marks: what the snapshots of a volume need, found by walking from their roots. Reference objects are remembered
 * exactly (16 bytes of their ids), patterns in a Bloom filter of PACKETFS_MARK_BITS bits for each that the volume has: that one is
 * taken for needed though it is not only keeps garbage. Ids are keyed hashes, so nobody outside can aim at the filter. */
#ifndef HM_PACKETFS_MARK_H
#define HM_PACKETFS_MARK_H

#include "store/packetfs_store.h"

/* --- the filter: 8 bits within one cache line for each id --- */
struct packetfs_bloom {
    uint64_t *lines; /* 8 words each */
    size_t line_count; /* below 2^32 */
};
int packetfs_bloom_init(struct packetfs_bloom *bloom, uint64_t objects,
                        unsigned bits_each); /* HM_ENOMEM */
void packetfs_bloom_release(struct packetfs_bloom *bloom);
/* Adds; true when it was there already (or seems so). */
bool packetfs_bloom_add(struct packetfs_bloom *bloom, const struct packetfs_id *id);
bool packetfs_bloom_has(const struct packetfs_bloom *bloom, const struct packetfs_id *id);

/* --- marks --- */
struct packetfs_mark;
/* patterns: how many the volume has. */
int packetfs_mark_new(uint64_t patterns, struct packetfs_mark **out);
void packetfs_mark_free(struct packetfs_mark *mark);
bool packetfs_mark_has(const struct packetfs_mark *mark, enum packetfs_kind kind,
                       const struct packetfs_id *id);
uint64_t packetfs_mark_bytes(const struct packetfs_mark *mark); /* of memory */

struct packetfs_mark_visit {
    /* A pattern that a reference object just read names; the same one may come from several. NULL: none is looked at. A non-zero answer ends the
     * walk. */
    int (*pattern)(void *ctx, const struct packetfs_id *id);
    /* A reference object that cannot be read (rc, error say why). 0: the walk goes on without it. */
    int (*bad)(void *ctx, const struct packetfs_id *id, int rc, const struct hm_error *error);
    /* From time to time. Non-zero ends it. NULL: nobody looks. */
    int (*tick)(void *ctx, uint64_t references);
    void *ctx;
};
/* Marks all that root leads to and that was not marked before. */
int packetfs_mark_walk(struct packetfs_mark *mark, const struct packetfs_objects *objects,
                       const struct packetfs_id *root, const struct packetfs_mark_visit *visit,
                       struct hm_error *error);

#endif
