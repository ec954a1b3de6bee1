/* Volumes of small objects, with which dictionaries are trained. Numbers count from WORLD_SMALL. */
#ifndef HM_TEST_PACKETFS_STORE_SMALL_H
#define HM_TEST_PACKETFS_STORE_SMALL_H

#include "store_world.h"

#define COUNT 400 /* objects at most */

struct packetfs_writer *writer_open(struct world *world);
void range(uint64_t *numbers, uint64_t from, size_t count);
/* A writer of its own. */
void snapshot(struct world *world, uint64_t from, size_t count, const char *label,
              struct packetfs_snapshot *out);
void check_range(struct world *world, uint64_t from, size_t count); /* reads them */
void assert_clean(struct world *world); /* by a full check */

#endif
