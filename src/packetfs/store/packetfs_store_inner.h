/* What the parts of the store share. */
#ifndef HM_PACKETFS_STORE_INNER_H
#define HM_PACKETFS_STORE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "pack/packetfs_codec.h"
#include "pack/packetfs_pack.h"
#include "store/packetfs_dict_table.h"
#include "store/packetfs_index.h"
#include "store/packetfs_store.h"

#define PACKETFS_FOLDER_MODE 0700
#define PACKETFS_FILE_MODE   0600
#define PACKETFS_PATH_BYTES  4096
#define PACKETFS_STALE_MAX   64

/* A pack's file, open to read; counted. */
struct packetfs_file_slot {
    uint8_t name[PACKETFS_PACK_NAME_BYTES];
    struct packetfs_pack_header header;
    int fd;
    unsigned users; /* the table itself is one */
    uint64_t used; /* when, for choosing which goes */
};
#define PACKETFS_FILES_OPEN_MAX 128

/* What one thread reads with: taken from the store and given back. */
struct packetfs_hand {
    struct packetfs_pack_key key; /* of the pack it read last */
    struct packetfs_codec *codec;
    uint8_t *sealed;
    size_t sealed_bytes;
    uint64_t
        missed; /* the dictionary for want of which packetfs_hand_unpack failed last; 0: not for that */
    struct packetfs_hand *next;
};

struct packetfs_store {
    char *dir;
    struct packetfs_keys keys;
    struct packetfs_store_options options;
    _Atomic(struct packetfs_index *) index; /* NULL: lost, or damaged */
    struct packetfs_index
        *stale[PACKETFS_STALE_MAX]; /* those it had before repairs; threads may be in them still */
    unsigned stale_count;
    struct hm_error lost; /* then: why */
    const struct hm_random *random;
    pthread_mutex_t lock; /* over what follows */
    struct packetfs_hand *hands;
    struct packetfs_file_slot *files[PACKETFS_FILES_OPEN_MAX];
    uint64_t clock;
    struct packetfs_dict_table dicts; /* its own lock; taken before that of the store */
};

/* HM_ECORRUPT while the index is lost. */
int packetfs_store_ready(const struct packetfs_store *store, struct hm_error *error);
/* Takes the index that a repair has put in the place of the one that is open, if there is one. HM_ECORRUPT while it is lost. */
int packetfs_store_refresh(struct packetfs_store *store, struct hm_error *error);

/* --- paths and folders (packetfs_store_path.c) ---------------------------------------------------------------------- */
/* DIR/packs/xx/NAME, as hex. HM_ELIMIT. */
int packetfs_store_pack_path(const struct packetfs_store *store,
                             const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                             char out[PACKETFS_PATH_BYTES], struct hm_error *error);
int packetfs_store_path(const struct packetfs_store *store, char out[PACKETFS_PATH_BYTES],
                        struct hm_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int packetfs_store_sync_folder(const char *path, struct hm_error *error);
/* What went wrong with a path, as a code and a sentence that says what to do. */
int packetfs_store_fail(struct hm_error *error, const char *what, const char *path);
/* Every pack file's name, sorted; *out is for hm_free. */
int packetfs_store_pack_names(const struct packetfs_store *store,
                              uint8_t (**out)[PACKETFS_PACK_NAME_BYTES], size_t *count,
                              struct hm_error *error);
/* A new file in tmp/, locked by this process as long as fd is open, so that nobody takes it for left over. */
int packetfs_store_tmp_open(const struct packetfs_store *store, char path[PACKETFS_PATH_BYTES],
                            int *fd, struct hm_error *error);
/* Removes what processes that are gone left in tmp/. */
int packetfs_store_tmp_clean(const struct packetfs_store *store, struct hm_error *error);

/* --- reading (packetfs_store_file.c, packetfs_store_read.c) ------------------------------------------------------------ */
/* HM_ENOTFOUND: no such file (another process moved its objects). */
int packetfs_store_file_take(struct packetfs_store *store,
                             const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                             struct packetfs_file_slot **out, struct hm_error *error);
void packetfs_store_file_give(struct packetfs_store *store, struct packetfs_file_slot *file);
/* No longer from the table: it is gone, or will be. */
void packetfs_store_file_drop(struct packetfs_store *store,
                              const uint8_t name[PACKETFS_PACK_NAME_BYTES]);
void packetfs_store_files_close(struct packetfs_store *store);

int packetfs_store_hand_take(struct packetfs_store *store, struct packetfs_hand **out,
                             struct hm_error *error);
void packetfs_store_hand_give(struct packetfs_store *store, struct packetfs_hand *hand);
void packetfs_store_hands_free(struct packetfs_store *store);
/* Reads and opens the frame that lies at found; *frame is the hand's until its next call. HM_ECORRUPT, HM_ENOTFOUND (no such file), HM_EIO. */
int packetfs_hand_read(struct packetfs_store *store, struct packetfs_hand *hand,
                       const struct packetfs_id *id, const struct packetfs_found *found,
                       struct hm_slice *frame, struct hm_error *error);
/* The same from a file that is open already. */
int packetfs_hand_read_file(struct packetfs_store *store, struct packetfs_hand *hand,
                            const struct packetfs_file_slot *file, const struct packetfs_id *id,
                            uint32_t position, uint32_t length, struct hm_slice *frame,
                            struct hm_error *error);
/* Unpacks a frame, appends it to out and compares it with id. HM_ECORRUPT. */
int packetfs_hand_unpack(struct packetfs_store *store, struct packetfs_hand *hand,
                         enum packetfs_kind kind, const struct packetfs_id *id,
                         struct hm_slice frame, struct hm_buf *out, struct hm_error *error);

/* --- who writes (packetfs_store_alive.c) ------------------------------------------------------------------------------- */
/* Registers a writer: a locked file in writers/, with the generation of the index as it was afterwards. barred: by who holds
 * the bar himself. HM_EBUSY: a repair is running. */
int packetfs_alive_enter(struct packetfs_store *store, bool barred, char path[PACKETFS_PATH_BYTES],
                         int *fd, uint64_t *generation, struct hm_error *error);
void packetfs_alive_leave(const char *path, int fd);
/* Nobody registers until fd is closed. HM_EBUSY: somebody is just doing so. */
int packetfs_alive_bar(const struct packetfs_store *store, int *fd, struct hm_error *error);
/* How many live, and the lowest generation among them (UINT64_MAX: none); removes the files of those that are gone. except: not
 * counted; may be NULL. */
int packetfs_alive_count(const struct packetfs_store *store, const char *except, uint64_t *count,
                         uint64_t *lowest, struct hm_error *error);

/* Takes in packs that no row of the index names: whole and durable, left by a writer that was killed. A pack that does not open is
 * left where it is (`check` names it). Packs whose files are gone are condemned. */
int packetfs_store_adopt(struct packetfs_store *store, struct hm_error *error);
/* One prune or repair at a time: HM_EBUSY. Closing fd ends it. */
int packetfs_care_lock(const struct packetfs_store *store, int *fd, struct hm_error *error);
/* Every snapshot file; what cannot be opened is shown with rc and why, and no snapshot. A non-zero answer ends it. */
int packetfs_snapshot_each(struct packetfs_store *store,
                           int (*show)(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                                       const struct packetfs_snapshot *snapshot, int rc,
                                       const struct hm_error *why),
                           void *ctx, struct hm_error *error);
/* Makes a pack's name. */
int packetfs_store_name(const struct packetfs_store *store, uint8_t name[PACKETFS_PACK_NAME_BYTES],
                        struct hm_error *error);

/* Repair's, behind its own bar: does not take orphaned packs in, which may be damaged. */
int packetfs_writer_open_bare(struct packetfs_store *store, struct packetfs_writer **out,
                              struct hm_error *error);
/* A writer's put for a frame that was opened and not unpacked (prune). Known objects are left alone. */
int packetfs_writer_put_frame(struct packetfs_writer *writer, enum packetfs_kind kind,
                              const struct packetfs_id *id, struct hm_slice frame,
                              struct hm_error *error);

#endif
