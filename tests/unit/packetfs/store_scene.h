/* A volume with one snapshot of COUNT objects in a pack of patterns and one of references, whose files tests damage. */
#ifndef HM_TEST_PACKETFS_STORE_SCENE_H
#define HM_TEST_PACKETFS_STORE_SCENE_H

#include "store_world.h"

#define COUNT 30

struct scene {
    struct world world;
    uint64_t numbers[COUNT];
    struct packetfs_snapshot snapshot;
    char packs[2][PACKETFS_PATH_BYTES]; /* by kind */
    struct hm_buf bytes[2]; /* as they were */
    struct packetfs_pack_row *rows[2];
    struct packetfs_pack_footer footers[2];
};

void write_file(const char *path, struct hm_slice bytes);
void scene_init(struct scene *scene);
void scene_release(struct scene *scene);
void find_packs(struct scene *scene); /* fills packs, bytes, rows, footers: as they are now */
void heal(struct scene *scene, enum packetfs_kind kind); /* writes bytes into the pack's file */
int verdict(struct world *world, bool full); /* of a check */
int get(struct scene *scene, uint64_t n, struct hm_error *error);

#endif
