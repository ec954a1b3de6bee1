/* What the steps of prune share. packetfs_store.h says what it promises, docs/formats-packetfs.md why the steps stand in this order. */
#ifndef HM_PACKETFS_PRUNE_INNER_H
#define HM_PACKETFS_PRUNE_INNER_H

#include "care/packetfs_care.h"
#include "care/packetfs_mark.h"
#include "packetfs_report.h"
#include "store/packetfs_store_inner.h"

/* The dictionaries that packs which stay name. Like those, they are needed by what is needed. */
struct packetfs_prune_names {
    uint64_t *refs; /* in order, each once */
    size_t count, room;
    bool all; /* a pack could not be read: it may name any */
};

struct packetfs_prune {
    struct packetfs_store *store;
    struct packetfs_objects objects; /* of the store */
    const struct packetfs_prune_options *options;
    struct packetfs_report *report;
    struct packetfs_prune_result *result;
    struct packetfs_mark *mark;
    struct packetfs_bloom seen; /* needed objects that a pack looked at before has */
    struct packetfs_pack_info *packs; /* as they were when it began */
    size_t pack_count;
    struct packetfs_prune_names names;
    bool dictionaries; /* there are any */
    uint64_t lowest; /* generation of the eldest writer then alive; UINT64_MAX: none */
};

/* All packs by number, those of dictionaries behind all others: what the others need of them is known when their turn comes, and
 * whoever is killed on the way leaves no pack whose dictionary went before it. *out is for hm_free. As packetfs_index_packs. */
int packetfs_prune_packs(struct packetfs_store *store, struct packetfs_pack_info **out,
                         size_t *count, struct hm_error *error);
/* Opens a pack's file and reads its folder; names may be NULL. HM_ENOTFOUND: gone. HM_ECORRUPT. The sentence names the pack. */
int packetfs_prune_folder(struct packetfs_store *store, const struct packetfs_pack_info *pack,
                          struct packetfs_file_slot **file, struct packetfs_pack_row **rows,
                          struct packetfs_pack_names *names, struct hm_error *error);
/* Whether an object is needed: marked, or a dictionary that a pack names. */
bool packetfs_prune_needs(const struct packetfs_prune *prune, enum packetfs_kind kind,
                          const struct packetfs_id *id);
int packetfs_prune_names_add(struct packetfs_prune *prune, const struct packetfs_pack_names *names,
                             struct hm_error *error);
/* Which dictionaries are named, found out anew from the packs there are now; ready: those that are about to go, of which only what is marked
 * counts. Nothing is done where none of those is a pack of dictionaries. */
int packetfs_prune_names_find(struct packetfs_prune *prune, const struct packetfs_pack_info *ready,
                              size_t count, struct hm_error *error);
/* Marks what all snapshots there are now need; those marked before cost little. */
int packetfs_prune_mark(struct packetfs_prune *prune, struct hm_error *error);
/* Which packs to condemn: their places in prune->packs, in *chosen (for hm_free). */
int packetfs_prune_choose(struct packetfs_prune *prune, size_t **chosen, size_t *count,
                          struct hm_error *error);
/* What is needed of these condemned packs gets a copy in live ones; *whole[i]: nothing needed of pack i was damaged. */
int packetfs_prune_rescue(struct packetfs_prune *prune, const struct packetfs_pack_info *packs,
                          size_t count, bool *whole, struct hm_error *error);
/* Their items leave the index, their files the disk. */
int packetfs_prune_bury(struct packetfs_prune *prune, const struct packetfs_pack_info *packs,
                        size_t count, const bool *whole, struct hm_error *error);
/* Dead packs that an earlier prune did not get to. */
int packetfs_prune_sweep(struct packetfs_store *store, struct hm_error *error);

#endif
