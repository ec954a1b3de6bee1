#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "store_lmdb_checkpoint.h"

#define SLOTS            2
#define SLOT_BYTES       4096
#define SLOT_MAGIC       "HMCHECK1"
#define SLOT_MAGIC_BYTES 8
#define PAGE_BYTES_MIN   512u
#define PAGE_BYTES_MAX   65536u
#define SLOT_AT_SEQUENCE 8
#define SLOT_AT_TXN      16
#define SLOT_AT_PAGE     32
#define SLOT_AT_CLEAN    36
#define SLOT_AT_NOTE     40
#define SLOT_AT_METAS    (SLOT_AT_NOTE + STORE_NOTE_BYTES)
#define SLOT_AT_DIGEST   (SLOT_AT_METAS + 2 * CHECKPOINT_META_BYTES)
#define CHECKPOINT_NAME  "/checkpoint"

static void slot_pack(const struct store_lmdb_state *state, uint64_t sequence, bool clean,
                      uint8_t slot[SLOT_BYTES])
{
    memset(slot, 0, SLOT_BYTES);
    memcpy(slot, SLOT_MAGIC, SLOT_MAGIC_BYTES);
    hm_put_be64(slot + SLOT_AT_SEQUENCE, sequence);
    hm_put_be64(slot + SLOT_AT_TXN, state->txn);
    hm_put_be32(slot + SLOT_AT_PAGE, state->page_bytes);
    hm_put_be32(slot + SLOT_AT_CLEAN, clean);
    memcpy(slot + SLOT_AT_NOTE, state->note, STORE_NOTE_BYTES);
    for (size_t i = 0; i < 2; i++)
        memcpy(slot + SLOT_AT_METAS + i * CHECKPOINT_META_BYTES, state->metas[i],
               CHECKPOINT_META_BYTES);
    crypto_hash(slot, SLOT_AT_DIGEST, slot + SLOT_AT_DIGEST);
}

/* A slot that was being written when the power failed is not valid; the other one is. */
static bool slot_unpack(const uint8_t slot[SLOT_BYTES], struct store_lmdb_slots *out)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint32_t page_bytes = hm_get_be32(slot + SLOT_AT_PAGE);

    crypto_hash(slot, SLOT_AT_DIGEST, digest);
    if (memcmp(slot, SLOT_MAGIC, SLOT_MAGIC_BYTES) != 0 ||
        memcmp(slot + SLOT_AT_DIGEST, digest, sizeof(digest)) != 0 || page_bytes < PAGE_BYTES_MIN ||
        page_bytes > PAGE_BYTES_MAX || hm_get_be32(slot + SLOT_AT_CLEAN) > 1)
        return false;
    out->sequence = hm_get_be64(slot + SLOT_AT_SEQUENCE);
    out->clean = hm_get_be32(slot + SLOT_AT_CLEAN) == 1;
    out->state.txn = hm_get_be64(slot + SLOT_AT_TXN);
    memcpy(out->state.note, slot + SLOT_AT_NOTE, STORE_NOTE_BYTES);
    out->state.page_bytes = page_bytes;
    for (size_t i = 0; i < 2; i++)
        memcpy(out->state.metas[i], slot + SLOT_AT_METAS + i * CHECKPOINT_META_BYTES,
               CHECKPOINT_META_BYTES);
    return true;
}

static int pwrite_all(int fd, const uint8_t *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t done = pwrite(fd, data, len, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return HM_EIO;
        data += done;
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

static int pread_all(int fd, uint8_t *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t done = pread(fd, data, len, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return HM_EIO;
        data += done;
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

static int failed(struct hm_error *error, const char *path, const char *what)
{
    return hm_fail_errno(error, HM_EIO, "the store %s: the file checkpoint cannot be %s", path,
                         what);
}

/* A file that was cut while it was made counts as none: commits are deferred only once it is durable. */
static int slots_read(const char *path, struct store_lmdb_slots *slots, struct hm_error *error)
{
    struct store_lmdb_slots newest = {.fd = slots->fd};
    uint8_t slot[SLOT_BYTES];
    struct stat info;

    if (fstat(slots->fd, &info))
        return failed(error, path, "read");
    for (off_t i = 0; i < SLOTS && info.st_size >= (i + 1) * SLOT_BYTES; i++) {
        struct store_lmdb_slots found = {.fd = slots->fd};

        if (pread_all(slots->fd, slot, sizeof(slot), i * SLOT_BYTES))
            return failed(error, path, "read");
        if (slot_unpack(slot, &found) && found.sequence > newest.sequence)
            newest = found;
    }
    *slots = newest;
    return 0;
}

/* data.mdb holds what was committed after the checkpoint in any state; the pages of the checkpoint itself it has,
 * and with these metas LMDB looks at no other. */
static int metas_put_back(const char *path, const struct store_lmdb_state *state,
                          struct hm_error *error)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", path);
    HM_AUTOCLOSE int fd = data ? open(data, O_WRONLY | O_CLOEXEC) : -1;

    if (!data)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "the store %s: data.mdb", path);
    for (off_t i = 0; i < 2; i++)
        if (pwrite_all(fd, state->metas[i], CHECKPOINT_META_BYTES, i * (off_t)state->page_bytes))
            return hm_fail_errno(error, HM_EIO, "the store %s cannot be put back to its checkpoint",
                                 path);
    if (fdatasync(fd))
        return hm_fail_errno(error, HM_EIO, "the store %s cannot be put back to its checkpoint",
                             path);
    return 0;
}

static int data_find(const char *path, bool *there, struct hm_error *error)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", path);
    struct stat info;

    if (!data)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    if (stat(data, &info) == 0)
        *there = info.st_size > 0;
    else if (errno == ENOENT)
        *there = false;
    else
        return hm_fail_errno(error, HM_EIO, "the store %s: data.mdb", path);
    return 0;
}

int store_lmdb_slots_restore(const char *path, bool read_only, struct store_lmdb_slots *slots,
                             struct hm_error *error)
{
    HM_AUTOFREE char *name = hm_asprintf("%s" CHECKPOINT_NAME, path);
    struct store_lmdb_slots found = {.fd = -1};
    bool there = false;
    int rc;

    *slots = found;
    if (!name)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    rc = data_find(path, &there, error);
    if (rc)
        return rc;
    if (!there) {
        if (!read_only && unlink(name) && errno != ENOENT) /* it speaks of a file that is gone */
            return failed(error, path, "removed");
        return 0;
    }
    found.fd = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (found.fd < 0)
        return errno == ENOENT ? 0 : failed(error, path, "opened");
    rc = slots_read(path, &found, error);
    if (!rc && found.sequence > 0 && !found.clean) {
        if (read_only)
            rc = hm_fail(error, HM_ECORRUPT,
                         "the store %s was not closed: it must be opened once for writing, by the "
                         "program that it belongs to",
                         path);
        if (!rc)
            rc = metas_put_back(path, &found.state, error);
        if (!rc)
            rc = store_lmdb_slots_write(path, &found, &found.state, true, error);
    }
    if (rc) {
        store_lmdb_slots_release(&found);
        return rc;
    }
    *slots = found;
    return 0;
}

int store_lmdb_slots_create(const char *path, struct store_lmdb_slots *slots,
                            struct hm_error *error)
{
    static const uint8_t nothing[SLOTS * SLOT_BYTES];
    HM_AUTOFREE char *name = hm_asprintf("%s" CHECKPOINT_NAME, path);
    struct stat info;

    if (!name)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    if (slots->fd < 0)
        slots->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (slots->fd < 0 || fstat(slots->fd, &info))
        return failed(error, path, "made");
    /* Its whole length now: writing a slot then changes nothing but the slot. */
    if (info.st_size < (off_t)sizeof(nothing) &&
        (pwrite_all(slots->fd, nothing, sizeof(nothing), 0) || fdatasync(slots->fd)))
        return failed(error, path, "made");
    return 0;
}

int store_lmdb_slots_write(const char *path, struct store_lmdb_slots *slots,
                           const struct store_lmdb_state *state, bool clean, struct hm_error *error)
{
    uint8_t slot[SLOT_BYTES];
    uint64_t sequence = slots->sequence + 1;

    slot_pack(state, sequence, clean, slot);
    if (pwrite_all(slots->fd, slot, sizeof(slot), (off_t)(sequence % SLOTS) * SLOT_BYTES) ||
        fdatasync(slots->fd))
        return failed(error, path, "written");
    slots->sequence = sequence;
    slots->clean = clean;
    if (state != &slots->state)
        slots->state = *state;
    return 0;
}

void store_lmdb_slots_release(struct store_lmdb_slots *slots)
{
    hm_fd_release(&slots->fd);
    slots->fd = -1;
}

int store_lmdb_state_read(int data_fd, const char *path, struct store_lmdb_state *state,
                          struct hm_error *error)
{
    for (off_t i = 0; i < 2; i++)
        if (pread_all(data_fd, state->metas[i], CHECKPOINT_META_BYTES,
                      i * (off_t)state->page_bytes))
            return hm_fail_errno(error, HM_EIO, "the store %s: its first pages cannot be read",
                                 path);
    return 0;
}
