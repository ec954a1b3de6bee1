/* What the parts of the index share. */
#ifndef HM_PACKETFS_INDEX_INNER_H
#define HM_PACKETFS_INDEX_INNER_H

#include <pthread.h>
#include <sys/types.h>

#include "store/packetfs_index.h"

enum { TABLE_OBJECTS, TABLE_PACKS, TABLE_NAMES, TABLE_META, PACKETFS_INDEX_TABLES };

#define PACKETFS_INDEX_KEY_BYTES 2
#define PACKETFS_INDEX_ID_BYTES  8 /* of an id, in an item */

struct packetfs_index_reader {
    MDB_txn *txn;
    MDB_cursor *cursor; /* of the objects */
    struct packetfs_index_reader *next;
};

struct packetfs_index {
    MDB_env *env;
    MDB_dbi tables[PACKETFS_INDEX_TABLES];
    char *dir;
    bool read_only;
    /* Reading transactions nobody uses now, reset. */
    pthread_mutex_t lock;
    struct packetfs_index_reader *idle;
    /* Of the list of open ones, under its lock. */
    dev_t device;
    ino_t inode;
    unsigned users;
    struct packetfs_index *next;
};

/* A key and an item behind each other. */
#define PACKETFS_INDEX_PAIR_BYTES (PACKETFS_INDEX_KEY_BYTES + PACKETFS_INDEX_ENTRY_BYTES)

struct packetfs_index_txn {
    struct packetfs_index *index;
    MDB_txn *txn;
    uint32_t next_number; /* 0: not looked up yet */
    /* What packs that were added bring. All goes in at once, sorted: each page of the tree is then changed once. */
    uint8_t (*pairs)[PACKETFS_INDEX_PAIR_BYTES];
    size_t pair_count, pair_room;
};

int packetfs_index_fail(struct hm_error *error, int rc, const char *what,
                        const struct packetfs_index *index);
int packetfs_index_reader_take(struct packetfs_index *index, struct packetfs_index_reader **out,
                               struct hm_error *error);
void packetfs_index_reader_free(struct packetfs_index_reader *reader);
void packetfs_index_reader_give(struct packetfs_index *index, struct packetfs_index_reader *reader);

/* Rows and items as they lie in LMDB; pure. */
#define PACKETFS_INDEX_ROW_BYTES 56
void packetfs_index_row_make(const struct packetfs_pack_info *info,
                             uint8_t out[PACKETFS_INDEX_ROW_BYTES]);
bool packetfs_index_row_parse(uint32_t number, const void *data, size_t len,
                              struct packetfs_pack_info *out);
void packetfs_index_key_make(enum packetfs_kind kind, const struct packetfs_id *id,
                             uint8_t out[PACKETFS_INDEX_KEY_BYTES]);
void packetfs_index_item_make(const struct packetfs_id *id, uint32_t pack, uint32_t position,
                              uint32_t length, uint8_t out[PACKETFS_INDEX_ENTRY_BYTES]);
/* false: no location at all. */
bool packetfs_index_item_parse(const struct packetfs_id *id,
                               const uint8_t item[PACKETFS_INDEX_ENTRY_BYTES], uint32_t *pack,
                               uint32_t *position, uint32_t *length);

/* Within a transaction. HM_ENOTFOUND. */
int packetfs_index_row_get(const struct packetfs_index *index, MDB_txn *txn, uint32_t number,
                           struct packetfs_pack_info *out, struct hm_error *error);
int packetfs_index_meta_get(const struct packetfs_index *index, MDB_txn *txn, const char *name,
                            uint64_t *out, struct hm_error *error);

#endif
