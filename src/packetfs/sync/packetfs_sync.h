/* Bringing one side's snapshots to the other. The sink drives: it asks for the snapshots that it lacks, walks their trees
 * from the top, asks for the references and patterns that it lacks, checks each against its id before it is stored, and
 * adds a snapshot only when all it names is here and durable. The source answers.
 *
 * Over packetfs_talk and struct packetfs_side alone: no socket, no file. Start reading with packetfs_sync_sink. */
#ifndef HM_PACKETFS_SYNC_H
#define HM_PACKETFS_SYNC_H

#include "store/packetfs_store.h"
#include "sync/packetfs_talk.h"
#include "tree/packetfs_tree.h"

#define PACKETFS_SYNC_PENDING_MAX ((size_t)1 << 20) /* references found and not yet walked */
#define PACKETFS_SYNC_SEEN_MAX    ((size_t)1 << 19) /* ids remembered so that none is done twice */
#define PACKETFS_SYNC_WINDOW_BYTES \
    ((size_t)8 << 20) /* of patterns, plain, asked for and not here yet */
#define PACKETFS_SYNC_WINDOW_COUNT ((size_t)4096) /* and so many of them */
#define PACKETFS_SYNC_MANY_BYTES   ((uint64_t)1 << 20) /* patterns that are many */
#define PACKETFS_SYNC_GROUP        ((size_t)1024) /* snapshots whose files are held at a time */
#define PACKETFS_SYNC_FLUSH_BYTES  ((uint64_t)256 << 20) /* stored between two flushes */

/* One volume, as sync sees it. Functions the sink alone needs may be NULL in a source. */
struct packetfs_side {
    const struct packetfs_keys *keys;
    struct packetfs_objects objects; /* a sink's has put */
    uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES];
    void *ctx;
    /* All, oldest first; hm_free. */
    int (*snapshots)(void *ctx, struct packetfs_snapshot **out, size_t *count,
                     struct hm_error *error);
    /* Appends a snapshot's sealed file. HM_ENOTFOUND. */
    int (*snapshot_read)(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                         struct hm_buf *out, struct hm_error *error);
    /* Opens a sealed file from outside; id is its hash. HM_EAUTH, HM_ECORRUPT, HM_EPARSE. */
    int (*snapshot_open)(void *ctx, struct hm_slice sealed, struct packetfs_snapshot *out,
                         struct hm_error *error);
    int (*snapshot_add)(void *ctx, struct hm_slice sealed, struct hm_error *error);
    int (*flush)(void *ctx, struct hm_error *error); /* what was put is durable */
    /* The highest sequence that this replica of the volume has shown; 0: never seen. */
    int (*seen_read)(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                     uint64_t *sequence, struct hm_error *error);
    int (*seen_write)(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                      uint64_t sequence, struct hm_error *error);
};

/* Which snapshots the source offers. */
struct packetfs_choice {
    struct hm_slice label; /* empty: all */
    bool newest_only;
};

/* The source's part of the connection of this kind: answers until the sink says DONE (0; done is filled on the connection of
 * references) or the connection ends. patterns: called when the sink asks for the other connection; NULL: it may not. Progress goes to
 * watch. A sink that hangs up on the connection of patterns is done there. */
struct packetfs_source {
    const struct packetfs_side *side;
    enum packetfs_kind kind;
    struct packetfs_choice choice; /* label is borrowed until packetfs_sync_source returns */
    int (*patterns)(void *ctx, bool many, struct hm_error *error);
    void *patterns_ctx;
    struct packetfs_wire_done done;
    uint64_t objects, bytes; /* sent, plain */
    const struct packetfs_watch *watch;
};
int packetfs_sync_source(struct packetfs_source *source, struct packetfs_talk *talk,
                         struct hm_error *error);

struct packetfs_sink {
    const struct packetfs_side *side;
    struct packetfs_talk *references;
    /* Opens the connection of patterns when the first is needed; its talk stays the caller's. many: it is worth a
     * connection that finds out how large its packets may be. */
    int (*patterns)(void *ctx, bool many, struct packetfs_talk **out, struct hm_error *error);
    void *patterns_ctx;
    const struct packetfs_wire_hello *peer; /* what the source said */
    bool accept_rollback; /* take a source that shows less than it did before */
    /* Stands for where the source was called, as a replica would: who loses its number is still known by its place. Zeros:
     * nowhere in particular. */
    uint8_t place[PACKETFS_WIRE_REPLICA_BYTES];
    const uint8_t *only; /* the id of the one snapshot to take; NULL: all that the source lists */
    const struct packetfs_watch *watch;
    struct packetfs_wire_done done; /* what was done, filled on failure too */
};
/* Takes over what the sink lacks, then says DONE. HM_ECORRUPT: what the source sent is damaged, exchanged or missing, or its
 * list was rolled back; the sentence names it; no snapshot was added that needs it. On any failure what arrived
 * whole is kept, so that another try goes on from there. */
int packetfs_sync_sink(struct packetfs_sink *sink, struct hm_error *error);

/* --- parts of it, tried by themselves ------------------------------------------------------------------------------------ */
/* Which snapshots does the source have that the sink lacks? Adds their ids to out, 16 bytes each, sorted. mine: the sink's, sorted. */
int packetfs_sync_reconcile(struct packetfs_talk *talk, const uint8_t *mine, size_t count,
                            struct hm_buf *out, struct hm_error *error);
/* The source's answer to one ASK, appended to out; ids: sorted. */
int packetfs_sync_answer(const uint8_t *ids, size_t count, const struct packetfs_wire_ask *ask,
                         struct hm_buf *out, struct hm_error *error);
/* The ids of those that were chosen, sorted, appended to out. snapshots: oldest first. */
int packetfs_sync_choose(const struct packetfs_snapshot *snapshots, size_t count,
                         const struct packetfs_choice *choice, struct hm_buf *out);

/* What a reference object names, and for what is new against a base the object of it that stood in its place. */
struct packetfs_sync_child {
    enum packetfs_kind kind;
    struct packetfs_id id;
    uint64_t len; /* of a pattern */
    bool has_base;
    struct packetfs_id base;
};
/* Calls child for every child of node, in order. HM_ECORRUPT: node is none; bases: nodes one after the other; one that is
 * none is taken for empty. */
int packetfs_sync_children(struct hm_slice node, const struct hm_slice *bases, size_t base_count,
                           int (*child)(void *ctx, const struct packetfs_sync_child *child),
                           void *ctx, struct hm_error *error);

/* Ids that were seen: forgets all when it is full, which costs time and nothing else. */
struct packetfs_sync_seen;
int packetfs_sync_seen_new(size_t most, struct packetfs_sync_seen **out);
void packetfs_sync_seen_free(struct packetfs_sync_seen *seen);
/* True the first time. */
bool packetfs_sync_seen_add(struct packetfs_sync_seen *seen, const struct packetfs_id *id);

#endif
