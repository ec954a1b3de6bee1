/* The sink's walk down a tree: what is not here is asked for in batches, references over their connection, patterns over the
 * other, while the walk goes on. */
#ifndef HM_PACKETFS_SYNC_WALK_H
#define HM_PACKETFS_SYNC_WALK_H

#include "sync/packetfs_sync.h"

struct packetfs_walk;
int packetfs_walk_new(struct packetfs_sink *sink, struct packetfs_walk **out,
                      struct hm_error *error);
void packetfs_walk_free(struct packetfs_walk *walk);

/* Returns 0 when everything below root is here. base: root of a tree that should be here and is like it, or NULL. */
int packetfs_walk_tree(struct packetfs_walk *walk, const struct packetfs_id *root,
                       const struct packetfs_id *base, struct hm_error *error);

struct packetfs_walk {
    struct packetfs_sink *sink;
    struct packetfs_wire_packer *packer;
    struct packetfs_talk *patterns; /* NULL until one is needed */
    struct packetfs_sync_seen *seen[PACKETFS_KINDS];
    struct hm_buf stack; /* of struct packetfs_wire_want: references to walk, the next last */
    struct packetfs_wire_get get[PACKETFS_KINDS]; /* being filled */
    struct hm_buf asked; /* of struct packetfs_wire_want: patterns on their way, oldest first */
    size_t asked_at;
    struct hm_buf lens; /* beside it: uint64_t, their lengths */
    struct hm_buf again; /* of struct packetfs_wire_want: patterns to ask for once more, whole */
    uint64_t window; /* bytes on their way */
    uint64_t queued; /* bytes in get[PACKETFS_PATTERN] */
    uint64_t unflushed;
    struct hm_buf plain, base, body;
};

/* --- packetfs_sync_fetch.c ------------------------------------------------------------------------------------------------ */
/* Asks for the references of get[PACKETFS_REFERENCE], stores them, and calls took with each. */
int packetfs_walk_fetch(struct packetfs_walk *walk,
                        int (*took)(struct packetfs_walk *walk,
                                    const struct packetfs_wire_want *want, struct hm_slice plain,
                                    struct hm_error *error),
                        struct hm_error *error);
/* Tells how far it is. HM_ECANCELLED: the caller wants to stop. */
int packetfs_walk_progress(const struct packetfs_walk *walk, struct hm_error *error);
/* Queues a pattern of this length; asks and takes as the window allows. */
int packetfs_walk_want_pattern(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                               uint64_t len, struct hm_error *error);
/* Until no pattern is on its way. */
int packetfs_walk_drain(struct packetfs_walk *walk, struct hm_error *error);
/* The base of a want into walk->base; empty when there is none or it is damaged. Gives what reading it gave. */
int packetfs_walk_base(struct packetfs_walk *walk, enum packetfs_kind kind,
                       const struct packetfs_wire_want *want);

#endif
