/* The objects a writer has that the index does not know yet, by id. Not thread-safe. */
#ifndef HM_PACKETFS_PENDING_H
#define HM_PACKETFS_PENDING_H

#include "packetfs_object.h"

struct packetfs_pending_entry {
    struct packetfs_id id;
    void *pack; /* NULL: a thread is compressing it */
    uint32_t item;
    uint8_t kind;
    bool used;
};
struct packetfs_pending {
    struct packetfs_pending_entry *entries;
    size_t count, room; /* room: a power of two, or 0 */
};

void packetfs_pending_release(struct packetfs_pending *pending);
/* Valid until the next add or remove. NULL: not there. */
struct packetfs_pending_entry *packetfs_pending_find(const struct packetfs_pending *pending,
                                                     enum packetfs_kind kind,
                                                     const struct packetfs_id *id);
/* One that is not there yet, with no pack. HM_ENOMEM. */
int packetfs_pending_add(struct packetfs_pending *pending, enum packetfs_kind kind,
                         const struct packetfs_id *id);
void packetfs_pending_remove(struct packetfs_pending *pending, enum packetfs_kind kind,
                             const struct packetfs_id *id);

#endif
