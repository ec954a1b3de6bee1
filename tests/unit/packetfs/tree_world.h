/* What the tests of trees share: a twin in memory that counts what is read, dice, and models of lists and folders. */
#ifndef HM_TEST_TREE_WORLD_H
#define HM_TEST_TREE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tree/packetfs_node.h"

struct tree_world {
    struct packetfs_memory *memory;
    struct packetfs_objects inner, objects; /* objects: counts, then calls inner */
    size_t reads;
    struct hm_random_seeded dice_state;
    struct hm_random dice;
};

extern const uint8_t tree_node_key[32];

void tree_world_init(struct tree_world *world, uint64_t seed);
void tree_world_release(struct tree_world *world);
uint64_t tree_die(struct tree_world *world, uint64_t sides); /* 0 … sides - 1 */

/* A list as an array; len 0 ends nothing, hole: no id. */
struct model_piece {
    bool hole;
    struct packetfs_id id;
    uint64_t len;
};
struct model_list {
    struct model_piece pieces[20000];
    size_t count;
};
struct packetfs_id tree_id(uint64_t number); /* an id that no object has */
int tree_list_build(struct tree_world *world, const struct model_list *model,
                    struct packetfs_content *out);

/* A folder as an array of entries in the order of names; what entries point to lives in the model. */
struct model_entry {
    char name[40];
    uint64_t content; /* a pattern's number; 0: empty */
    uint32_t mode;
};
struct model_folder {
    struct model_entry entries[4096];
    size_t count;
};
struct packetfs_entry tree_entry(const struct model_entry *model);
int tree_folder_build(struct tree_world *world, const struct model_folder *model,
                      struct packetfs_id *root);

#endif
