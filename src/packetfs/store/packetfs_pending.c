#include "store/packetfs_pending.h"

#define ROOM_FIRST 1024u

/* Ids are as good as random. */
static size_t home(const struct packetfs_pending *pending, enum packetfs_kind kind,
                   const struct packetfs_id *id)
{
    return (size_t)(hm_get_be64(id->bytes) + (uint64_t)kind) & (pending->room - 1);
}

void packetfs_pending_release(struct packetfs_pending *pending)
{
    hm_free(pending->entries);
    memset(pending, 0, sizeof(*pending));
}

/* Where it is, or the empty place where it would be. */
static size_t place(const struct packetfs_pending *pending, enum packetfs_kind kind,
                    const struct packetfs_id *id)
{
    size_t at = home(pending, kind, id);

    while (pending->entries[at].used &&
           (pending->entries[at].kind != kind || !packetfs_id_equal(&pending->entries[at].id, id)))
        at = (at + 1) & (pending->room - 1);
    return at;
}

struct packetfs_pending_entry *packetfs_pending_find(const struct packetfs_pending *pending,
                                                     enum packetfs_kind kind,
                                                     const struct packetfs_id *id)
{
    struct packetfs_pending_entry *entry;

    if (pending->count == 0)
        return NULL;
    entry = &pending->entries[place(pending, kind, id)];
    return entry->used ? entry : NULL;
}

static int grow(struct packetfs_pending *pending)
{
    struct packetfs_pending bigger = {.room = pending->room ? pending->room * 2 : ROOM_FIRST,
                                      .count = pending->count};

    bigger.entries = hm_calloc(bigger.room, sizeof(*bigger.entries));
    if (!bigger.entries)
        return HM_ENOMEM;
    for (size_t i = 0; i < pending->room; i++) {
        const struct packetfs_pending_entry *entry = &pending->entries[i];

        if (entry->used)
            bigger.entries[place(&bigger, (enum packetfs_kind)entry->kind, &entry->id)] = *entry;
    }
    hm_free(pending->entries);
    *pending = bigger;
    return 0;
}

int packetfs_pending_add(struct packetfs_pending *pending, enum packetfs_kind kind,
                         const struct packetfs_id *id)
{
    if (pending->count * 2 >= pending->room && grow(pending))
        return HM_ENOMEM;
    pending->entries[place(pending, kind, id)] = (struct packetfs_pending_entry){
        .id = *id, .kind = (uint8_t)kind, .used = true};
    pending->count++;
    return 0;
}

/* Those behind it that would have stood in its place move up, so that no mark of it must stay. */
void packetfs_pending_remove(struct packetfs_pending *pending, enum packetfs_kind kind,
                             const struct packetfs_id *id)
{
    size_t mask = pending->room - 1;
    size_t hole, at;

    if (!packetfs_pending_find(pending, kind, id))
        return;
    hole = place(pending, kind, id);
    for (at = (hole + 1) & mask; pending->entries[at].used; at = (at + 1) & mask) {
        const struct packetfs_pending_entry *entry = &pending->entries[at];
        size_t from = home(pending, (enum packetfs_kind)entry->kind, &entry->id);

        if (((at - from) & mask) >= ((at - hole) & mask)) {
            pending->entries[hole] = *entry;
            hole = at;
        }
    }
    pending->entries[hole].used = false;
    pending->count--;
}
