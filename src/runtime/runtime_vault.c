#include "runtime_vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* A pack more than this part of which nobody needs any more is written anew. */
#define VAULT_UNUSED_PERCENT 20
/* Less than this is put and restored by the calling thread alone: starting others takes longer. */
#define VAULT_ALONE_BYTES      ((uint64_t)4 << 20)
#define VAULT_MENDED_MAX_BYTES 24 /* a number */

struct vault_paths {
    char volume[RUNTIME_PATH_MAX_BYTES], keys[RUNTIME_PATH_MAX_BYTES];
    char damaged[RUNTIME_PATH_MAX_BYTES], mended[RUNTIME_PATH_MAX_BYTES];
};

static void vault_paths(const struct runtime_images *images, struct vault_paths *out)
{
    snprintf(out->volume, sizeof(out->volume), "%s/volume", images->root);
    snprintf(out->keys, sizeof(out->keys), "%s/keys", images->root);
    snprintf(out->damaged, sizeof(out->damaged), "%s/damaged", images->root);
    snprintf(out->mended, sizeof(out->mended), "%s/mended", images->root);
}

/* A wrong key is no fault of whoever asks for an image. */
static int vault_fail(struct hm_error *error, int rc, const struct packetfs_error *from,
                      const char *what)
{
    return hm_fail(error, rc == PACKETFS_EAUTH ? HM_ECORRUPT : rc, "%s: %s", what, from->text);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* The volume lies beside its key, so nothing is gained by hiding lengths from who has the disk. */
static void vault_parameters(struct packetfs_parameters *out)
{
    const struct packetfs_circumstances circumstances = {
        .bytes = RUNTIME_IMAGE_MAX_BYTES, .redundancy = PACKETFS_DATA_REPETITIVE, .trusted = true};
    struct packetfs_reason reasons[PACKETFS_REASONS];

    packetfs_policy(&circumstances, out, reasons);
}

/* Made in tmp, where a sweep finds it when this process dies, and given its name when it is whole. */
static int vault_make(const struct runtime_images *images, const struct vault_paths *paths,
                      struct hm_error *error)
{
    struct packetfs_parameters parameters;
    const struct packetfs_unlock unlock = {.key_dir = paths->keys};
    struct packetfs_error why = {0};
    char fresh[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int lock = -1;
    HM_AUTOCLOSE int root = -1;
    int rc = runtime_images_lock(images, "lock", LOCK_EX, &lock, error);

    if (rc != 0 || access(paths->volume, F_OK) == 0)
        return rc;
    snprintf(fresh, sizeof(fresh), "%s/tmp/volume", images->root);
    rc = hm_remove_tree(fresh, error);
    if (rc == 0)
        rc = hm_mkdir_all(paths->keys, 0700, error);
    if (rc != 0)
        return rc;
    vault_parameters(&parameters);
    rc = packetfs_volume_create(fresh, &parameters, &unlock, &why);
    if (rc != 0)
        return vault_fail(error, rc, &why, "cannot make the image store's volume");
    if (unlink(paths->mended) != 0 && errno != ENOENT) /* of a volume before this one */
        return hm_fail_errno(error, HM_EIO, "cannot remove %s", paths->mended);
    root = open(images->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || rename(fresh, paths->volume) != 0 || fsync(root) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make %s", paths->volume);
    return 0;
}

static int vault_open_volume(const struct vault_paths *paths, bool read_only,
                             struct packetfs_volume **out, struct hm_error *error)
{
    const struct packetfs_unlock unlock = {.key_dir = paths->keys};
    struct packetfs_error why = {0};
    int rc;

    if (access(paths->volume, F_OK) != 0 && errno == ENOENT)
        return hm_fail(error, HM_ENOTFOUND, "the image store has no volume yet");
    rc = packetfs_volume_open(paths->volume, &unlock, read_only, out, &why);
    if (rc == 0)
        return 0;
    return vault_fail(error, rc == PACKETFS_ENOTFOUND ? HM_ECORRUPT : rc, &why,
                      "the image store's volume cannot be opened");
}

/* --- what is believed of a snapshot ------------------------------------------------------------------------------- */

/* Text that is no number: then no snapshot is believed to be whole, which costs a put each time and loses nothing. */
static int mended_load(const struct vault_paths *paths, uint64_t *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint64_t mended = 0;
    int rc = hm_file_read(paths->mended, VAULT_MENDED_MAX_BYTES, &text, error);

    if (rc == HM_ELIMIT || (rc == 0 && hm_u64_parse(hm_buf_cstr(&text), &mended, NULL) != 0))
        mended = UINT64_MAX;
    else if (rc != 0 && rc != HM_ENOTFOUND)
        return rc;
    *out = mended;
    return 0;
}

static int mended_save(struct runtime_vault *vault, uint64_t mended, struct hm_error *error)
{
    struct vault_paths paths;
    char text[VAULT_MENDED_MAX_BYTES];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)mended);
    int rc;

    vault_paths(vault->images, &paths);
    rc = hm_file_replace(paths.mended, text, (size_t)len, 0600, error);
    if (rc == 0)
        vault->mended = mended;
    return rc;
}

int runtime_vault_look(struct runtime_vault *vault, struct hm_error *error)
{
    struct packetfs_error why = {0};
    struct vault_paths paths;
    int rc;

    vault_paths(vault->images, &paths);
    rc = mended_load(&paths, &vault->mended, error);
    if (rc != 0)
        return rc;
    packetfs_free(vault->snapshots);
    vault->snapshots = NULL;
    vault->count = 0;
    rc = packetfs_log(vault->volume, &vault->snapshots, &vault->count, &why);
    return rc == 0 ? 0 : vault_fail(error, rc, &why, "the image store's volume");
}

int runtime_vault_open(struct runtime_images *images, bool make, struct runtime_vault *out,
                       struct hm_error *error)
{
    struct runtime_vault vault = {.images = images};
    struct vault_paths paths;
    int rc = 0;

    vault_paths(images, &paths);
    if (make && access(paths.volume, F_OK) != 0 && errno == ENOENT)
        rc = vault_make(images, &paths, error);
    if (rc == 0)
        rc = vault_open_volume(&paths, false, &vault.volume, error);
    if (rc == 0)
        rc = runtime_vault_look(&vault, error);
    if (rc == 0)
        *out = vault;
    else
        runtime_vault_release(&vault);
    return rc;
}

void runtime_vault_release(struct runtime_vault *vault)
{
    packetfs_free(vault->snapshots);
    packetfs_volume_close(vault->volume);
    *vault = (struct runtime_vault){0};
}

bool runtime_vault_has(const struct runtime_vault *vault, const char *label)
{
    for (size_t i = 0; i < vault->count; i++)
        if (vault->snapshots[i].sequence > vault->mended &&
            strcmp(vault->snapshots[i].label, label) == 0)
            return true;
    return false;
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

bool runtime_vault_is_damaged(const struct runtime_images *images)
{
    struct vault_paths paths;

    vault_paths(images, &paths);
    return access(paths.damaged, F_OK) == 0;
}

static bool vault_is_damage(int rc)
{
    return rc == PACKETFS_ECORRUPT || rc == PACKETFS_EPARSE || rc == PACKETFS_ENOTFOUND;
}

/* Says so on disk: the next import makes the index again without what is damaged. */
static bool vault_mark(const struct vault_paths *paths)
{
    HM_AUTOCLOSE int mark = open(paths->damaged, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    return mark >= 0;
}

/* Reads what says where a file's pieces are, and none of them. */
static int see_extents(void *ctx, const struct packetfs_item *item,
                       const struct packetfs_attribute *attributes, size_t count,
                       struct packetfs_file *file)
{
    uint64_t begin = 0, len = 0;
    int rc = 0;

    (void)ctx;
    (void)item;
    (void)attributes;
    (void)count;
    if (file == NULL)
        return 0;
    do
        rc = packetfs_file_extent(file, begin + len, &begin, &len, NULL);
    while (rc == 0 && len > 0);
    return rc;
}

/* A snapshot that cannot be walked to its end would keep every prune from its work. */
static int vault_drop_lost(struct runtime_vault *vault, struct hm_error *error)
{
    int rc = runtime_vault_look(vault, error);

    for (size_t i = 0; rc == 0 && i < vault->count; i++) {
        struct packetfs_error why = {0};

        rc = packetfs_walk(vault->volume, &vault->snapshots[i], "", see_extents, NULL, &why);
        if (vault_is_damage(rc))
            rc = packetfs_remove(vault->volume, vault->snapshots[i].id, &why);
        if (rc != 0)
            rc = vault_fail(error, rc, &why, "cannot repair the image store's volume");
    }
    return rc == 0 ? runtime_vault_look(vault, error) : rc;
}

/* What is left of the snapshots may lack pieces: none of them counts any more, so that each image which is imported
 * again is put once more. That is durable before the mark goes; a mend that does not get there is done again. */
static int vault_mend(struct runtime_vault *vault, struct hm_error *error)
{
    struct packetfs_check_result found = {0};
    struct packetfs_error why = {0};
    struct vault_paths paths;
    HM_AUTOCLOSE int care = -1;
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_images_lock(vault->images, "care", LOCK_EX, &care, error); /* no prunes */

    if (rc == 0)
        rc = runtime_images_lock(vault->images, "lock", LOCK_EX, &lock, error); /* no restores */
    if (rc != 0)
        return rc;
    vault_paths(vault->images, &paths);
    /* ECORRUPT: something was lost, which is known. */
    rc = packetfs_repair(vault->volume, NULL, &found, &why);
    if (rc != 0 && rc != PACKETFS_ECORRUPT)
        return vault_fail(error, rc, &why, "cannot repair the image store's volume");
    packetfs_volume_close(vault->volume);
    vault->volume = NULL;
    rc = vault_open_volume(&paths, false, &vault->volume, error);
    if (rc == 0)
        rc = vault_drop_lost(vault, error);
    if (rc == 0)
        rc = mended_save(vault, vault->count > 0 ? vault->snapshots[vault->count - 1].sequence : 0,
                         error);
    if (rc == 0 && unlink(paths.damaged) != 0 && errno != ENOENT)
        rc = hm_fail_errno(error, HM_EIO, "cannot remove %s", paths.damaged);
    return rc;
}

/* Another import may have mended, or put, before the lock was given: only what is seen under it counts. */
int runtime_vault_begin(struct runtime_vault *vault, int *fd, struct hm_error *error)
{
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_images_lock(vault->images, "puts", LOCK_SH, &lock, error);

    if (rc == 0 && runtime_vault_is_damaged(vault->images)) {
        hm_fd_release(&lock);
        rc = runtime_images_lock(vault->images, "puts", LOCK_EX, &lock, error);
        if (rc == 0 && runtime_vault_is_damaged(vault->images))
            rc = vault_mend(vault, error);
    }
    if (rc == 0)
        rc = runtime_vault_look(vault, error);
    if (rc == 0)
        *fd = HM_TAKE_FD(lock);
    return rc;
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

struct vault_finding {
    char text[256]; /* the first; called by one thread at a time */
};

static void vault_found(void *ctx, const char *sentence)
{
    struct vault_finding *finding = ctx;

    if (finding->text[0] == 0)
        snprintf(finding->text, sizeof(finding->text), "%s", sentence);
}

static unsigned vault_threads(uint64_t bytes)
{
    return bytes < VAULT_ALONE_BYTES ? 1 : 0;
}

int runtime_vault_put(struct runtime_vault *vault, const char *layer, uint64_t *stored,
                      struct hm_error *error)
{
    struct vault_finding finding = {{0}};
    const struct packetfs_watch watch = {.finding = vault_found, .ctx = &finding};
    struct packetfs_put_result result = {0};
    struct packetfs_error why = {0};
    HM_AUTOCLOSE int dir = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t bytes = 0;
    int rc;

    if (dir < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open a layer");
    rc = runtime_tree_usage(dir, VAULT_ALONE_BYTES, &bytes, error);
    if (rc != 0)
        return rc;
    const struct packetfs_put_options options = {.paths = &layer,
                                                 .path_count = 1,
                                                 .read_all = true,
                                                 .no_cache = true,
                                                 .whole = true,
                                                 .threads = vault_threads(bytes)};
    rc = packetfs_put(vault->volume, &options, &watch, &result, &why);
    if (rc != 0) {
        if (rc == PACKETFS_EIO) /* on a full disk the room of what is left of it is of use */
            (void)runtime_vault_prune(vault, NULL);
        return hm_fail(error, rc, "the image store cannot take a layer in: %s%s%s", why.text,
                       finding.text[0] != 0 ? "; " : "", finding.text);
    }
    *stored += result.bytes_stored;
    return 0;
}

static int vault_damage(const struct vault_paths *paths, const char *who, const char *what,
                        struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT,
                   "image %s is damaged in the image store: import it again (%s)%s", who, what,
                   vault_mark(paths) ? "" : "; that could not be noted");
}

static int vault_restore(struct packetfs_volume *volume, const struct vault_paths *paths,
                         const struct packetfs_snapshot *snapshot, const char *into,
                         const char *who, struct hm_error *error)
{
    struct vault_finding finding = {{0}};
    const struct packetfs_watch watch = {.finding = vault_found, .ctx = &finding};
    const struct packetfs_get_options options = {
        .path = snapshot->label, .target = into, .threads = vault_threads(snapshot->bytes)};
    struct packetfs_get_result result = {0};
    struct packetfs_error why = {0};
    int rc = packetfs_get(volume, snapshot, &options, &watch, &result, &why);
    const char *what = finding.text[0] != 0 ? finding.text : why.text;

    if (rc == 0)
        return 0;
    if (vault_is_damage(rc))
        return vault_damage(paths, who, what, error);
    return hm_fail(error, rc, "image %s cannot be unpacked from the image store: %s", who, what);
}

int runtime_vault_get(struct runtime_images *images, const char *label, const char *into,
                      const char *who, struct hm_error *error)
{
    struct packetfs_volume *volume = NULL;
    struct packetfs_snapshot snapshot;
    struct packetfs_error why = {0};
    struct vault_paths paths;
    int rc;

    vault_paths(images, &paths);
    rc = vault_open_volume(&paths, true, &volume, error);
    if (rc != 0)
        return rc;
    rc = packetfs_find(volume, label, &snapshot, &why);
    if (rc == PACKETFS_ENOTFOUND)
        rc = hm_fail(error, HM_ENOTFOUND, "the image store has no layer %s", label);
    else if (rc != 0)
        rc = vault_is_damage(rc) ? vault_damage(&paths, who, why.text, error)
                                 : vault_fail(error, rc, &why, "the image store's volume");
    else
        rc = vault_restore(volume, &paths, &snapshot, into, who, error);
    packetfs_volume_close(volume);
    return rc;
}

/* --- removal ------------------------------------------------------------------------------------------------------ */

static bool vault_is_newest(const struct runtime_vault *vault, size_t at)
{
    for (size_t i = at + 1; i < vault->count; i++)
        if (strcmp(vault->snapshots[i].label, vault->snapshots[at].label) == 0)
            return false;
    return true;
}

/* The next snapshot is numbered after the highest that is left, which must be above the number kept of the last mend. */
int runtime_vault_collect(struct runtime_vault *vault, const json_t *keep, struct hm_error *error)
{
    uint64_t highest = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < vault->count; i++) {
        const char *label = vault->snapshots[i].label;
        struct packetfs_error why = {0};

        if (strlen(label) > RUNTIME_LAYER_FORM_CHARS &&
            json_object_get(keep, label + RUNTIME_LAYER_FORM_CHARS) != NULL &&
            vault_is_newest(vault, i)) {
            highest = vault->snapshots[i].sequence;
            continue;
        }
        rc = packetfs_remove(vault->volume, vault->snapshots[i].id, &why);
        if (rc == PACKETFS_ENOTFOUND)
            rc = 0;
        if (rc != 0)
            rc = vault_fail(error, rc, &why, "the image store cannot forget a layer");
    }
    return rc == 0 && vault->mended > highest ? mended_save(vault, highest, error) : rc;
}

/* The lock is waited for: one removal or import is no reason for another one to fail. */
int runtime_vault_prune(struct runtime_vault *vault, struct hm_error *error)
{
    const struct packetfs_prune_options options = {.unused_percent = VAULT_UNUSED_PERCENT};
    struct packetfs_prune_result result;
    struct packetfs_error why = {0};
    struct vault_paths paths;
    HM_AUTOCLOSE int care = -1;
    int rc = runtime_images_lock(vault->images, "care", LOCK_EX, &care, error);

    if (rc != 0)
        return rc;
    vault_paths(vault->images, &paths);
    rc = packetfs_prune(vault->volume, &options, NULL, &result, &why);
    if (vault_is_damage(rc) && vault_mark(&paths))
        return 0; /* the next import mends, the next removal makes up for it */
    return rc == 0 ? 0 : vault_fail(error, rc, &why, "the image store cannot give room back");
}
