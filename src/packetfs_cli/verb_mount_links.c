/* Entries say which file they are a name of, not how many others are: that takes the whole snapshot, once, and only
 * where somebody asks about a file with several names. */
#include <stdlib.h>

#include "verb_mount.h"

#define LINKS_SNAPSHOTS_MAX 64
#define LINKS_NUMBERS_MAX   ((size_t)16 << 20) /* 128 MiB */

struct links_of {
    uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES];
    uint64_t *numbers; /* sorted, one for each name; NULL: it did not work */
    size_t count, room;
};

struct mount_links {
    pthread_mutex_t lock;
    struct links_of of[LINKS_SNAPSHOTS_MAX];
    size_t count;
};

struct mount_links *mount_links_new(void)
{
    struct mount_links *links = hm_calloc(1, sizeof(*links));

    if (links != NULL && pthread_mutex_init(&links->lock, NULL) != 0) {
        hm_free(links);
        return NULL;
    }
    return links;
}

void mount_links_free(struct mount_links *links)
{
    if (links == NULL)
        return;
    for (size_t i = 0; i < links->count; i++)
        hm_free(links->of[i].numbers);
    (void)pthread_mutex_destroy(&links->lock);
    hm_free(links);
}

static int note_number(void *ctx, const struct packetfs_item *item)
{
    struct links_of *of = ctx;

    if (item->hard_link == 0)
        return 0;
    if (of->count == of->room) {
        size_t room = of->room > 0 ? of->room * 2 : 256;
        uint64_t *numbers = room <= LINKS_NUMBERS_MAX
                                ? hm_realloc(of->numbers, room * sizeof(*numbers))
                                : NULL;
        if (numbers == NULL)
            return PACKETFS_ENOMEM;
        of->numbers = numbers;
        of->room = room;
    }
    of->numbers[of->count++] = item->hard_link;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Under the lock: who asks at the same time waits for the one answer. */
static const struct links_of *links_of(struct mount_links *links, struct packetfs_volume *volume,
                                       const struct packetfs_snapshot *snapshot)
{
    for (size_t i = 0; i < links->count; i++)
        if (memcmp(links->of[i].id, snapshot->id, sizeof(snapshot->id)) == 0)
            return &links->of[i];
    if (links->count == LINKS_SNAPSHOTS_MAX)
        return NULL;
    struct links_of *of = &links->of[links->count];
    memset(of, 0, sizeof(*of));
    memcpy(of->id, snapshot->id, sizeof(of->id));
    if (packetfs_list(volume, snapshot, "", true, note_number, of, NULL) != 0) {
        hm_free(HM_TAKE(of->numbers));
        of->count = 0;
    }
    if (of->count > 1)
        qsort(of->numbers, of->count, sizeof(*of->numbers), compare_numbers);
    links->count++;
    return of;
}

uint32_t mount_links_count(struct mount_links *links, struct packetfs_volume *volume,
                           const struct packetfs_snapshot *snapshot, uint64_t hard_link)
{
    uint32_t names = 0;

    if (hard_link == 0)
        return 1;
    (void)pthread_mutex_lock(&links->lock);
    const struct links_of *of = links_of(links, volume, snapshot);
    if (of != NULL && of->numbers != NULL) {
        size_t low = 0, high = of->count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (of->numbers[middle] < hard_link)
                low = middle + 1;
            else
                high = middle;
        }
        while (low < of->count && of->numbers[low++] == hard_link)
            names++;
    } else {
        names = 2;
    }
    (void)pthread_mutex_unlock(&links->lock);
    return names > 0 ? names : 1;
}
