/* store: ordered key-value tables with one writer and snapshot readers, behind a vtable with two
 * backends (LMDB on disk, a twin in memory), and over it an authenticated tree whose root commits to
 * a whole table.
 *
 * Never: knows what keys mean, opens a socket, keeps a thread (store_snapshot has one while it runs).
 * Start reading with store_begin_write, store_put, store_tree_update. Formats: docs/formats-store.md. */
#ifndef HM_STORE_H
#define HM_STORE_H

#include "base.h"
#include "crypto.h"

/* --- tables -------------------------------------------------------------------------------------
 * A store is a fixed set of named tables. Keys sort by memcmp, 1..STORE_KEY_MAX_BYTES bytes; values
 * up to STORE_VALUE_MAX_BYTES. One write transaction at a time (a second begin_write waits); any
 * number of readers, each a consistent snapshot that no writer blocks or is blocked by.
 * A committed transaction survives kill -9 and power loss (unless options say otherwise).
 * A write transaction belongs to the thread that began it: only that thread may write, commit or abort
 * it, and it must not begin a second one meanwhile (it would wait for itself). After a failed write the
 * transaction's content is unspecified: abort it. */
#define STORE_KEY_MAX_BYTES   480
#define STORE_VALUE_MAX_BYTES ((size_t)64 << 20)
#define STORE_TABLES_MAX      24
#define STORE_READERS_MAX     512

struct store;
struct store_txn;

struct store_options {
    const char *const *tables; /* names, [a-z_]{1,32} */
    size_t table_count; /* table number = index */
    /* LMDB address space, the most a store can hold; it costs nothing. 0: 1 TiB, or 64 or 4 GiB where
     * a limit on address space (RLIMIT_AS, a sanitizer) allows no more. */
    uint64_t map_bytes;
    bool read_only;
    bool scratch; /* made to be thrown away: commits need not survive a crash, and cost no fsync */
    /* Commits cost no fsync, and after a crash the store is what it was at its last checkpoint
     * (store_checkpoint_begin): for a caller that can do again what came after. No meaning in memory, for
     * read_only and for scratch. */
    bool deferred;
};

/* Opens or creates the folder path (mode 0700, files 0600). One process writes, or any number read
 * (read_only, also from a read-only file system): HM_EBUSY when another has it open the other way.
 * HM_ENOTFOUND (read_only: no store, or a table is missing), HM_EPERM, HM_ECORRUPT, HM_EIO (disk full
 * and read-only file systems say so). Writes past map_bytes fail with HM_ELIMIT, and past the disk
 * with HM_EIO; what was committed stays readable. */
int store_open_lmdb(const char *path, const struct store_options *options, struct store **out,
                    struct hm_error *error);
/* The in-memory twin: same semantics, nothing durable. */
int store_open_memory(const struct store_options *options, struct store **out,
                      struct hm_error *error);
void store_close(struct store *store); /* NULL is fine; all transactions must have ended */

/* A read transaction belongs to one thread at a time. */
int store_begin_read(struct store *store, struct store_txn **out, struct hm_error *error);
int store_begin_write(struct store *store, struct store_txn **out, struct hm_error *error);
/* Durable when it returns 0 (deferred: once a checkpoint is). The transaction is gone either way. After HM_EIO it is there whole or not at
 * all once the store is opened again, and until then the store refuses further writes with HM_EIO: what the
 * kernel dropped at a failed fdatasync a later one does not bring back. Reads go on where LMDB can. */
int store_commit(struct store_txn *txn, struct hm_error *error);
/* Ends a read transaction or drops a write; NULL is fine. */
void store_abort(struct store_txn *txn);

/* The value stays valid until the transaction ends or writes. HM_ENOTFOUND (error is not set). */
int store_get(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice *value);
int store_put(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
              struct hm_error *error);
/* As store_put for keys that only grow: fills pages whole. HM_EINVAL when key is not past the last. */
int store_append(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
                 struct hm_error *error);
int store_delete(struct store_txn *txn, unsigned table, struct hm_slice key,
                 struct hm_error *error); /* missing is fine */

/* Cursor over one table. Slices stay valid until the cursor moves or the transaction writes. */
struct store_cursor;
int store_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                      struct hm_error *error);
void store_cursor_close(struct store_cursor *cursor); /* before its transaction ends */
/* Positions at the first key >= key (or the last key when seek_last). HM_ENOTFOUND at the end; then
 * prev gives the last key. A new cursor stands before the first key, so next gives that. Writes of the
 * same transaction may come between: next and prev go on from the key last found. */
int store_cursor_seek(struct store_cursor *cursor, struct hm_slice key, struct hm_slice *found,
                      struct hm_slice *value);
int store_cursor_seek_last(struct store_cursor *cursor, struct hm_slice *found,
                           struct hm_slice *value);
int store_cursor_next(struct store_cursor *cursor, struct hm_slice *found, struct hm_slice *value);
int store_cursor_prev(struct store_cursor *cursor, struct hm_slice *found, struct hm_slice *value);

/* --- checkpoints of a deferred store ---------------------------------------------------------------
 * A state that a crash leaves. A new store begins with one; a clean close keeps everything. Opening a store that
 * was not closed (deferred or not; kill -9 counts as well) first puts it back to its last checkpoint.
 * Commits stay in memory and go into the file with the next checkpoint, a close or a copy (store_layer.h), at the latest when
 * there are 64 MiB of them: make checkpoints often. Pages that this frees are not used again before the checkpoint after
 * is finished; that room is used again later. A checkpoint holds one of LMDB's readers, which
 * is not counted among STORE_READERS_MAX.
 * A store that does not defer takes the calls and does nothing. */
struct store_checkpoint;
/* What the caller wants to find again when the store is next opened, whatever happened to it in between. */
#define STORE_NOTE_BYTES 24
/* The quick part: marks what is committed now (after what a copy or a full memory has begun to write). No commit may run meanwhile: for the writer's thread, or under the
 * lock of its caller. note: STORE_NOTE_BYTES; NULL: zeros. HM_EBUSY when another one is not finished. */
int store_checkpoint_begin(struct store *store, const uint8_t *note, struct store_checkpoint **out,
                           struct hm_error *error);
/* Optional, on the thread that will finish it, any number of times while *more: writes a piece of what was marked into
 * the file (512 keys or 512 KiB), then has the kernel begin to write a piece of that (256 KiB, or one part in 4,096 of a
 * larger file), so that the caller may rest in between and finish has little to do at once. Twice through the file. HM_EIO: only finish may follow. */
int store_checkpoint_piece(struct store_checkpoint *checkpoint, bool *more, struct hm_error *error);
/* The slow part, on any thread, while reads and writes go on: syncs what was marked. When it returns 0 a crash goes
 * back to this checkpoint; after HM_EIO to the one before, and the store refuses further writes as after a failed
 * commit. The checkpoint is gone either way; NULL is fine. Before store_close. */
int store_checkpoint_finish(struct store_checkpoint *checkpoint, struct hm_error *error);
/* The note of the newest finished checkpoint, of this opening or an earlier one: a close, clean or not, keeps it. Zeros
 * when there is none. Not while one is being finished. */
void store_checkpoint_note(struct store *store, uint8_t out[STORE_NOTE_BYTES]);

/* Of a deferred store: as of what was last written into its file. */
struct store_stats {
    uint64_t bytes_used;
    uint64_t bytes_map;
    uint64_t entries[STORE_TABLES_MAX];
    unsigned readers;
};
int store_stats(struct store *store, struct store_stats *out, struct hm_error *error);

/* A consistent, compact copy of everything committed, while readers and writers go on: calls write, on the
 * caller's thread, with one piece of at most 1 MiB after the other. All pieces together are a file data.mdb;
 * in an otherwise empty folder it opens as a store. The copy holds a read snapshot meanwhile, so pages
 * that writers free are not used again until it ends: a slow write makes the store's file grow.
 * A failure of write ends the copy and is returned as it is; after any failure what was written is worth
 * nothing. The caller may hold transactions, but write must not wait for one.
 * HM_EUNSUPPORTED in memory, HM_EIO (a deferred store also once it refuses writes: its file is not one moment's then),
 * HM_ENOMEM, HM_ECORRUPT, HM_EBUSY. */
int store_snapshot(struct store *store,
                   int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                   void *ctx, struct hm_error *error);

/* Tests, memory twin only: the nth put, append or delete from now, and every later one, fails with
 * HM_EIO; nth_commit likewise for commits. 0: never. */
void store_memory_fail_at(struct store *store, unsigned long nth_write, unsigned long nth_commit);

/* --- authenticated tree -----------------------------------------------------------------------
 * A binary sparse Merkle tree over a map (key -> value), BLAKE3, addressed by H(key). The root
 * depends only on the map, never on the order of changes. A subtree with one leaf is that leaf.
 *   leaf   = H(H(key) || H(value)), first bit set to 1
 *   node   = H(left || right), first bit cleared
 *   empty  = 32 zero bytes
 * Both hash 64 bytes, one BLAKE3 block. Why that needs no further separation: the first bit of every
 * node tells its kind, is part of what the node above hashes, and the checker sets it itself by the
 * step it is at: the end of a path gets 1, every step above gets 0. Follow a proof that reaches a
 * genuine root down from that root: where the checker took an inner step the genuine node has bit 0
 * too, so it is inner (or empty, which has no known preimage), and unless BLAKE3 collides in 255 bits
 * its two children are the ones the checker used; where the checker ended in a leaf, bit 1 says that a
 * genuine leaf stands there, made of that same key hash and value hash. So an inner node can never
 * pass for a leaf nor a leaf for an inner node, and the key's bits fix left and right at each step.
 *
 * The leaf table maps H(key) to H(value); nodes are packed six levels to a page (store_tree_page.h),
 * and small subtrees are computed from the leaf table, where they lie side by side. Every node that a
 * batch touches is hashed once, however many keys change under it. Recent changes wait beside the tables
 * and are folded in bit by bit (store_tree_run.h), so the number of entries in the leaf table is not the
 * number of keys.
 * Layout after NOMT (thrum.xyz, "Nearly-Optimal Merkle Tree"). Both tables are the tree's alone. */
#define STORE_TREE_DEPTH_MAX 256

struct store_tree { /* which tables of the store it lives in */
    unsigned leaf_table;
    unsigned page_table;
};

struct store_tree_change {
    uint8_t key_hash[CRYPTO_HASH_BYTES]; /* crypto_hash of the key */
    uint8_t value_hash[CRYPTO_HASH_BYTES]; /* crypto_hash of the value; all zero: delete */
};

/* Applies count changes (any order; a key at most once, else HM_EINVAL; sorted in place) inside a write
 * transaction and gives the new root. An empty map's root is 32 zero bytes. HM_ECORRUPT when stored
 * pages and leaves are seen to disagree. After a failure abort the transaction. No cursor of the
 * caller may be open on the two tables. */
int store_tree_update(struct store_txn *txn, const struct store_tree *tree,
                      struct store_tree_change *changes, size_t count,
                      uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);
int store_tree_root(struct store_txn *txn, const struct store_tree *tree,
                    uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);

/* Shows that key has this value, or that it is absent. Owned arrays, freed by release. Fields that a
 * kind of proof has no use for are zero. */
struct store_tree_proof {
    bool exists;
    bool ends_in_leaf; /* absence: the path ends in another key's leaf */
    uint8_t leaf_key_hash[CRYPTO_HASH_BYTES]; /* that other leaf */
    uint8_t leaf_value_hash[CRYPTO_HASH_BYTES];
    uint8_t (*siblings)[CRYPTO_HASH_BYTES]; /* from the root down */
    size_t depth; /* siblings, <= STORE_TREE_DEPTH_MAX */
};
/* Reads the whole path and checks it against the root: HM_ECORRUPT. Replaces *out without freeing. */
int store_tree_prove(struct store_txn *txn, const struct store_tree *tree, struct hm_slice key,
                     struct store_tree_proof *out, struct hm_error *error);
void store_tree_proof_release(struct store_tree_proof *proof);

/* Pure; needs only the root. value.data NULL: check absence (an empty value has an address and length
 * 0). 0, or HM_EAUTH with the reason. */
int store_tree_verify(const uint8_t root[CRYPTO_HASH_BYTES], struct hm_slice key,
                      struct hm_slice value, const struct store_tree_proof *proof,
                      struct hm_error *error);
/* Bytes for the wire and back; a proof has one form only. decode is fuzzed; HM_EPARSE. Replaces *out
 * without freeing what it held. */
#define STORE_TREE_PROOF_MAX_BYTES \
    (3 + STORE_TREE_DEPTH_MAX / 8 + (STORE_TREE_DEPTH_MAX + 2) * CRYPTO_HASH_BYTES)
int store_tree_proof_encode(const struct store_tree_proof *proof, struct hm_buf *out);
int store_tree_proof_decode(struct hm_slice bytes, struct store_tree_proof *out,
                            struct hm_error *error);

/* --- parts of a tree: for who gets a map in pieces and wants each checked as it arrives ----------------------
 * The map is cut in two by the first bit of H(key), and whatever comes of that again, as often as somebody likes. A part at depth d
 * has the keys whose hash begins with certain d bits; its root is the tree's node at that place: empty, a leaf alone, or
 * inner; the parts' roots give the whole root. So: join the parts that somebody says, compare with a root that is trusted, and
 * then each part with its own. Pure. */
#define STORE_TREE_PART_DEPTH_MAX 64
/* As it is written: bytes without gaps. */
struct store_tree_part {
    uint8_t depth;
    uint8_t root[CRYPTO_HASH_BYTES];
};
/* start: the part's bits in front, then zeros; the first 8 bytes that a hash in it can have.
 * Leaves of the part in any order, sorted in place. HM_EINVAL: a key twice, of another part, or without a value; no such
 * part. */
int store_tree_part_root(uint64_t start, unsigned depth, struct store_tree_change *leaves,
                         size_t count, uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);
/* Parts in their order, all of the map. starts (count of them; may be NULL): where each begins. HM_EINVAL: they are no
 * division of a map, or by them something is cut that has not two keys: so no part's place is left open, and every one can be
 * there. */
int store_tree_part_join(const struct store_tree_part *parts, size_t count, uint64_t *starts,
                         uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);

#endif
