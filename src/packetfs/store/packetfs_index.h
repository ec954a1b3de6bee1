/* The index: where each object is. An LMDB environment that several processes read and write at once; it can be lost, and
 * is then made again from the folders of the packs.
 *
 *   objects  (kind, range of the id's first two bytes) -> items of 16 bytes, sorted: the id from its second byte on, 8 bytes, then the location
 *            (pack number, position, length) under the last 8 bytes of the id. Who sees the index alone learns how many objects there are.
 *   packs    number -> name, kind, state, size
 *   names    name of a pack -> its number
 *   meta     format, volume id, generation
 *
 * 71 bits of an id are kept. Two objects that agree in them would be told apart only by their locations: with the wrong id
 * a location is 64 random bits, and such as name no pack, or a place outside it, are passed over. For ten million objects the odds
 * that any two meet are below 10^-12; reading checks the whole id in any case. */
#ifndef HM_PACKETFS_INDEX_H
#define HM_PACKETFS_INDEX_H

#include <lmdb.h>

#include "pack/packetfs_pack.h"

#define PACKETFS_INDEX_FORMAT      1
#define PACKETFS_INDEX_ENTRY_BYTES 16
#define PACKETFS_PACKS_MAX         (1u << 22)
#define PACKETFS_COPIES_MAX \
    4 /* of one object that a look-up gives; there is more than one only while packs are rewritten */

enum packetfs_pack_state {
    PACKETFS_PACK_LIVE = 1,
    PACKETFS_PACK_CONDEMNED =
        2, /* writers take what is in it for absent; `condemned` says since when */
    PACKETFS_PACK_DEAD =
        3, /* nothing in the index leads to it any more; its file goes, then this row */
};
struct packetfs_pack_info {
    uint32_t number;
    uint8_t name[PACKETFS_PACK_NAME_BYTES];
    enum packetfs_pack_state state;
    enum packetfs_kind kind;
    uint32_t objects;
    uint64_t bytes; /* of the file */
    uint64_t born, condemned; /* generations */
};

struct
    packetfs_index; /* shared by all who have the same folder open in this process; thread-safe */

/* Opens dir. HM_ENOTFOUND: there is none. HM_ECORRUPT: damaged, or of another volume. */
int packetfs_index_open(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                        bool read_only, struct packetfs_index **out, struct hm_error *error);
void packetfs_index_close(struct packetfs_index *index);
/* Makes a new, empty one in the folder `work`, durable, and moves it to dir, where there is none. HM_EEXIST: there is one now. */
int packetfs_index_create(const char *work, const char *dir,
                          const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                          struct hm_error *error);
/* Whether data.mdb, as stat shows it, is the one that is open: repair puts another in its place. */
struct stat;
bool packetfs_index_is(const struct packetfs_index *index, const struct stat *data);
uint64_t packetfs_index_bytes(const struct packetfs_index *index); /* in use on disk */

/* --- reading: from any thread -------------------------------------------------------------------------------------- */
struct packetfs_found {
    struct packetfs_pack_info pack;
    uint32_t position, length; /* units */
};
/* Up to max copies, those in live packs first; *count may be 0. HM_EIO. */
int packetfs_index_find(struct packetfs_index *index, enum packetfs_kind kind,
                        const struct packetfs_id *id, struct packetfs_found *out, size_t max,
                        size_t *count, struct hm_error *error);
/* 0: a live pack has it. HM_ENOTFOUND: none, or only condemned ones. HM_EIO. */
int packetfs_index_has_live(struct packetfs_index *index, enum packetfs_kind kind,
                            const struct packetfs_id *id);
/* All packs as they are at one moment; *out is one block for hm_free. */
int packetfs_index_packs(struct packetfs_index *index, struct packetfs_pack_info **out,
                         size_t *count, struct hm_error *error);
/* HM_ENOTFOUND. */
int packetfs_index_pack(struct packetfs_index *index, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                        struct packetfs_pack_info *out, struct hm_error *error);
/* Another number after each transaction that wrote, by whatever process. */
uint64_t packetfs_index_stamp(struct packetfs_index *index);
int packetfs_index_generation(struct packetfs_index *index, uint64_t *out, struct hm_error *error);
/* How many items there are, of all kinds. */
int packetfs_index_count(struct packetfs_index *index, uint64_t *out, struct hm_error *error);

/* --- writing: one thread at a time over all processes; begin waits ------------------------------------------------- */
struct packetfs_index_txn;
int packetfs_index_begin(struct packetfs_index *index, struct packetfs_index_txn **out,
                         struct hm_error *error);
int packetfs_index_commit(struct packetfs_index_txn *txn, struct hm_error *error); /* frees txn */
void packetfs_index_abort(struct packetfs_index_txn *txn); /* NULL is fine */
/* Enters a live pack: info->name, kind, objects, bytes are given, number and generation set. One that is there already stays as
 * it is, and *added is false. */
int packetfs_index_add(struct packetfs_index_txn *txn, struct packetfs_pack_info *info,
                       const struct packetfs_pack_row *rows, bool *added, struct hm_error *error);
/* As the row is now. HM_ENOTFOUND. */
int packetfs_index_get(struct packetfs_index_txn *txn, uint32_t number,
                       struct packetfs_pack_info *out, struct hm_error *error);
int packetfs_index_has_name(struct packetfs_index_txn *txn,
                            const uint8_t name[PACKETFS_PACK_NAME_BYTES], bool *out,
                            struct hm_error *error);
/* A live pack, if it still is one. */
int packetfs_index_condemn(struct packetfs_index_txn *txn, uint32_t number, uint64_t generation,
                           struct hm_error *error);
/* A pack's items are removed (those that are there) and it is dead. */
int packetfs_index_bury(struct packetfs_index_txn *txn, uint32_t number,
                        const struct packetfs_pack_row *rows, size_t count, struct hm_error *error);
/* The row of a dead pack goes. */
int packetfs_index_forget(struct packetfs_index_txn *txn, uint32_t number, struct hm_error *error);
/* One more; *out is the new value. */
int packetfs_index_next_generation(struct packetfs_index_txn *txn, uint64_t *out,
                                   struct hm_error *error);

#endif
