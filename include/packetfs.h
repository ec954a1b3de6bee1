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
    uint32_t chunk_min_bytes, chunk_average_bytes, chunk_max_bytes; /* [32, 64, 256 KiB] */
    enum packetfs_suite
        suite; /* [AES-256-GCM where the processor has it, else ChaCha20-Poly1305]; each pack says its own */
    int zstd_level; /* [1] 1..19; 100: none */
    bool no_padding; /* [padded, shuffled] */
    bool
        no_dictionaries; /* [small pieces are compressed with dictionaries trained from the volume's data] */
};

/* --- policy: what fits the circumstances; docs/packetfs.md has it as a table. Pure: only the processor is asked. -------- */
enum packetfs_redundancy {
    PACKETFS_DATA_MIXED = 0,
    PACKETFS_DATA_PACKED = 1, /* compressed or encrypted already: films, archives */
    PACKETFS_DATA_REPETITIVE =
        2, /* versions of the same: images of disks, dumps, trees of sources */
};
struct packetfs_circumstances {
    uint64_t bytes; /* how much there will be; 0: not known */
    enum packetfs_redundancy redundancy;
    uint32_t link_mbit; /* over what it is sent; 0: it stays on local disks */
    bool trusted; /* who stores and carries it may know sizes and where pieces begin */
};
struct packetfs_reason {
    const char *what, *value, *why; /* static text: "chunker", "keyed", one sentence */
};
#define PACKETFS_REASONS 6 /* chunker, sizes, cipher, compression, padding, dictionaries */
/* No zeros are left in *out. With circumstances of all zeros: the defaults. */
void packetfs_policy(const struct packetfs_circumstances *circumstances,
                     struct packetfs_parameters *out,
                     struct packetfs_reason reasons[PACKETFS_REASONS]);

/* What opens a volume; borrowed. One of passphrase, key_file and identity_file, or none: then the key files in key_dir and the identity there are tried.
 * The first time an identity opens a volume the key folder notes which key it has (VOLUME-ID.pin): another one later is PACKETFS_ECORRUPT, as somebody exchanged the
 * volume. Through a slot that another identity signed (packetfs_key_admit) the first time must name identity_file. */
struct packetfs_unlock {
    const char *passphrase;
    const char *key_file;
    const char *identity_file; /* "": "identity" in the key folder */
    const char *
        key_dir; /* NULL: PACKETFS_KEY_DIR, else XDG_CONFIG_HOME/packetfs/keys, else ~/.config/packetfs/keys */
};

/* Makes the folder dir (0700) and in it a new, empty volume with a random key, wrapped for unlock; with none a new key file is made in
 * key_dir, named for the volume. EEXIST: the folder is not empty. */
int packetfs_volume_create(const char *dir, const struct packetfs_parameters *parameters,
                           const struct packetfs_unlock *unlock, struct packetfs_error *error);
/* ENOTFOUND: no volume there. EAUTH: no key opens it. EUNSUPPORTED: made by a later version. ECORRUPT: damaged, or another than it was. */
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
    bool no_cache; /* neither ask the user's cache of file states nor add to it */
    unsigned threads; /* 0: as many as processors */
    bool whole; /* all or nothing: no snapshot is made when a file failed */
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
 * (files_failed > 0). With `whole` it was not made, and result is left as it was. */
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
/* Checks every piece before it is written. What is replaced is synced first; new files are left to the system's own writing: sync
 * afterwards where a power cut matters. ECORRUPT, EEXIST or EIO with result filled: some could not be restored; each was a finding. */
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

/* Shows one entry itself, also a folder; "" is the top folder, of which a snapshot keeps no attributes. ENOTFOUND. */
int packetfs_stat(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path, int (*show)(void *ctx, const struct packetfs_item *item),
                  void *ctx, struct packetfs_error *error);

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
/* Where a file's next data (hole false) or next hole begins, at offset or behind; the end counts as a hole. ENOTFOUND: there is none, or offset is
 * past the end. */
int packetfs_extent(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                    const char *path, uint64_t offset, bool hole, uint64_t *out,
                    struct packetfs_error *error);
struct packetfs_attribute {
    struct packetfs_bytes name,
        value; /* as packetfs_xattrs shows them; ACLs are system.posix_acl_access and _default */
};
/* Shows all of one entry, or of a tree in the order of packetfs_list with deep, and first the folder at path itself unless it is "": what
 * packetfs_builder_entry takes. attributes in the order of their names; file: of a file its bytes, to be read until show returns, else NULL. */
int packetfs_walk(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path,
                  int (*show)(void *ctx, const struct packetfs_item *item,
                              const struct packetfs_attribute *attributes, size_t count,
                              struct packetfs_file *file),
                  void *ctx, struct packetfs_error *error);
/* Where the next stretch of data (or, in the end, nothing: *len 0) begins, at offset or behind, and how long it is. In order of offsets it is cheap. */
int packetfs_file_extent(struct packetfs_file *file, uint64_t offset, uint64_t *begin,
                         uint64_t *len, struct packetfs_error *error);
/* Shows each extended attribute of one entry. */
int packetfs_xattrs(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                    const char *path,
                    int (*show)(void *ctx, struct packetfs_bytes name, struct packetfs_bytes value),
                    void *ctx, struct packetfs_error *error);

/* --- putting what is no file here ---------------------------------------------------------------------------------------- */
/* A snapshot from entries that somebody hands in one by one, in any order: an archive, an image, another backup. Everything else is as with
 * packetfs_put: the same pieces, the same references, and the same root for the same tree.
 *
 * Memory: what PACKETFS_BUILDER_MEMORY_BYTES says for entries, besides the buffers of a put; folders that are not being added to are written out and
 * read again when needed. A folder with so many entries that it cannot be held in 16 times as much is ELIMIT. */
#define PACKETFS_BUILDER_MEMORY_BYTES ((size_t)256 << 20)
struct packetfs_builder;
struct packetfs_builder_options {
    const char *label; /* not NULL */
    size_t memory_max_bytes; /* 0: PACKETFS_BUILDER_MEMORY_BYTES */
    unsigned threads; /* 0: as many as processors */
};
/* One thread. watch is borrowed until close. After a failure of any of these only close is of use. */
int packetfs_builder_open(struct packetfs_volume *volume,
                          const struct packetfs_builder_options *options,
                          const struct packetfs_watch *watch, struct packetfs_builder **out,
                          struct packetfs_error *error);
/* An entry of any type. item->path: EINVAL if it is absolute, has ".." or a NUL in it; "." and empty names in it are passed over, and of the top folder ("")
 * nothing is kept. item->bytes is not looked at. item->hard_link: 0, unless the caller knows a number that all names of the file will share.
 * An entry of the same path that came before gives way (a folder keeps its entries). Folders above it that never come are made: 0755, owner and time of the first entry
 * in them. ECONFLICT: something above it is no folder, or it would take the place of a folder with entries. */
int packetfs_builder_entry(struct packetfs_builder *builder, const struct packetfs_item *item,
                           const struct packetfs_attribute *attributes, size_t count,
                           struct packetfs_error *error);
/* The next bytes of the file that was the last entry; or that many zeros which are not stored. */
int packetfs_builder_write(struct packetfs_builder *builder, const void *data, size_t len,
                           struct packetfs_error *error);
int packetfs_builder_hole(struct packetfs_builder *builder, uint64_t len,
                          struct packetfs_error *error);
/* One more name for what is there under the path existing. ENOTFOUND; ECONFLICT: that is a folder. */
int packetfs_builder_link(struct packetfs_builder *builder, struct packetfs_bytes path,
                          struct packetfs_bytes existing, struct packetfs_error *error);
/* Durable, and a snapshot, when it returns 0; else there is none. Then close. */
int packetfs_builder_finish(struct packetfs_builder *builder, struct packetfs_put_result *result,
                            struct packetfs_error *error);
void packetfs_builder_close(struct packetfs_builder *builder);

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
    uint64_t dictionaries;
};
int packetfs_count(struct packetfs_volume *volume, struct packetfs_stats *out,
                   struct packetfs_error *error);

/* --- transfer ---------------------------------------------------------------------------------------------------------- */
/* Between two folders of one volume (same id and key; a second one begins as a copy of DIR/volume and DIR/keys) on two machines, over STOQ. Both
 * ends prove that they hold the volume's key, each of two connections (references; patterns) with a key of its own.
 * What one side lacks is found out by the other's asking; every object is checked against its id; a snapshot is added when all it names is
 * here and durable. What was interrupted goes on where it was. docs/formats-packetfs-wire.md */
#define PACKETFS_PORT_DEFAULT 4478 /* UDP; references; patterns go to the two after it */

struct packetfs_serve_options {
    const char *
        address; /* "[::]:4478", "10.0.0.1", "[::]:0" …; NULL: every address of this machine, the default port. Port 0: free ones */
    bool no_push; /* peers may take and not bring */
    bool no_pull;
    unsigned threads_max; /* 0: 64. Peers at a time, two threads each */
    /* Told once it listens; text: the address with its port. */
    void (*ready)(void *ctx, const char *address);
    /* One sentence when a peer has ended, also when it failed. From any thread. */
    void (*event)(void *ctx, const char *sentence);
    void *ctx;
};
/* Serves the volume until watch->progress answers false (asked some five times a second; returns 0 then) or the address fails. A volume
 * opened read-only takes no push. */
int packetfs_serve(struct packetfs_volume *volume, const struct packetfs_serve_options *options,
                   const struct packetfs_watch *watch, struct packetfs_error *error);

struct packetfs_transfer_options {
    const char *remote; /* "[2001:db8::1]:4478", "10.0.0.1", "nas.example:4478" */
    const char *label; /* only snapshots with this label; NULL: all */
    bool newest_only; /* only the newest of each label */
    bool accept_rollback; /* pull: take a peer that shows less than it showed before */
    unsigned timeout_ms; /* of silence; 0: 60,000 */
    const uint8_t *
        snapshot; /* pull: only the one with this id (PACKETFS_SNAPSHOT_ID_BYTES), whatever else the peer lists; NULL: all that were chosen */
};
struct packetfs_transfer_result {
    uint64_t snapshots, references, patterns; /* taken over */
    uint64_t deltas; /* of those objects, as a difference to one that was there */
    uint64_t bytes_plain; /* what they are unpacked */
    uint64_t bytes_sent, bytes_received; /* UDP payload of all connections, handshakes included */
    uint64_t round_trips; /* waits for an answer, without handshakes */
};
/* EAUTH: the peer lacks this volume's key (or we its). ECORRUPT: what came is damaged, exchanged, missing or rolled back. EUNAVAILABLE,
 * ETIMEOUT: no connection, or it broke off: try again. EPERM: the peer takes or gives nothing. */
int packetfs_push(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error);
int packetfs_pull(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error);
/* Pull, then push; the result is of both. */
int packetfs_sync(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error);

/* --- identities and messages ---------------------------------------------------------------------------------------------- */
/* An identity is a secret key file (mode 0600) and a public part, a text for others. Signing is Ed25519 and ML-DSA-65, sealing X25519 and
 * ML-KEM-768. Compare ids over another channel before you trust one: names are what their owners say. */
#define PACKETFS_CONTACT_NAME_MAX_BYTES 64 /* UTF-8, one line */
#define PACKETFS_CONTACT_ID_CHARS       62 /* "pfi1…" */
struct packetfs_identity; /* secret; threads may share it */
struct packetfs_contact; /* public */
/* Makes path and path.pub; NULL: "identity" in the key folder. EEXIST: never replaced. */
int packetfs_identity_create(const char *path, const char *name, struct packetfs_error *error);
int packetfs_identity_open(const char *path, struct packetfs_identity **out,
                           struct packetfs_error *error);
void packetfs_identity_close(struct packetfs_identity *identity);
/* Its public part; valid until close. */
const struct packetfs_contact *packetfs_identity_contact(const struct packetfs_identity *identity);
/* *text is freed by packetfs_free. */
int packetfs_contact_print(const struct packetfs_contact *contact, char **text,
                           struct packetfs_error *error);
/* From a text that holds one, between other lines too. EPARSE. */
int packetfs_contact_parse(struct packetfs_bytes text, struct packetfs_contact **out,
                           struct packetfs_error *error);
void packetfs_contact_close(struct packetfs_contact *contact);
const char *packetfs_contact_id(const struct packetfs_contact *contact);
const char *packetfs_contact_name(const struct packetfs_contact *contact);

/* A message sealed to one identity and signed by another. Who sees it learns its size class (16 KiB, doubled up to 1 MiB, then whole MiB) and
 * nothing of who sent it or for whom. */
#define PACKETFS_MESSAGE_MAX_BYTES ((size_t)16 << 20)
enum packetfs_message_kind {
    PACKETFS_MESSAGE_TEXT = 1,
    PACKETFS_MESSAGE_SHARE = 2, /* a share of a volume's key */
    PACKETFS_MESSAGE_KEY =
        3, /* a way into a volume: lies in its slots; packetfs_message_open opens none */
    PACKETFS_MESSAGE_HANDOVER =
        4, /* of packetfs_send and packetfs_receive; packetfs_message_open opens none */
};
struct packetfs_message {
    enum packetfs_message_kind kind;
    char from_id[PACKETFS_CONTACT_ID_CHARS + 1]; /* proven */
    char from_name[PACKETFS_CONTACT_NAME_MAX_BYTES + 1]; /* as the sender says */
    uint64_t time_ns; /* as the sender says */
    uint8_t *content; /* wiped and freed by packetfs_message_release */
    size_t content_len;
};
/* *out is freed by packetfs_free. */
int packetfs_message_seal(const struct packetfs_identity *from, const struct packetfs_contact *to,
                          struct packetfs_bytes content, uint8_t **out, size_t *len,
                          struct packetfs_error *error);
/* EAUTH: for somebody else, or changed, or not signed by who it says. EPARSE: no message. */
int packetfs_message_open(const struct packetfs_identity *identity, struct packetfs_bytes sealed,
                          struct packetfs_message *out, struct packetfs_error *error);
void packetfs_message_release(struct packetfs_message *message);

/* --- handing over ------------------------------------------------------------------------------------------------------------ */
/* Files and folders from one person to another, who needs no volume and no account: what is sent goes into a volume made for it (sealed under a
 * fresh key, in a folder of its own), is offered over STOQ, pulled, checked and restored like every other. Who may take it knows a
 * short code, or is one identity. What broke off goes on where it was, when both are called again with the same paths and
 * folders. docs/packetfs.md */
#define PACKETFS_CODE_MAX_BYTES   32 /* "4821-harbor-violin" and its NUL */
#define PACKETFS_SEND_GUESSES_MAX 3 /* wrong codes, then the offer ends */

struct packetfs_send_options {
    const char *const *paths;
    size_t path_count;
    const char *
        address; /* as with packetfs_serve; NULL: every address, free ports. The three ports after it are used, too */
    /* Both, and only the identity `to` may take it; neither: whoever knows the code. */
    const struct packetfs_identity *identity;
    const struct packetfs_contact *to;
    const char *
        state; /* a folder for what is sent, until it is taken; NULL: one in the user's cache, found again by the paths and whom it is for */
    unsigned wait_s; /* so long nobody may have come; 0: 3600 */
    /* Told once it listens. code: NULL when it is for an identity. */
    void (*ready)(void *ctx, const char *code, const char *address);
    /* One sentence when somebody came, was refused, or broke off. From any thread. */
    void (*event)(void *ctx, const char *sentence);
    void *ctx;
};
struct packetfs_send_result {
    uint64_t files, folders, bytes; /* of what was sent, plain */
    unsigned wrong_guesses;
};
/* Returns when somebody has taken and restored all of it. EAUTH: PACKETFS_SEND_GUESSES_MAX wrong codes. ETIMEOUT: nobody came, or nobody ended it. EIO: a file could
 * not be read (each was a finding): nothing is offered. */
int packetfs_send(const struct packetfs_send_options *options, const struct packetfs_watch *watch,
                  struct packetfs_send_result *result, struct packetfs_error *error);

struct packetfs_receive_options {
    const char *remote; /* as with packetfs_pull */
    const char *code; /* or both of the next: */
    const struct packetfs_identity *identity;
    const struct packetfs_contact *from;
    const char *target; /* a folder, made when missing */
    bool overwrite; /* as with packetfs_get */
    const char *
        state; /* a folder for what has come and is not restored yet; NULL: one in the user's cache */
    unsigned timeout_ms; /* of silence; 0: 60,000 */
    /* What will come, as the sender says; it cannot be more. false: leave it. NULL: everything is taken. */
    bool (*accept)(void *ctx, uint64_t files, uint64_t folders, uint64_t bytes);
    void *ctx;
};
struct packetfs_receive_result {
    struct packetfs_get_result restored;
    uint64_t bytes_sent, bytes_received; /* UDP payload */
};
/* EAUTH: a wrong code, another identity, or somebody is in between. ELIMIT: more came than was announced. The rest as with packetfs_pull and
 * packetfs_get. */
int packetfs_receive(const struct packetfs_receive_options *options,
                     const struct packetfs_watch *watch, struct packetfs_receive_result *result,
                     struct packetfs_error *error);

/* --- a volume's key --------------------------------------------------------------------------------------------------------- */
struct packetfs_sealed {
    uint8_t *data; /* packetfs_free */
    size_t len;
};
struct packetfs_share_info {
    char volume[33]; /* its id */
    char split[33]; /* the id of the split */
    unsigned index, k, n; /* share index (1..n) of n, any k of which give the key */
    char by_id[PACKETFS_CONTACT_ID_CHARS + 1]; /* who split it: proven */
    char by_name[PACKETFS_CONTACT_NAME_MAX_BYTES + 1];
};
/* Splits the volume's key: share i is a message to trustees[i], out[i]. Any k of the n (1 <= k <= n <= 255, trustees all different) give it back; fewer say
 * nothing about it. The volume stays as it is. */
int packetfs_key_split(const char *dir, const struct packetfs_unlock *unlock,
                       const struct packetfs_identity *by, unsigned k,
                       const struct packetfs_contact *const *trustees, size_t n,
                       struct packetfs_sealed *out, struct packetfs_error *error);
/* A trustee's answer: his share, sealed anew to who asks. to NULL: only tells what the share is. info may be NULL. */
int packetfs_key_answer(const struct packetfs_identity *trustee, struct packetfs_bytes share,
                        const struct packetfs_contact *to, struct packetfs_sealed *out,
                        struct packetfs_share_info *info, struct packetfs_error *error);
/* k answers or more, sealed to identity, give the volume's key, and the volume a further slot for fresh (as with
 * packetfs_volume_create). An answer that was changed, is there twice or comes from another split or volume is refused and named.
 * EAUTH: it is not this volume's key. */
int packetfs_key_join(const char *dir, const struct packetfs_identity *identity,
                      const struct packetfs_bytes *answers, size_t count,
                      const struct packetfs_unlock *fresh, struct packetfs_error *error);
/* Wraps the volume's key for fresh and removes all other slots: what opened it before opens it no more, and no data is read. The volume's key itself
 * stays: who has it, or k shares of it, still has it. With nothing in fresh a new key file takes the old one's place. EINVAL: fresh opens it already. */
int packetfs_key_rotate(const char *dir, const struct packetfs_unlock *unlock,
                        const struct packetfs_unlock *fresh, struct packetfs_error *error);

/* The volume's key lies wrapped in slots, any one of which opens the volume. None of these calls reads data. Two at once wait for each other. */
#define PACKETFS_SLOTS_MAX     32
#define PACKETFS_SLOT_NAME_MAX 32 /* [a-z0-9-]+ */
enum packetfs_slot_kind {
    PACKETFS_SLOT_PASSPHRASE = 1, /* Argon2id */
    PACKETFS_SLOT_FILE = 2, /* a key file of 32 random bytes, hex, mode 0600, kept by the user */
    PACKETFS_SLOT_IDENTITY = 3, /* sealed to an identity: X25519 and ML-KEM-768 */
};
struct packetfs_slot_info {
    char name[PACKETFS_SLOT_NAME_MAX + 1];
    int kind; /* enum packetfs_slot_kind; 0: damaged, renamed, or of a later version */
    /* Of an identity, else empty; only who has the volume's key sees them: */
    char id[PACKETFS_CONTACT_ID_CHARS + 1]; /* whose */
    char who[PACKETFS_CONTACT_NAME_MAX_BYTES + 1]; /* as he says */
    char by_id[PACKETFS_CONTACT_ID_CHARS + 1]; /* who let him in */
    uint64_t time_ns;
};
/* In the order of names. A non-zero answer of show ends it and is returned. */
int packetfs_key_list(const char *dir, const struct packetfs_unlock *unlock,
                      int (*show)(void *ctx, const struct packetfs_slot_info *slot), void *ctx,
                      struct packetfs_error *error);
/* One more slot, for fresh (as with packetfs_volume_create). EEXIST: fresh opens it already. ELIMIT: PACKETFS_SLOTS_MAX slots. */
int packetfs_key_add(const char *dir, const struct packetfs_unlock *unlock,
                     const struct packetfs_unlock *fresh, struct packetfs_error *error);
/* One more slot, for the identity `to`, signed by the identity `by`: what `to` believes when he opens the volume for the first time. EEXIST: he has one. */
int packetfs_key_admit(const char *dir, const struct packetfs_unlock *unlock,
                       const struct packetfs_identity *by, const struct packetfs_contact *to,
                       struct packetfs_error *error);
/* slot: a name, or the id of an identity. The volume's key stays: who has seen it still has it. ENOTFOUND. ECONFLICT: no other slot would be left. */
int packetfs_key_remove(const char *dir, const struct packetfs_unlock *unlock, const char *slot,
                        struct packetfs_error *error);

#ifdef __cplusplus
}
#endif

#endif
