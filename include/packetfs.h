/* libpacketfs: data as a stream of references to a dictionary of patterns.
 *
 * A *volume* is a folder that holds sealed packs of patterns (pieces of data, cut where their own bytes say) and of references
 * (which pieces make up which file, which files which folder), and snapshots: roots of such trees. What is there already is never stored
 * or sent again. Who carries or stores a volume sees packs of padded sizes; docs/packetfs.md says what that hides and what not.
 *
 * Never: keeps a server running by itself, writes outside the folders it is given (and the user's cache of file states), keeps a
 * key longer than the handle it belongs to.
 * Start reading with packetfs_volume_create, packetfs_put and packetfs_get.
 *
 * Errors: 0, or a negative PACKETFS_E* code; the last, nullable parameter receives one sentence for a person. Outputs are untouched on
 * failure. Threads: different handles are independent; a volume may be used by many threads at once unless a function says otherwise, and one
 * folder by many processes. Bytes handed in are borrowed for the call. Handles are freed by their close call, which accepts NULL. */
#ifndef PACKETFS_H
#define PACKETFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum packetfs_error_code {
    PACKETFS_EINVAL = -1, /* what was asked makes no sense */
    PACKETFS_ENOMEM = -2,
    PACKETFS_EIO = -3, /* also a full disk; the text says so */
    PACKETFS_ENOTFOUND = -4,
    PACKETFS_EEXIST = -5,
    PACKETFS_EPERM = -6,
    PACKETFS_EAUTH = -7, /* a wrong key, or a peer without it */
    PACKETFS_EPARSE = -8, /* a file or a peer's message that follows no format */
    PACKETFS_ELIMIT = -9,
    PACKETFS_ECONFLICT = -10, /* a name that means several things */
    PACKETFS_EBUSY = -16,
    PACKETFS_ETIMEOUT = -17,
    PACKETFS_ECORRUPT = -18, /* stored data is damaged, missing or exchanged */
    PACKETFS_EUNSUPPORTED = -19,
    PACKETFS_ECANCELLED = -20,
    PACKETFS_EUNAVAILABLE = -21,
    PACKETFS_EINTERNAL = -23,
};

struct packetfs_error {
    int code;
    char text[384]; /* NUL-terminated */
};

struct packetfs_bytes {
    const uint8_t *data;
    size_t len;
};

/* How a long call tells how far it is. Called from one of its threads at a time, some ten times a second. */
struct packetfs_progress {
    const char *stage; /* "scan", "store", "restore", "check", … : static text */
    uint64_t files_done, files_total; /* total 0: not known */
    uint64_t bytes_done, bytes_total;
    uint64_t bytes_new; /* stored or sent, after removing what was known and compressing */
};
struct packetfs_watch {
    /* false stops the call with PACKETFS_ECANCELLED; what is finished stays. NULL: nobody looks. */
    bool (*progress)(void *ctx, const struct packetfs_progress *progress);
    /* One sentence for a thing that went wrong but did not end the call: a file that could not be read, what `check` found. */
    void (*finding)(void *ctx, const char *sentence);
    void *ctx;
};

/* --- volumes --------------------------------------------------------------------------------------------------------- */
struct packetfs_volume;

enum packetfs_chunker { PACKETFS_CHUNKER_KEYED = 1, PACKETFS_CHUNKER_FAST = 2 };
enum packetfs_suite { PACKETFS_SUITE_AES_256_GCM = 1, PACKETFS_SUITE_CHACHA20_POLY1305 = 2 };

/* Fixed when the volume is made: equal data must be cut equally for ever. Zeros take the defaults in brackets. */
struct packetfs_parameters {
    enum packetfs_chunker chunker; /* [keyed] */
    uint32_t chunk_min_bytes, chunk_average_bytes, chunk_max_bytes; /* [16, 64, 256 KiB] */
    enum packetfs_suite
        suite; /* [AES-256-GCM where the processor has it, else ChaCha20-Poly1305]; each pack says its own */
    int zstd_level; /* [3] 1..19; 100: none */
    bool no_padding; /* [padded, shuffled] */
};

/* What opens a volume; borrowed. One of the first two, or none: then the key files in key_dir are tried. */
struct packetfs_unlock {
    const char *passphrase;
    const char *key_file;
    const char *
        key_dir; /* NULL: PACKETFS_KEY_DIR, else XDG_CONFIG_HOME/packetfs/keys, else ~/.config/packetfs/keys */
};

/* Makes the folder dir (0700) and in it a new, empty volume with a random key, wrapped for unlock; with none a new key file is made in
 * key_dir, named for the volume. EEXIST: the folder is not empty. */
int packetfs_volume_create(const char *dir, const struct packetfs_parameters *parameters,
                           const struct packetfs_unlock *unlock, struct packetfs_error *error);
/* ENOTFOUND: no volume there. EAUTH: no key opens it. EUNSUPPORTED: made by a later version. */
int packetfs_volume_open(const char *dir, const struct packetfs_unlock *unlock, bool read_only,
                         struct packetfs_volume **out, struct packetfs_error *error);
void packetfs_volume_close(struct packetfs_volume *volume);
/* 32 hex digits and a NUL. */
void packetfs_volume_id(const struct packetfs_volume *volume, char out[33]);
void packetfs_volume_parameters(const struct packetfs_volume *volume,
                                struct packetfs_parameters *out);
/* The file that packetfs_volume_create made for it, or "" : for the user to keep safe. Valid until close. */
const char *packetfs_volume_key_file(const struct packetfs_volume *volume);

/* --- snapshots ------------------------------------------------------------------------------------------------------- */
#define PACKETFS_SNAPSHOT_ID_BYTES 16
#define PACKETFS_LABEL_MAX_BYTES   255
#define PACKETFS_HOST_MAX_BYTES    64
#define PACKETFS_ID_BYTES          32

struct packetfs_id {
    uint8_t bytes[PACKETFS_ID_BYTES];
};

struct packetfs_snapshot {
    uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES];
    uint8_t
        parent[PACKETFS_SNAPSHOT_ID_BYTES]; /* the one of the same label before it; zeros: none */
    uint64_t time_ns; /* since 1970, UTC */
    uint64_t sequence; /* one more than the largest of the volume when it was made */
    struct packetfs_id root; /* the folder at the top */
    uint64_t files, folders, bytes; /* of the whole tree; plain bytes, holes counted */
    char label[PACKETFS_LABEL_MAX_BYTES + 1]; /* UTF-8 */
    char host[PACKETFS_HOST_MAX_BYTES + 1];
    char user[PACKETFS_HOST_MAX_BYTES + 1];
};

/* All, oldest first. *out is freed by packetfs_free. */
int packetfs_log(struct packetfs_volume *volume, struct packetfs_snapshot **out, size_t *count,
                 struct packetfs_error *error);
void packetfs_free(void *memory);
/* name: the first hex digits of an id (4 or more), a label (its newest snapshot), or "latest". ECONFLICT: several. */
int packetfs_find(struct packetfs_volume *volume, const char *name, struct packetfs_snapshot *out,
                  struct packetfs_error *error);
/* Forgets the snapshot; packetfs_prune gives the room back. */
int packetfs_remove(struct packetfs_volume *volume, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                    struct packetfs_error *error);

/* --- put -------------------------------------------------------------------------------------------------------------- */
struct packetfs_put_options {
    const char *const *
        paths; /* files and folders; each becomes an entry of the snapshot's top folder, under its last name */
    size_t path_count;
    const char *label; /* NULL: the last name of the first path */
    const char *const
        *excludes; /* fnmatch patterns over paths within the snapshot and over bare names */
    size_t exclude_count;
    bool contents_of; /* one path, a folder: its entries become the top folder */
    bool one_file_system;
    bool read_all; /* believe no file to be unchanged */
    unsigned threads; /* 0: as many as processors */
};
struct packetfs_put_result {
    struct packetfs_snapshot snapshot;
    uint64_t files_unchanged; /* not read: size, times and inode as last time */
    uint64_t
        files_failed; /* could not be read, or changed while read three times; each was a finding; left out */
    uint64_t bytes_read, bytes_new; /* new: plain bytes of patterns not known before */
    uint64_t bytes_stored; /* what the volume grew by */
    uint64_t ns_read, ns_chunk, ns_hash, ns_compress, ns_seal, ns_write,
        ns_index; /* processor time by stage, all threads */
};
/* Durable when it returns 0. Interrupted, what was stored is found again by the next put. PACKETFS_EIO with result filled and a snapshot made: some files failed
 * (files_failed > 0). */
int packetfs_put(struct packetfs_volume *volume, const struct packetfs_put_options *options,
                 const struct packetfs_watch *watch, struct packetfs_put_result *result,
                 struct packetfs_error *error);
/* One file from a descriptor (a pipe too), under this name in a snapshot of its own. */
int packetfs_put_stream(struct packetfs_volume *volume, int fd, const char *name, const char *label,
                        const struct packetfs_watch *watch, struct packetfs_put_result *result,
                        struct packetfs_error *error);

/* --- get -------------------------------------------------------------------------------------------------------------- */
struct packetfs_get_options {
    const char *path; /* within the snapshot; NULL or "": everything */
    const char *target; /* a folder, made when missing */
    bool
        overwrite; /* else what exists and differs is EEXIST; nothing is written through a symbolic link either way */
    bool keep_owner; /* else owners are set only when root */
    bool no_sparse;
    unsigned threads;
};
struct packetfs_get_result {
    uint64_t files, folders, bytes, files_same; /* same: was there, equal, left as it is */
    uint64_t files_failed;
};
int packetfs_get(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                 const struct packetfs_get_options *options, const struct packetfs_watch *watch,
                 struct packetfs_get_result *result, struct packetfs_error *error);
/* One file's bytes to a descriptor. */
int packetfs_get_stream(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                        const char *path, int fd, const struct packetfs_watch *watch,
                        struct packetfs_error *error);

/* --- looking ----------------------------------------------------------------------------------------------------------- */
enum packetfs_entry_type {
    PACKETFS_FILE = 1,
    PACKETFS_FOLDER = 2,
    PACKETFS_SYMLINK = 3,
    PACKETFS_FIFO = 4,
    PACKETFS_SOCKET = 5,
    PACKETFS_CHARACTER_DEVICE = 6,
    PACKETFS_BLOCK_DEVICE = 7,
};
/* One entry, valid during the callback that shows it. */
struct packetfs_item {
    struct packetfs_bytes path; /* within the snapshot, no leading '/'; any bytes but NUL */
    enum packetfs_entry_type type;
    uint32_t mode, uid, gid; /* mode: 07777 */
    struct packetfs_bytes user, group;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint64_t bytes; /* of a file */
    uint64_t hard_link; /* 0, or the number all names of one file share */
    uint64_t device;
    struct packetfs_bytes target; /* of a symbolic link */
};
/* path: a file is shown itself, a folder by its entries, with deep by everything below. A non-zero answer of show ends it and is returned. */
int packetfs_list(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path, bool deep,
                  int (*show)(void *ctx, const struct packetfs_item *item), void *ctx,
                  struct packetfs_error *error);

/* 'A' added, 'D' removed, 'M' content, 'U' attributes, 'T' type. before or after is NULL where there is none. */
int packetfs_diff(struct packetfs_volume *volume, const struct packetfs_snapshot *before,
                  const struct packetfs_snapshot *after,
                  int (*show)(void *ctx, char change, const struct packetfs_item *before,
                              const struct packetfs_item *after),
                  void *ctx, struct packetfs_error *error);

/* Random access, for a mount. */
struct packetfs_file;
int packetfs_file_open(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                       const char *path, struct packetfs_file **out, struct packetfs_error *error);
/* Bytes read: less than len only at the end. Not from two threads at once. */
int64_t packetfs_file_read(struct packetfs_file *file, uint64_t offset, void *out, size_t len,
                           struct packetfs_error *error);
void packetfs_file_close(struct packetfs_file *file);
/* Shows each extended attribute of one entry. */
int packetfs_xattrs(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                    const char *path,
                    int (*show)(void *ctx, struct packetfs_bytes name, struct packetfs_bytes value),
                    void *ctx, struct packetfs_error *error);

/* --- care -------------------------------------------------------------------------------------------------------------- */
/* Which snapshots to keep, a label at a time; the rest is removed by packetfs_retain. All zero: EINVAL. */
struct packetfs_retention {
    unsigned last, hourly, daily, weekly, monthly,
        yearly; /* the newest of each of the last so many hours, days, … that have one (UTC) */
    const char *label; /* NULL: all labels */
    bool dry_run;
};
int packetfs_retain(struct packetfs_volume *volume, const struct packetfs_retention *retention,
                    void (*show)(void *ctx, const struct packetfs_snapshot *snapshot, bool kept),
                    void *ctx, struct packetfs_error *error);

struct packetfs_prune_options {
    unsigned
        unused_percent; /* packs of which more than this is unused are rewritten; 0: every one with something unused */
    bool dry_run;
};
struct packetfs_prune_result {
    uint64_t objects_live, objects_removed, packs_removed,
        packs_waiting; /* waiting: for writers that began before */
    uint64_t bytes_freed, bytes_rewritten;
};
/* Beside running puts and gets. */
int packetfs_prune(struct packetfs_volume *volume, const struct packetfs_prune_options *options,
                   const struct packetfs_watch *watch, struct packetfs_prune_result *result,
                   struct packetfs_error *error);

struct packetfs_check_result {
    uint64_t snapshots, objects, packs, bytes_read, findings;
};
/* quick: whether every snapshot's references lead to objects that are there, every pack is there and as long as it should be, nothing is left over. full:
 * besides, every object is read, opened, unpacked and compared with its id. ECORRUPT when there was a finding. */
int packetfs_check(struct packetfs_volume *volume, bool full, const struct packetfs_watch *watch,
                   struct packetfs_check_result *result, struct packetfs_error *error);
/* Makes the index again from the packs, sets damaged packs aside in damaged/, says what was lost. No put may run. */
int packetfs_repair(struct packetfs_volume *volume, const struct packetfs_watch *watch,
                    struct packetfs_check_result *result, struct packetfs_error *error);

struct packetfs_stats {
    uint64_t snapshots, packs, packs_condemned, patterns, references;
    uint64_t bytes_packs, bytes_index, writers; /* writers: processes at it now */
};
int packetfs_stats(struct packetfs_volume *volume, struct packetfs_stats *out,
                   struct packetfs_error *error);

#ifdef __cplusplus
}
#endif

#endif
