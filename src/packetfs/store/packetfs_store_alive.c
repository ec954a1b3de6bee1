#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_store_inner.h"

#define TRIES            16
#define NAME_BYTES       8
#define GENERATION_BYTES 8

/* One try; *fd stays -1 when somebody took the file for a dead writer's before the lock stood. */
static int enter_once(struct packetfs_store *store, char path[PACKETFS_PATH_BYTES], int *fd,
                      struct hm_error *error)
{
    uint8_t name[NAME_BYTES];
    char hex[2 * NAME_BYTES + 1];
    struct stat info;
    HM_AUTOCLOSE int made = -1;
    int rc;

    if (store->random->fill(store->random->ctx, name, sizeof(name)))
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    hm_hex_encode(name, sizeof(name), hex);
    rc = packetfs_store_path(store, path, error, "writers/%s", hex);
    if (rc)
        return rc;
    made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, PACKETFS_FILE_MODE);
    if (made < 0)
        return packetfs_store_fail(error, "make", path);
    if (flock(made, LOCK_EX | LOCK_NB) == 0 && fstat(made, &info) == 0 && info.st_nlink > 0)
        *fd = HM_TAKE_FD(made);
    else
        (void)unlink(path);
    return 0;
}

/* The lock on the folder itself: who registers shares it for a moment, repair has it alone. */
static int gate_open(const struct packetfs_store *store, int how, int *fd, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    HM_AUTOCLOSE int gate = -1;
    int rc = packetfs_store_path(store, path, error, "writers");

    if (rc)
        return rc;
    gate = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (gate < 0)
        return packetfs_store_fail(error, "open", path);
    if (flock(gate, how | LOCK_NB))
        return hm_fail(error, HM_EBUSY,
                       how == LOCK_SH ? "a repair of %s is running: try again later"
                                      : "writers are beginning at %s: try again",
                       store->dir);
    *fd = HM_TAKE_FD(gate);
    return 0;
}

int packetfs_alive_bar(const struct packetfs_store *store, int *fd, struct hm_error *error)
{
    return gate_open(store, LOCK_EX, fd, error);
}

int packetfs_alive_enter(struct packetfs_store *store, bool barred, char path[PACKETFS_PATH_BYTES],
                         int *fd, uint64_t *generation, struct hm_error *error)
{
    uint8_t bytes[GENERATION_BYTES];
    HM_AUTOCLOSE int gate = -1;
    int made = -1;
    int rc = barred ? 0 : gate_open(store, LOCK_SH, &gate, error);

    for (int i = 0; i < TRIES && made < 0 && !rc; i++)
        rc = enter_once(store, path, &made, error);
    if (rc)
        return rc;
    if (made < 0)
        return hm_fail(error, HM_EBUSY, "cannot register in %s/writers", store->dir);
    /* Who finds the file still empty takes it for one that began before everything. */
    rc = packetfs_store_refresh(store, error); /* no repair can come between from here on */
    if (!rc)
        rc = packetfs_index_generation(store->index, generation, error);
    hm_put_be64(bytes, *generation);
    if (!rc && pwrite(made, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        rc = packetfs_store_fail(error, "write", path);
    if (rc) {
        packetfs_alive_leave(path, made);
        return rc;
    }
    *fd = made;
    return 0;
}

void packetfs_alive_leave(const char *path, int fd)
{
    if (fd < 0)
        return;
    (void)unlink(path);
    (void)close(fd);
}

/* Whether the writer of this file lives, and since which generation. A probe's lock is a shared one, so that two who probe do not
 * take each other for the writer. */
static bool probe(const char *path, uint64_t *generation)
{
    uint8_t bytes[GENERATION_BYTES];
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return false;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        (void)unlink(path);
        return false;
    }
    *generation = pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) ? hm_get_be64(bytes)
                                                                               : 0;
    return true;
}

int packetfs_alive_count(const struct packetfs_store *store, const char *except, uint64_t *count,
                         uint64_t *lowest, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct dirent *entry;
    DIR *folder;
    int rc = packetfs_store_path(store, path, error, "writers");

    if (rc)
        return rc;
    folder = opendir(path);
    if (!folder)
        return packetfs_store_fail(error, "read the folder", path);
    *count = 0;
    *lowest = UINT64_MAX;
    while ((errno = 0, entry = readdir(folder)) != NULL) {
        uint64_t generation = 0;

        if (entry->d_name[0] == '.')
            continue;
        rc = packetfs_store_path(store, path, error, "writers/%s", entry->d_name);
        if (rc)
            break;
        if ((except && strcmp(path, except) == 0) || !probe(path, &generation))
            continue;
        ++*count;
        if (generation < *lowest)
            *lowest = generation;
    }
    if (!rc && errno)
        rc = packetfs_store_fail(error, "read the folder", path);
    (void)closedir(folder);
    return rc;
}
