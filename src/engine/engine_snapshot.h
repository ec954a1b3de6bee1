/* Snapshots of the ledger as files: made beside the blocks, offered to nodes that join. Private to this room.
 *
 * DIR/HEIGHT/ holds one (docs/formats-snapshot.md); DIR/making is the one being made. A folder gets its number when all of it is
 * on the disk, so a kill leaves either whole ones or `making`, which the next start removes. */
#ifndef HM_ENGINE_SNAPSHOT_H
#define HM_ENGINE_SNAPSHOT_H

#include "abci.h"
#include "engine_private.h"

/* How it goes over the wire and lies on the disk: the ledger's chunks, each a zstd frame of its own. */
#define ENGINE_SNAPSHOT_FORMAT LEDGER_SNAPSHOT_FORMAT
#define ENGINE_SNAPSHOT_KEPT   2
/* The engine's light client needs the headers of the two blocks after a snapshot's. */
#define ENGINE_SNAPSHOT_AFTER UINT64_C(2)

/* --- files: engine_snapshot_files.c ----------------------------------------------------------------------- */
struct engine_snapshot_file {
    uint64_t height;
    uint32_t chunks;
    uint8_t hash[CRYPTO_HASH_BYTES]; /* of the metadata */
    struct hm_buf metadata;
};
void engine_snapshot_file_release(struct engine_snapshot_file *file);
/* Reads DIR/HEIGHT's head and metadata, and sees that every chunk is there. HM_ECORRUPT: it is not whole; HM_ENOTFOUND. */
int engine_snapshot_file_open(const char *dir, uint64_t height, struct engine_snapshot_file *out,
                              struct hm_error *error);
/* Appends chunk `index` as it was written. HM_ENOTFOUND. */
int engine_snapshot_file_chunk(const char *dir, uint64_t height, uint32_t index, struct hm_buf *out,
                               struct hm_error *error);
void engine_snapshot_file_remove(const char *dir, uint64_t height);
/* Makes the folder, removes what was left half made, what is not whole and what is of a block after `newest`; gives the
 * others' heights, highest first, at most `room`: older ones are removed. */
int engine_snapshot_files_clean(const char *dir, uint64_t newest, uint64_t *heights, size_t room,
                                size_t *count, struct hm_error *error);
/* Writing one: begin, each chunk, end. What was begun before is thrown away. */
int engine_snapshot_file_begin(const char *dir, struct hm_error *error);
int engine_snapshot_file_put(const char *dir, uint32_t index, struct hm_slice packed,
                             struct hm_error *error);
int engine_snapshot_file_end(const char *dir, uint64_t height, uint32_t chunks,
                             struct hm_slice metadata, struct hm_error *error);

/* A chunk as one zstd frame, and back. Replaces what is in *out. unpack is pure, of bytes from anybody: HM_EPARSE, or
 * HM_ELIMIT when it would have more than LEDGER_SNAPSHOT_CHUNK_MAX_BYTES. */
int engine_snapshot_pack(struct hm_slice chunk, struct hm_buf *out, struct hm_error *error);
int engine_snapshot_unpack(struct hm_slice packed, struct hm_buf *out, struct hm_error *error);

/* --- who makes them: engine_snapshot.c ---------------------------------------------------------------------- */
struct engine_snapshots;
struct engine_snapshots_options {
    const char *dir; /* absolute */
    uint64_t blocks; /* see engine_cometbft_options */
    struct ledger *ledger;
    void (*wish)(void *ctx); /* another block is needed; any thread */
    void *ctx;
};
/* Cleans the folder, and starts the thread. The ledger may be empty still. */
int engine_snapshots_open(const struct engine_snapshots_options *options,
                          struct engine_snapshots **out, struct hm_error *error);
void engine_snapshots_close(struct engine_snapshots *snapshots); /* NULL is fine */
/* The block at height is committed; changed: its state is another than the one before. On the thread that commits. NULL is
 * fine. Of which blocks a snapshot is made follows from the chain, so that all nodes have the same ones: of the first that
 * changes something, then of the first that does at or after each multiple of `blocks`. */
void engine_snapshots_committed(struct engine_snapshots *snapshots, uint64_t height, bool changed);
/* The ledger has begun with a snapshot of that block. Before it Info names none, so nothing commits meanwhile. */
void engine_snapshots_restored(struct engine_snapshots *snapshots, uint64_t height);
/* An engine is there: wishes for the blocks that the newest one still needs. NULL is fine. */
void engine_snapshots_remind(struct engine_snapshots *snapshots);
/* In the arena. NULL is fine: there are none. */
int engine_snapshots_list(struct engine_snapshots *snapshots, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error);
/* Empty: it is not there (any more). */
int engine_snapshots_load(struct engine_snapshots *snapshots, uint64_t height, uint32_t format,
                          uint32_t index, struct hm_arena *arena, ProtobufCBinaryData *out,
                          struct hm_error *error);

#endif
