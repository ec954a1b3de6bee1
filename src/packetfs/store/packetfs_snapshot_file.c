#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_snapshot.h"
#include "store/packetfs_store_inner.h"

#define ID_DIGITS     (2 * PACKETFS_SNAPSHOT_ID_BYTES)
#define PREFIX_DIGITS 4 /* fewer are a label */
#define LIST_FIRST    64u

static int path_of(const struct packetfs_store *store, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                   char path[PACKETFS_PATH_BYTES], struct hm_error *error)
{
    char hex[ID_DIGITS + 1];

    hm_hex_encode(id, PACKETFS_SNAPSHOT_ID_BYTES, hex);
    return packetfs_store_path(store, path, error, "snapshots/%s", hex);
}

static int sync_snapshots(const struct packetfs_store *store, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_path(store, path, error, "snapshots");

    return rc ? rc : packetfs_store_sync_folder(path, error);
}

/* --- reading --- */

int packetfs_snapshot_read(struct packetfs_store *store,
                           const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES], struct hm_buf *sealed,
                           struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    int rc = path_of(store, id, path, error);

    return rc ? rc : hm_file_read(path, PACKETFS_SNAPSHOT_FILE_MAX_BYTES, sealed, error);
}

/* One file, which must be what its name says. */
static int load(struct packetfs_store *store, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                struct packetfs_snapshot *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    char hex[ID_DIGITS + 1];
    int rc = packetfs_snapshot_read(store, id, &sealed, error);

    hm_hex_encode(id, PACKETFS_SNAPSHOT_ID_BYTES, hex);
    if (rc == HM_ELIMIT)
        return hm_fail(error, HM_ECORRUPT, "snapshots/%s is too long for a snapshot", hex);
    if (rc)
        return rc;
    rc = packetfs_snapshot_unseal(&store->keys, hm_buf_slice(&sealed), out, error);
    if (rc)
        return hm_error_prefix(error, rc, "snapshots/%s", hex);
    if (memcmp(out->id, id, PACKETFS_SNAPSHOT_ID_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT, "snapshots/%s is another snapshot's file", hex);
    return 0;
}

/* --- all of them --- */

static int snapshot_compare(const void *a, const void *b)
{
    const struct packetfs_snapshot *left = a;
    const struct packetfs_snapshot *right = b;

    if (left->sequence != right->sequence)
        return left->sequence < right->sequence ? -1 : 1;
    if (left->time_ns != right->time_ns)
        return left->time_ns < right->time_ns ? -1 : 1;
    return memcmp(left->id, right->id, PACKETFS_SNAPSHOT_ID_BYTES);
}

int packetfs_snapshot_each(struct packetfs_store *store,
                           int (*show)(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                                       const struct packetfs_snapshot *snapshot, int rc,
                                       const struct hm_error *why),
                           void *ctx, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct dirent *entry;
    DIR *folder;
    int rc = packetfs_store_path(store, path, error, "snapshots");

    if (rc)
        return rc;
    folder = opendir(path);
    if (!folder)
        return packetfs_store_fail(error, "read the folder", path);
    while (!rc && (errno = 0, entry = readdir(folder)) != NULL) {
        uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES];
        struct packetfs_snapshot snapshot;
        struct hm_error why = {0};
        int one;

        if (hm_hex_decode(entry->d_name, strlen(entry->d_name), id, sizeof(id), NULL))
            continue; /* somebody else's file */
        one = load(store, id, &snapshot, &why);
        if (one != HM_ENOTFOUND) /* else it was removed this moment */
            rc = show(ctx, id, one ? NULL : &snapshot, one, &why);
    }
    if (!rc && errno)
        rc = packetfs_store_fail(error, "read the folder", path);
    (void)closedir(folder);
    return rc;
}

struct snapshot_list {
    struct packetfs_snapshot *items;
    size_t count, room;
    struct hm_error *error;
};

static int list_add(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                    const struct packetfs_snapshot *snapshot, int rc, const struct hm_error *why)
{
    struct snapshot_list *list = ctx;

    (void)id;
    if (rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED)
        return 0;
    if (rc) {
        if (list->error)
            *list->error = *why;
        return rc;
    }
    if (list->count >= PACKETFS_SNAPSHOTS_MAX)
        return hm_fail(list->error, HM_ELIMIT, "a volume has at most %d snapshots: remove some",
                       PACKETFS_SNAPSHOTS_MAX);
    if (list->count == list->room) {
        size_t room = list->room * 2;
        void *items = hm_realloc(list->items, room * sizeof(*list->items));

        if (!items)
            return hm_fail(list->error, HM_ENOMEM, "no memory for %zu snapshots", room);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = *snapshot;
    return 0;
}

int packetfs_snapshot_list(struct packetfs_store *store, struct packetfs_snapshot **out,
                           size_t *count, struct hm_error *error)
{
    struct snapshot_list list = {.room = LIST_FIRST, .error = error};
    int rc;

    list.items = hm_malloc(LIST_FIRST * sizeof(*list.items));
    if (!list.items)
        return hm_fail(error, HM_ENOMEM, "no memory for snapshots");
    rc = packetfs_snapshot_each(store, list_add, &list, error);
    if (rc) {
        hm_free(list.items);
        return rc;
    }
    if (list.count > 1)
        qsort(list.items, list.count, sizeof(*list.items), snapshot_compare);
    *out = list.items;
    *count = list.count;
    return 0;
}

/* --- adding and removing --- */

static int write_file(struct packetfs_store *store, struct hm_slice sealed,
                      const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES], struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    char tmp[PACKETFS_PATH_BYTES];
    HM_AUTOCLOSE int fd = -1;
    int rc = path_of(store, id, path, error);

    if (!rc)
        rc = packetfs_store_tmp_open(store, tmp, &fd, error);
    if (rc)
        return rc;
    rc = hm_write_all(fd, sealed.data, sealed.len, error);
    if (!rc && fsync(fd))
        rc = packetfs_store_fail(error, "sync", tmp);
    if (!rc && rename(tmp, path))
        rc = packetfs_store_fail(error, "name", path);
    if (rc)
        (void)unlink(tmp);
    return rc ? rc : sync_snapshots(store, error);
}

static int check_writable(const struct packetfs_store *store, struct hm_error *error)
{
    if (store->options.read_only)
        return hm_fail(error, HM_EPERM, "the volume %s was opened to read only", store->dir);
    return 0;
}

int packetfs_snapshot_add(struct packetfs_store *store, struct packetfs_snapshot *snapshot,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    struct packetfs_snapshot made = *snapshot;
    size_t count = 0;
    int rc = check_writable(store, error);

    if (!rc)
        rc = packetfs_snapshot_list(store, &list, &count, error);
    if (!rc && count >= PACKETFS_SNAPSHOTS_MAX)
        rc = hm_fail(error, HM_ELIMIT, "a volume has at most %d snapshots: remove some",
                     PACKETFS_SNAPSHOTS_MAX);
    if (rc)
        return rc;
    made.sequence = count > 0 ? list[count - 1].sequence + 1 : 1;
    rc = packetfs_snapshot_seal(&store->keys, store->options.suite, store->random, &made, &sealed,
                                error);
    if (rc)
        return rc;
    packetfs_snapshot_id(&store->keys, hm_buf_slice(&sealed), made.id);
    rc = write_file(store, hm_buf_slice(&sealed), made.id, error);
    if (!rc)
        *snapshot = made;
    return rc;
}

int packetfs_snapshot_import(struct packetfs_store *store, struct hm_slice sealed,
                             struct packetfs_snapshot *out, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_snapshot snapshot;
    int rc = check_writable(store, error);

    if (!rc)
        rc = packetfs_snapshot_unseal(&store->keys, sealed, &snapshot, error);
    if (!rc)
        rc = path_of(store, snapshot.id, path, error);
    if (!rc && access(path, F_OK) != 0)
        rc = write_file(store, sealed, snapshot.id, error);
    if (!rc)
        *out = snapshot;
    return rc;
}

int packetfs_snapshot_remove(struct packetfs_store *store,
                             const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES], struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    int rc = check_writable(store, error);

    if (!rc)
        rc = path_of(store, id, path, error);
    if (rc)
        return rc;
    if (unlink(path))
        return packetfs_store_fail(error, "remove", path);
    return sync_snapshots(store, error);
}

/* --- by name --- */

static bool is_prefix(const char *name)
{
    size_t len = strlen(name);

    return len >= PREFIX_DIGITS && len <= ID_DIGITS &&
           strspn(name, "0123456789abcdefABCDEF") == len;
}

static bool has_prefix(const struct packetfs_snapshot *snapshot, const char *name)
{
    char hex[ID_DIGITS + 1];

    hm_hex_encode(snapshot->id, PACKETFS_SNAPSHOT_ID_BYTES, hex);
    return strncasecmp(hex, name, strlen(name)) == 0;
}

/* By id; else NULL. *several: more than one begins so. */
static const struct packetfs_snapshot *find_id(const struct packetfs_snapshot *list, size_t count,
                                               const char *name, bool *several)
{
    const struct packetfs_snapshot *found = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!has_prefix(&list[i], name))
            continue;
        *several = found != NULL;
        if (*several)
            return NULL;
        found = &list[i];
    }
    return found;
}

static const struct packetfs_snapshot *find_label(const struct packetfs_snapshot *list,
                                                  size_t count, const char *name)
{
    for (size_t i = count; i > 0; i--) {
        if (strcmp(list[i - 1].label, name) == 0)
            return &list[i - 1];
    }
    return NULL;
}

int packetfs_snapshot_find(struct packetfs_store *store, const char *name,
                           struct packetfs_snapshot *out, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    const struct packetfs_snapshot *by_id = NULL;
    const struct packetfs_snapshot *found;
    size_t count = 0;
    bool several = false;
    int rc = packetfs_snapshot_list(store, &list, &count, error);

    if (rc)
        return rc;
    found = find_label(list, count, name);
    if (is_prefix(name))
        by_id = find_id(list, count, name, &several);
    if (several || (by_id && found))
        return hm_fail(error, HM_ECONFLICT, "\"%s\" means several snapshots: give more digits",
                       name);
    found = by_id ? by_id : found;
    if (!found && strcmp(name, "latest") == 0 && count > 0)
        found = &list[count - 1];
    if (!found)
        return hm_fail(error, HM_ENOTFOUND, "there is no snapshot \"%s\"", name);
    *out = *found;
    return 0;
}
