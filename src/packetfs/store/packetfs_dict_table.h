/* The dictionaries of a volume: where they lie, and those that are prepared to read with. One table a store, shared by its threads. */
#ifndef HM_PACKETFS_DICT_TABLE_H
#define HM_PACKETFS_DICT_TABLE_H

#include <pthread.h>

#include "pack/packetfs_dict.h"
#include "store/packetfs_index.h"

#define PACKETFS_DICT_PLACES_MAX 4096u /* copies included; what is past it is not looked at */

struct packetfs_store;

struct packetfs_dict_place {
    struct packetfs_id id;
    uint8_t pack[PACKETFS_PACK_NAME_BYTES];
    uint32_t position, length; /* units */
    bool live; /* its pack is not condemned */
};

struct packetfs_dict_table {
    pthread_mutex_t lock; /* over all that follows; held while one is read */
    struct packetfs_dict_place *places;
    size_t count, room;
    struct packetfs_dict *prepared[PACKETFS_DICTS_PREPARED_MAX];
    uint64_t clock;
    const struct packetfs_index *index; /* that it was filled from, and as it was then */
    uint64_t stamp;
    bool looked;
    bool held; /* filled from the packs themselves: the index is being made again */
    struct hm_error why; /* a pack of dictionaries that could not be read when it was filled */
};

void packetfs_dict_table_init(struct packetfs_dict_table *table);
void packetfs_dict_table_release(struct packetfs_dict_table *table);

/* The dictionary that a frame names, prepared to unpack; for packetfs_dict_give. HM_ECORRUPT: lost, damaged or exchanged, and the sentence names
 * it. HM_ENOMEM, HM_EIO. */
int packetfs_dict_take(struct packetfs_store *store, uint64_t ref, struct packetfs_dict **out,
                       struct hm_error *error);
void packetfs_dict_give(struct packetfs_store *store, struct packetfs_dict *dict);
/* Whether a pack of the volume has it: 0, HM_ENOTFOUND, or why that cannot be told. */
int packetfs_dict_has(struct packetfs_store *store, uint64_t ref, struct hm_error *error);
/* The newest sound one of a class in a live pack, prepared to pack at the level, the caller's to free; *out stays NULL when there is none. *sequence: of
 * the next one of the class. *count: of all classes. */
int packetfs_dict_newest(struct packetfs_store *store, unsigned class, int level,
                         struct packetfs_dict **out, uint32_t *sequence, size_t *count,
                         struct hm_error *error);
/* Repair: fills the table from the packs on disk, and keeps to that until packetfs_dict_table_let. */
int packetfs_dict_table_hold(struct packetfs_store *store, struct hm_error *error);
void packetfs_dict_table_let(struct packetfs_store *store);

#endif
