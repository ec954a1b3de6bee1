/* The store: objects in sealed packs on disk, an LMDB index that can be made again from them, snapshots.
 *
 * Folder:  volume            id, version, sealed parameters (packetfs_volume_file.h)
 *          keys/NAME.slot    the volume key, wrapped (packetfs_slot.h)
 *          packs/xx/…        pack files, written once, never changed
 *          snapshots/…       one small sealed file each
 *          index/            LMDB: where each object is; can be lost
 *          writers/…         one locked file for each process that writes
 *          tmp/              what is not finished
 * Any number of processes read and write at once; nobody holds a lock longer than the entry of one pack in the index takes.
 * Every step may be the last one before a power cut: a pack counts once it is whole and durable under its name, a
 * snapshot once its file is, and only after all it needs is.
 *
 * Prune beside writers: prune marks the packs worth rewriting as *condemned*. From then on who writes takes an object in a
 * condemned pack for absent and stores it again. A writer that began before may still count on it, so the pack goes
 * only when all those have ended, and after what later snapshots use of it was saved elsewhere.
 *
 * Memory: the index is mapped, PACKETFS_INDEX_ENTRY_BYTES (packetfs_index.h) an object, pages the kernel may drop; of its own the store takes at most
 * PACKETFS_MARK_BITS bits an object while it prunes, PACKETFS_PACK_BYTES for each pack being filled, and a cache of pack folders. */
#ifndef HM_PACKETFS_STORE_H
#define HM_PACKETFS_STORE_H

#include "packetfs_keys.h"

#define PACKETFS_PACK_BYTES \
    ((size_t)16 << 20) /* a pack is closed when the next object would pass this */
#define PACKETFS_MARK_BITS 16

struct packetfs_store;

struct packetfs_store_options {
    enum packetfs_suite suite; /* new packs; packs say which they use */
    int zstd_level; /* 0: no compression; 1..19, or negative: -1..-50 */
    bool pad; /* pack sizes rounded up (Padmé, PURBs 2019), order of objects shuffled */
    bool read_only;
    bool dictionaries; /* small patterns are compressed with dictionaries; reading never asks */
    uint32_t dictionary_samples_bytes; /* for the first of a class; 0: PACKETFS_DICT_FIRST_BYTES */
};

/* Opens the folders under dir, which packetfs_volume.h has made; makes index/ when it is missing and there are no packs. With a lost or
 * damaged index it opens, too, but everything except snapshots and packetfs_store_repair is HM_ECORRUPT then. keys are copied. */
int packetfs_store_open(const char *dir, const struct packetfs_keys *keys,
                        const struct packetfs_store_options *options, struct packetfs_store **out,
                        struct hm_error *error);
void packetfs_store_close(struct packetfs_store *store); /* after its writers */

/* Reading, from any thread. As in packetfs_object.h; a pack that another process moved meanwhile is looked up again. */
int packetfs_store_has(struct packetfs_store *store, enum packetfs_kind kind,
                       const struct packetfs_id *id);
int packetfs_store_get(struct packetfs_store *store, enum packetfs_kind kind,
                       const struct packetfs_id *id, struct hm_buf *out, struct hm_error *error);
struct packetfs_objects packetfs_store_objects(struct packetfs_store *store); /* without put */
/* Where an object lies, to read many in the order of the disk: pack in the upper, position in the lower half. 0: not here. */
uint64_t packetfs_store_position(struct packetfs_store *store, enum packetfs_kind kind,
                                 const struct packetfs_id *id);

/* --- writing ---------------------------------------------------------------------------------------------------- */
struct packetfs_writer; /* one session; calls from any number of threads */

struct packetfs_writer_counts { /* bytes of plain objects unless said */
    uint64_t objects_new[PACKETFS_STORE_KINDS], objects_known[PACKETFS_STORE_KINDS];
    uint64_t bytes_new[PACKETFS_STORE_KINDS], bytes_known[PACKETFS_STORE_KINDS];
    uint64_t bytes_stored[PACKETFS_STORE_KINDS]; /* compressed and sealed */
    uint64_t bytes_packs; /* with folders and padding, as files */
    uint64_t ns_hash, ns_compress, ns_seal, ns_write,
        ns_index; /* processor time by stage, all threads */
};

int packetfs_writer_open(struct packetfs_store *store, struct packetfs_writer **out,
                         struct hm_error *error);
/* Hashes, looks up, compresses and packs. Stores each object once, however many threads bring it. */
int packetfs_writer_put(struct packetfs_writer *writer, enum packetfs_kind kind,
                        struct hm_slice bytes, struct packetfs_id *id, struct hm_error *error);
struct packetfs_objects packetfs_writer_objects(
    struct packetfs_writer *writer); /* reads what it wrote, too */
/* Everything put so far is durable and in the index. On HM_EIO (disk full says so) nothing stored before is harmed. */
int packetfs_writer_flush(struct packetfs_writer *writer, struct hm_error *error);
void packetfs_writer_counts(struct packetfs_writer *writer, struct packetfs_writer_counts *out);
/* Drops what was not flushed. NULL is fine. */
void packetfs_writer_close(struct packetfs_writer *writer);

/* --- snapshots --------------------------------------------------------------------------------------------------- */
#define PACKETFS_SNAPSHOTS_MAX 1000000

/* struct packetfs_snapshot of packetfs.h; its id is the hash of the sealed file. */

/* The writer of all it needs was flushed and is not closed yet: prune lets objects go that no snapshot names once their writer is gone. Fills id and
 * sequence. */
int packetfs_snapshot_add(struct packetfs_store *store, struct packetfs_snapshot *snapshot,
                          struct hm_error *error);
/* All, oldest first; *out is one block for hm_free. Files that do not open are passed over: `check` names them, and
 * prune refuses while there are any. */
int packetfs_snapshot_list(struct packetfs_store *store, struct packetfs_snapshot **out,
                           size_t *count, struct hm_error *error);
/* By id prefix in hex (>= 4 digits), by label (its newest), or "latest". HM_ENOTFOUND, HM_ECONFLICT: several. */
int packetfs_snapshot_find(struct packetfs_store *store, const char *name,
                           struct packetfs_snapshot *out, struct hm_error *error);
int packetfs_snapshot_remove(struct packetfs_store *store,
                             const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES], struct hm_error *error);
/* Between twins of a volume snapshot files travel as they are: the same id at both ends. _read appends the file's bytes (HM_ENOTFOUND);
 * _unseal opens them (pure, fuzzed; HM_ECORRUPT); _import checks them and writes them durably under their id, all they need being in the
 * index already; one that is there is fine. */
int packetfs_snapshot_read(struct packetfs_store *store,
                           const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES], struct hm_buf *sealed,
                           struct hm_error *error);
int packetfs_snapshot_unseal(const struct packetfs_keys *keys, struct hm_slice sealed,
                             struct packetfs_snapshot *out, struct hm_error *error);
int packetfs_snapshot_import(struct packetfs_store *store, struct hm_slice sealed,
                             struct packetfs_snapshot *out, struct hm_error *error);

#endif
