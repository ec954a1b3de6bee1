#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/packetfs_writer_inner.h"

int packetfs_writer_failed(const struct packetfs_writer *writer, struct hm_error *error)
{
    if (writer->failed && error)
        *error = writer->failure;
    return writer->failed;
}

void packetfs_writer_fail(struct packetfs_writer *writer, int rc, const struct hm_error *why)
{
    if (!writer->failed) {
        writer->failed = rc;
        writer->failure = *why;
        if (why->code != rc)
            (void)hm_fail(&writer->failure, rc, "writing to the volume failed before");
    }
    (void)pthread_cond_broadcast(&writer->changed);
}

void packetfs_writer_pack_free(struct packetfs_writer_pack *pack)
{
    if (!pack)
        return;
    if (pack->fd >= 0)
        (void)close(pack->fd);
    packetfs_pack_draft_release(&pack->draft);
    hm_free(pack);
}

/* --- the open pack --- */

static int pack_open(struct packetfs_writer *writer, enum packetfs_kind kind,
                     struct hm_error *error)
{
    struct packetfs_writer_pack *pack = hm_calloc(1, sizeof(*pack));

    if (!pack)
        return hm_fail(error, HM_ENOMEM, "no memory for a pack");
    pack->fd = -1;
    pack->draft.kind = kind;
    for (size_t i = 0; i < PACKETFS_SEALING_MAX && !pack->draft.frames.data; i++) {
        if (writer->spare[i].cap >= PACKETFS_PACK_BYTES / 2 || kind != PACKETFS_PATTERN) {
            pack->draft.frames = writer->spare[i];
            writer->spare[i] = (struct hm_buf){0};
        }
    }
    writer->open[kind] = pack;
    return 0;
}

struct packetfs_writer_pack *packetfs_writer_detach(struct packetfs_writer *writer,
                                                    enum packetfs_kind kind)
{
    struct packetfs_writer_pack *pack = writer->open[kind];

    if (!pack || pack->draft.count == 0)
        return NULL;
    writer->open[kind] = NULL;
    pack->next = writer->sealing;
    writer->sealing = pack;
    writer->sealing_count++;
    return pack;
}

static bool has_room(const struct packetfs_pack_draft *draft, size_t len)
{
    size_t folder = ((size_t)draft->count + 1) * PACKETFS_PACK_FOLDER_ROW_BYTES +
                    PACKETFS_PACK_DICTIONARIES_MAX * PACKETFS_PACK_FOLDER_REF_BYTES;

    return draft->count < PACKETFS_ENTER_OBJECTS_MAX &&
           draft->names.count < PACKETFS_PACK_DICTIONARIES_MAX &&
           (draft->count == 0 ||
            draft->bytes + len + CRYPTO_AEAD_TAG_BYTES + folder <= PACKETFS_PACK_BYTES);
}

int packetfs_writer_make_room(struct packetfs_writer *writer, enum packetfs_kind kind, size_t len,
                              struct packetfs_writer_pack **full, struct hm_error *error)
{
    *full = NULL;
    while (!writer->failed) {
        struct packetfs_writer_pack *pack = writer->open[kind];

        if (pack && has_room(&pack->draft, len))
            return 0;
        if (!pack)
            return pack_open(writer, kind, error);
        if (writer->sealing_count < PACKETFS_SEALING_MAX) {
            *full = packetfs_writer_detach(writer, kind);
            return pack_open(writer, kind, error);
        }
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    }
    return packetfs_writer_failed(writer, error);
}

/* --- sealing --- */

static void keep_spare(struct packetfs_writer *writer, struct hm_buf *frames)
{
    hm_buf_clear(frames);
    for (size_t i = 0; i < PACKETFS_SEALING_MAX; i++) {
        if (!writer->spare[i].data) {
            writer->spare[i] = *frames;
            *frames = (struct hm_buf){0};
            return;
        }
    }
    hm_buf_release(frames);
}

static int write_pack(struct packetfs_writer *writer, struct packetfs_writer_pack *pack, int *fd,
                      struct packetfs_pack_cost *cost, struct hm_error *error)
{
    struct packetfs_store *store = writer->store;
    int rc = packetfs_store_tmp_open(store, pack->path, fd, error);

    if (rc)
        return rc;
    rc = packetfs_pack_write(&pack->draft, &store->keys, store->options.suite, store->options.pad,
                             store->random, *fd, &pack->bytes, cost, error);
    if (rc) {
        if (rc == HM_EIO && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            rc = packetfs_store_fail(error, "write", pack->path);
        else
            (void)hm_error_prefix(error, rc, "%s", pack->path);
        (void)unlink(pack->path);
        (void)close(HM_TAKE_FD(*fd));
        return rc;
    }
    /* The disk begins now; who settles waits the less. */
    (void)sync_file_range(*fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return 0;
}

static void list_remove(struct packetfs_writer_pack **list, struct packetfs_writer_pack *pack)
{
    while (*list != pack)
        list = &(*list)->next;
    *list = pack->next;
}

int packetfs_writer_seal(struct packetfs_writer *writer, struct packetfs_writer_pack *pack,
                         struct hm_error *error)
{
    struct packetfs_pack_cost cost = {0};
    struct hm_error why = {0};
    bool settle;
    int fd = -1;
    int rc = write_pack(writer, pack, &fd, &cost, &why);

    writer->counts.ns_seal += cost.ns_seal;
    writer->counts.ns_write += cost.ns_write;
    (void)pthread_mutex_lock(&writer->lock);
    writer->sealing_count--;
    if (rc) {
        packetfs_writer_fail(writer, rc,
                             &why); /* the pack stays in the list: pending leads to it */
        (void)pthread_mutex_unlock(&writer->lock);
        if (error)
            *error = why;
        return rc;
    }
    pack->fd = fd;
    writer->counts.bytes_stored[pack->draft.kind] += pack->draft.bytes;
    writer->counts.bytes_packs += pack->bytes;
    list_remove(&writer->sealing, pack);
    keep_spare(writer, &pack->draft.frames);
    pack->next = writer->written;
    writer->written = pack;
    writer->written_bytes += pack->bytes;
    settle = writer->written_bytes >= PACKETFS_PUBLISH_BYTES && !writer->settling;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->lock);
    return settle ? packetfs_writer_settle(writer, false, error) : 0;
}
