/* What the parts of a writer share.
 *
 * An object's way: reserved in `pending` (one thread compresses it), appended to the open pack of its kind, which one thread
 * seals and writes into tmp/ when it is full; some packs together are made durable, named and entered in the index
 * (settled, in two steps). Until then `pending` knows it. */
#ifndef HM_PACKETFS_WRITER_INNER_H
#define HM_PACKETFS_WRITER_INNER_H

#include "packetfs_time.h"
#include "store/packetfs_pending.h"
#include "store/packetfs_store_inner.h"

#define PACKETFS_SEALING_MAX 3 /* packs being sealed at once; who would begin another waits */
#define PACKETFS_PUBLISH_BYTES \
    (4 * PACKETFS_PACK_BYTES) /* of finished packs: they become durable together */
/* Objects, or packs, that are entered in the index together: the more, the less is written for each, and the more of the
 * file lies fallow (LMDB uses a page again two transactions later). What is
 * durable and not entered yet a killed writer's successor takes in. */
#define PACKETFS_ENTER_OBJECTS 2048u
#define PACKETFS_ENTER_PACKS   64u
/* In one transaction at most so many, and a pack is full with so many: each may change a page, which is memory until the commit. */
#define PACKETFS_ENTER_OBJECTS_MAX 8192u

struct packetfs_writer_pack {
    struct packetfs_pack_draft draft; /* its frames go when the pack is written; the items stay */
    char path[PACKETFS_PATH_BYTES]; /* in tmp/, then under its name */
    int fd; /* -1: not written yet */
    uint8_t name[PACKETFS_PACK_NAME_BYTES];
    uint64_t bytes;
    struct packetfs_writer_pack *next;
};

struct packetfs_writer_atomics {
    _Atomic uint64_t objects_new[PACKETFS_STORE_KINDS], objects_known[PACKETFS_STORE_KINDS];
    _Atomic uint64_t bytes_new[PACKETFS_STORE_KINDS], bytes_known[PACKETFS_STORE_KINDS];
    _Atomic uint64_t bytes_stored[PACKETFS_STORE_KINDS];
    _Atomic uint64_t bytes_packs;
    _Atomic uint64_t ns_hash, ns_compress, ns_seal, ns_write, ns_index;
};

struct packetfs_writer_dicts;

struct packetfs_writer {
    struct packetfs_store *store;
    struct packetfs_writer_dicts
        *dicts; /* NULL: none are used; its own lock, never taken within `lock` */
    char alive_path[PACKETFS_PATH_BYTES];
    int alive_fd;
    uint64_t generation; /* of the index when it began */
    struct packetfs_writer_atomics counts;

    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t changed;
    struct packetfs_pending pending;
    struct packetfs_writer_pack *open[PACKETFS_STORE_KINDS];
    struct packetfs_writer_pack *sealing; /* list */
    struct packetfs_writer_pack *written; /* list, waiting to become durable */
    struct packetfs_writer_pack
        *published; /* list, durable under their names, not in the index yet */
    uint32_t published_packs, published_objects;
    struct hm_buf spare[PACKETFS_SEALING_MAX]; /* memory of frames, for the next packs */
    uint64_t written_bytes;
    uint64_t settles; /* how often objects went from pending to the index */
    unsigned sealing_count;
    unsigned reserved; /* objects that threads are compressing */
    bool flushing; /* nobody may reserve */
    bool settling;
    int failed; /* once something was lost, nothing more is taken: HM_E* and why */
    struct hm_error failure;
};

/* With the lock held. */
int packetfs_writer_failed(const struct packetfs_writer *writer, struct hm_error *error);
void packetfs_writer_fail(struct packetfs_writer *writer, int rc, const struct hm_error *why);
/* A pack of the kind with room for len bytes more is open; a full one is put into *full, and then counts as being sealed. May wait. */
int packetfs_writer_make_room(struct packetfs_writer *writer, enum packetfs_kind kind, size_t len,
                              struct packetfs_writer_pack **full, struct hm_error *error);
/* Takes the open pack of the kind, to be sealed; NULL when there is nothing in it. */
struct packetfs_writer_pack *packetfs_writer_detach(struct packetfs_writer *writer,
                                                    enum packetfs_kind kind);
/* Without the lock: seals and writes it; then it waits among the written. */
int packetfs_writer_seal(struct packetfs_writer *writer, struct packetfs_writer_pack *pack,
                         struct hm_error *error);
/* Without the lock: what is written becomes durable and, if it is much or all is asked for, known to the index. */
int packetfs_writer_settle(struct packetfs_writer *writer, bool all, struct hm_error *error);
void packetfs_writer_pack_free(struct packetfs_writer_pack *pack);

/* --- dictionaries (packetfs_writer_dict.c): without the lock ------------------------------------------------------------ */
int packetfs_writer_dicts_new(struct packetfs_writer_dicts **out); /* HM_ENOMEM */
void packetfs_writer_dicts_free(struct packetfs_writer_dicts *dicts);
/* What to compress bytes with, valid as long as the writer; NULL: nothing. Takes them as a sample where samples are wanted; when there are
 * enough, this thread trains, and makes the outcome durable. */
int packetfs_writer_dictionary(struct packetfs_writer *writer, enum packetfs_kind kind,
                               struct hm_slice bytes, const struct packetfs_dict **out,
                               struct hm_error *error);

#endif
