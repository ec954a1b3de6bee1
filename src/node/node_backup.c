/* Backups of the running node: what goes into one, and in which order. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "backup.h"
#include "node_backup.h"

#define NODE_KEY_FILE_MAX_BYTES 65536

static int node_backup_piece(void *ctx, struct hm_slice bytes, struct hm_error *error)
{
    return backup_writer_data(ctx, bytes, error);
}

static int node_backup_store(struct backup_writer *writer, struct store *store, const char *name,
                             struct hm_error *error)
{
    int rc = backup_writer_begin(writer, name, error);

    if (rc == 0)
        rc = store_snapshot(store, node_backup_piece, writer, error);
    return rc != 0 ? rc : backup_writer_end(writer, error);
}

/* What a kill left half-written is not a key. */
static bool node_backup_is_key(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && (len < 4 || strcmp(name + len - 4, ".tmp") != 0);
}

static int node_backup_file(struct backup_writer *writer, const char *path, const char *name,
                            size_t most, struct hm_error *error)
{
    struct hm_buf bytes = {0};
    int rc = hm_buf_reserve(&bytes, most + 1);

    if (rc != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a backup");
    rc = hm_file_read(path, most, &bytes, error);
    if (rc == 0)
        rc = backup_writer_begin(writer, name, error);
    if (rc == 0)
        rc = backup_writer_data(writer, hm_buf_slice(&bytes), error);
    if (rc == 0)
        rc = backup_writer_end(writer, error);
    hm_wipe(bytes.data, bytes.cap);
    hm_buf_release(&bytes);
    return rc;
}

static int node_backup_key(struct backup_writer *writer, const char *folder, const char *file,
                           struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, file);
    HM_AUTOFREE char *name = hm_asprintf(NODE_BACKUP_KEYS "%s", file);

    return path != NULL && name != NULL
               ? node_backup_file(writer, path, name, NODE_KEY_FILE_MAX_BYTES, error)
               : hm_fail(error, HM_ENOMEM, "no memory for a backup");
}

/* With it a restored node finds its cluster again. */
static int node_backup_cluster(struct node *node, struct backup_writer *writer,
                               struct hm_error *error)
{
    static const struct {
        const char *name;
        size_t most;
    } files[] = {{NODE_BACKUP_GENESIS, ENGINE_GENESIS_MAX_BYTES},
                 {NODE_BACKUP_VALIDATOR, NODE_KEY_FILE_MAX_BYTES},
                 {NODE_BACKUP_NODE_KEY, NODE_KEY_FILE_MAX_BYTES}};
    char path[NODE_PATH_MAX_BYTES];
    int rc = 0;

    for (size_t i = 0; rc == 0 && node->options.cluster && i < HM_COUNT_OF(files); i++) {
        rc = node_path(node, files[i].name, path, error);
        if (rc == 0)
            rc = node_backup_file(writer, path, files[i].name, files[i].most, error);
    }
    return rc;
}

static int node_backup_keys(struct node *node, struct backup_writer *writer, struct hm_error *error)
{
    char folder[NODE_PATH_MAX_BYTES];
    struct dirent *entry;
    DIR *dir;
    int rc = node_path(node, "keys", folder, error);

    if (rc != 0)
        return rc;
    dir = opendir(folder);
    if (dir == NULL)
        return hm_fail_errno(error, HM_EIO, "cannot read %s", folder);
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL)
        if (node_backup_is_key(entry->d_name))
            rc = node_backup_key(writer, folder, entry->d_name, error);
    if (rc == 0 && errno != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot read %s", folder);
    closedir(dir);
    return rc;
}

/* Records of jobs before the ledger: a job that gets its lease in between is on the ledger and not in the
 * records, and the lease ends by itself; the other way round a record would name a lease that never was. */
static int node_backup_fill(struct node *node, struct backup_writer *writer,
                            struct ledger_info *info, struct hm_error *error)
{
    int rc = node_backup_keys(node, writer, error);

    if (rc == 0)
        rc = node_backup_cluster(node, writer, error);
    if (rc == 0)
        rc = node_backup_store(writer, node->jobs.store, NODE_BACKUP_JOBS, error);
    /* The snapshot is of this block or of one that came right after. */
    if (rc == 0)
        rc = ledger_info(node->ledger, info, error);
    return rc != 0 ? rc : node_backup_store(writer, node->store, NODE_BACKUP_LEDGER, error);
}

static int node_backup_write(struct node *node, const char *path, const char *passphrase,
                             struct api_backup *out, struct hm_error *error)
{
    struct backup_writer *writer;
    struct ledger_info info;
    int rc = backup_writer_open(path, passphrase, node->options.random, &writer, error);

    if (rc != 0)
        return rc;
    rc = node_backup_fill(node, writer, &info, error);
    if (rc == 0)
        rc = backup_writer_finish(writer, &out->bytes, error);
    backup_writer_free(writer);
    if (rc == 0) {
        out->height = info.height;
        memcpy(out->state_root, info.state_root, sizeof(out->state_root));
    }
    return rc;
}

int node_backup_create(void *ctx, const char *path, struct hm_slice passphrase,
                       struct hm_arena *arena, struct api_backup *out, struct hm_error *error)
{
    struct node *node = ctx;
    char text[NODE_BACKUP_PASSPHRASE_MAX_BYTES + 1];
    struct api_backup made = {0};
    int rc = node_need_ready(node, error);

    if (rc != 0)
        return rc;
    if (path[0] != '/' || strlen(path) >= NODE_PATH_MAX_BYTES - 16)
        return hm_fail(error, HM_EINVAL, "the backup's path '%.100s' is not absolute, or too long",
                       path);
    if (passphrase.len == 0 || passphrase.len > NODE_BACKUP_PASSPHRASE_MAX_BYTES ||
        memchr(passphrase.data, '\0', passphrase.len) != NULL)
        return hm_fail(error, HM_EINVAL, "the passphrase must have 1 to %d bytes, none of them 0",
                       NODE_BACKUP_PASSPHRASE_MAX_BYTES);
    memcpy(text, passphrase.data, passphrase.len);
    text[passphrase.len] = '\0';
    made.path = hm_arena_strdup(arena, path);
    rc = made.path != NULL ? node_backup_write(node, path, text, &made, error)
                           : hm_fail(error, HM_ENOMEM, "no memory for a backup");
    hm_wipe(text, sizeof(text));
    if (rc != 0)
        return rc;
    hm_log(HM_LOG_INFO, "backup", "%s: %llu bytes, up to block %llu", path,
           (unsigned long long)made.bytes, (unsigned long long)made.height);
    *out = made;
    return 0;
}
