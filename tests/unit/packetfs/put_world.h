/* A put into the twin in memory, and a restore from it, without a volume: the walk, the cutting, the threads and the writing
 * of files are what is tested. */
#ifndef HM_TEST_PUT_WORLD_H
#define HM_TEST_PUT_WORLD_H

#include "get/packetfs_restore.h"
#include "put/packetfs_put.h"

struct put_world {
    char folder[64]; /* a new one under /tmp */
    struct packetfs_memory *memory;
    struct packetfs_keys keys;
    struct packetfs_cutter *cutter;
    unsigned threads;
    /* of the last put or restore */
    struct packetfs_id root;
    uint64_t files, folders, bytes, failed, same, bytes_read;
    unsigned findings;
    char finding[HM_ERROR_TEXT_BYTES]; /* the last one */
};

void put_world_init(struct put_world *world);
void put_world_release(struct put_world *world);
/* FOLDER/NAME; four at a time live. */
const char *put_world_path(struct put_world *world, const char *name);
void put_world_write(struct put_world *world, const char *name, const void *data, size_t len);
int put_world_put(struct put_world *world, const char *name, const char *const *excludes,
                  size_t exclude_count, struct hm_error *error);
int put_world_get(struct put_world *world, const char *target, bool overwrite,
                  struct hm_error *error);
/* Runs diff -r and compares every lstat; false says what differs. */
bool put_world_same(struct put_world *world, const char *a, const char *b);

#endif
