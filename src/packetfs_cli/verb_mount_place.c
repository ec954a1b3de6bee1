#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "verb_mount.h"

static const char latest[] = "latest";

/* --- names --- */

/* Labels may hold what a folder's name may not, and one might be called as the link is. */
static void label_fit(const char *label, char out[MOUNT_NAME_MAX_BYTES])
{
    (void)snprintf(out, MOUNT_NAME_MAX_BYTES, "%s", label[0] != 0 ? label : "unnamed");
    for (char *c = out; *c != 0; c++)
        if (*c == '/')
            *c = '_';
    if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0 || strcmp(out, latest) == 0)
        (void)snprintf(out, MOUNT_NAME_MAX_BYTES, "_%s", label);
}

static void time_fit(uint64_t time_ns, char out[64])
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 64, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 64, "%llu", (unsigned long long)time_ns);
}

static int compare_names(const void *a, const void *b)
{
    const struct mount_name *x = a;
    const struct mount_name *y = b;
    int order = strcmp(x->label, y->label);

    if (order != 0)
        return order;
    if (x->snapshot.time_ns != y->snapshot.time_ns)
        return x->snapshot.time_ns < y->snapshot.time_ns ? -1 : 1;
    return (x->snapshot.sequence > y->snapshot.sequence) -
           (x->snapshot.sequence < y->snapshot.sequence);
}

/* Within one second: all but the first of them get the beginning of their id behind the time. */
static void tell_apart(struct mount_names *names)
{
    for (size_t i = 1; i < names->count; i++) {
        struct mount_name *name = &names->names[i];
        const struct mount_name *before = &names->names[i - 1];
        char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1];
        if (strcmp(name->label, before->label) != 0 ||
            name->snapshot.time_ns / 1000000000u != before->snapshot.time_ns / 1000000000u)
            continue;
        hm_hex_encode(name->snapshot.id, PACKETFS_SNAPSHOT_ID_BYTES, id);
        size_t len = strlen(name->time);
        (void)snprintf(name->time + len, sizeof(name->time) - len, "-%.8s", id);
    }
}

int mount_names_make(const struct packetfs_snapshot *snapshots, size_t count,
                     struct mount_names *out)
{
    struct mount_names made = {.count = count};

    made.names = hm_calloc(count > 0 ? count : 1, sizeof(*made.names));
    if (made.names == NULL)
        return PACKETFS_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        made.names[i].snapshot = snapshots[i];
        label_fit(snapshots[i].label, made.names[i].label);
        time_fit(snapshots[i].time_ns, made.names[i].time);
    }
    if (count > 1)
        qsort(made.names, count, sizeof(*made.names), compare_names);
    tell_apart(&made);
    *out = made;
    return 0;
}

void mount_names_release(struct mount_names *names)
{
    hm_free(names->names);
    *names = (struct mount_names){0};
}

size_t mount_names_label(const struct mount_names *names, const char *label, size_t *count)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->names[middle].label, label) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < names->count && strcmp(names->names[end].label, label) == 0)
        end++;
    *count = end - low;
    return low;
}

const struct mount_name *mount_names_newest(const struct mount_names *names)
{
    const struct mount_name *newest = NULL;

    for (size_t i = 0; i < names->count; i++)
        if (newest == NULL || names->names[i].snapshot.sequence > newest->snapshot.sequence)
            newest = &names->names[i];
    return newest;
}

/* --- the world --- */

static uint64_t now_s(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000000u;
}

int mount_world_init(struct mount_world *world, struct packetfs_volume *volume,
                     const struct packetfs_snapshot *only, struct packetfs_error *error)
{
    memset(world, 0, sizeof(*world));
    world->volume = volume;
    world->one = only != NULL;
    if (only != NULL)
        world->only = *only;
    world->uid = getuid();
    world->gid = getgid();
    world->links = mount_links_new();
    if (world->links == NULL || pthread_mutex_init(&world->handles_lock, NULL) != 0 ||
        pthread_rwlock_init(&world->lock, NULL) != 0) {
        mount_links_free(world->links);
        return hm_fail((struct hm_error *)(void *)error, HM_ENOMEM, "no memory for a mount");
    }
    return 0;
}

void mount_world_release(struct mount_world *world)
{
    mount_names_release(&world->names);
    mount_links_free(world->links);
    (void)pthread_rwlock_destroy(&world->lock);
    (void)pthread_mutex_destroy(&world->handles_lock);
}

void mount_world_refresh(struct mount_world *world, bool now)
{
    struct packetfs_snapshot *snapshots = NULL;
    struct mount_names fresh, old;
    size_t count = 0;

    if (world->one)
        return;
    (void)pthread_rwlock_rdlock(&world->lock);
    bool old_enough = world->names.names == NULL || now_s() - world->looked_s >= MOUNT_LOOK_AGAIN_S;
    (void)pthread_rwlock_unlock(&world->lock);
    if ((!old_enough && !now) || packetfs_log(world->volume, &snapshots, &count, NULL) != 0)
        return; /* what was known stays */
    if (mount_names_make(snapshots, count, &fresh) == 0) {
        (void)pthread_rwlock_wrlock(&world->lock);
        old = world->names;
        world->names = fresh;
        world->looked_s = now_s();
        (void)pthread_rwlock_unlock(&world->lock);
        mount_names_release(&old);
    }
    packetfs_free(snapshots);
}

/* --- paths --- */

/* Takes the first name off *path, which begins with '/'. false: too long for any of ours. */
static bool take_name(const char **path, char out[MOUNT_NAME_MAX_BYTES])
{
    const char *begin = *path + 1;
    size_t len = strcspn(begin, "/");

    if (len == 0 || len >= MOUNT_NAME_MAX_BYTES)
        return false;
    memcpy(out, begin, len);
    out[len] = 0;
    *path = begin + len;
    return true;
}

/* Under the lock. time: "" for the label's folder. */
static bool label_find(const struct mount_names *names, const char *time, struct mount_place *out)
{
    size_t count;
    size_t first = mount_names_label(names, out->label, &count);

    if (count == 0)
        return false;
    if (time[0] == 0) {
        out->kind = MOUNT_LABEL;
        out->snapshot = names->names[first + count - 1].snapshot;
        return true;
    }
    if (strcmp(time, latest) == 0) {
        out->kind = MOUNT_LATEST;
        out->snapshot = names->names[first + count - 1].snapshot;
        (void)snprintf(out->target, sizeof(out->target), "%s",
                       names->names[first + count - 1].time);
        return true;
    }
    for (size_t i = first; i < first + count; i++) {
        if (strcmp(names->names[i].time, time) != 0)
            continue;
        out->kind = MOUNT_ENTRY;
        out->snapshot = names->names[i].snapshot;
        return true;
    }
    return false;
}

static bool place_find(const struct mount_names *names, const char *path, struct mount_place *out)
{
    char time[MOUNT_NAME_MAX_BYTES] = "";

    if (!take_name(&path, out->label))
        return false;
    if (strcmp(out->label, latest) == 0 && *path == 0) {
        const struct mount_name *newest = mount_names_newest(names);
        if (newest == NULL)
            return false;
        out->kind = MOUNT_LATEST;
        out->snapshot = newest->snapshot;
        (void)snprintf(out->target, sizeof(out->target), "%s/%s", newest->label, newest->time);
        return true;
    }
    if (*path == '/' && !take_name(&path, time))
        return false;
    if (!label_find(names, time, out))
        return false;
    if (out->kind != MOUNT_ENTRY)
        return *path == 0;
    out->path = *path == '/' ? path + 1 : path;
    return true;
}

bool mount_place_find(struct mount_world *world, const char *path, struct mount_place *out)
{
    memset(out, 0, offsetof(struct mount_place, snapshot));
    if (world->one) {
        out->kind = MOUNT_ENTRY;
        out->snapshot = world->only;
        out->path = path + 1;
        return true;
    }
    if (strcmp(path, "/") == 0) {
        out->kind = MOUNT_ROOT;
        return true;
    }
    (void)pthread_rwlock_rdlock(&world->lock);
    bool found = place_find(&world->names, path, out);
    (void)pthread_rwlock_unlock(&world->lock);
    return found;
}
