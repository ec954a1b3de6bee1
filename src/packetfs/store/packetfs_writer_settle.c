#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_writer_inner.h"

/* --- durable, under their names --- */

static int folder_make(const struct packetfs_store *store, const char *folder,
                       struct hm_error *error)
{
    char packs[PACKETFS_PATH_BYTES];
    int rc;

    if (mkdir(folder, PACKETFS_FOLDER_MODE) && errno != EEXIST)
        return packetfs_store_fail(error, "make the folder", folder);
    /* Also when it was there: who made it may not have come this far. */
    rc = packetfs_store_path(store, packs, error, "packs");
    return rc ? rc : packetfs_store_sync_folder(packs, error);
}

static int publish(const struct packetfs_store *store, struct packetfs_writer_pack *pack,
                   struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_pack_path(store, pack->name, path, error);

    if (rc)
        return rc;
    if (fdatasync(pack->fd))
        return packetfs_store_fail(error, "sync", pack->path);
    if (rename(pack->path, path))
        return packetfs_store_fail(error, "name", path);
    (void)snprintf(pack->path, sizeof(pack->path), "%s", path);
    return 0;
}

/* All into one of the 256 folders, so that one sync of it does for all. */
static int publish_all(const struct packetfs_store *store, struct packetfs_writer_pack *list,
                       struct hm_error *error)
{
    char folder[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_name(store, list->name, error);

    if (!rc)
        rc = packetfs_store_path(store, folder, error, "packs/%02x", list->name[0]);
    if (!rc)
        rc = folder_make(store, folder, error);
    for (struct packetfs_writer_pack *pack = list; pack && !rc; pack = pack->next) {
        rc = pack == list ? 0 : packetfs_store_name(store, pack->name, error);
        pack->name[0] = list->name[0];
        if (!rc)
            rc = publish(store, pack, error);
    }
    return rc ? rc : packetfs_store_sync_folder(folder, error);
}

/* --- into the index --- */

static int enter(struct packetfs_index_txn *txn, const struct packetfs_writer_pack *pack,
                 struct hm_error *error)
{
    const struct packetfs_pack_draft *draft = &pack->draft;
    struct packetfs_pack_info info = {
        .kind = draft->kind, .objects = draft->count, .bytes = pack->bytes};
    HM_AUTOFREE struct packetfs_pack_row *rows = hm_malloc((draft->count + 1) * sizeof(*rows));
    bool added;

    if (!rows)
        return hm_fail(error, HM_ENOMEM, "no memory to enter a pack in the index");
    memcpy(info.name, pack->name, sizeof(info.name));
    for (uint32_t i = 0; i < draft->count; i++)
        rows[i] = (struct packetfs_pack_row){
            .id = draft->items[i].id,
            .position = draft->items[i].position,
            .length = (draft->items[i].len + CRYPTO_AEAD_TAG_BYTES) / PACKETFS_UNIT_BYTES};
    return packetfs_index_add(txn, &info, rows, &added, error);
}

/* The first packs of the list, as many as belong into one transaction; *list is what remains. */
static int enter_some(const struct packetfs_store *store, const struct packetfs_writer_pack **list,
                      struct hm_error *error)
{
    const struct packetfs_writer_pack *pack = *list;
    struct packetfs_index_txn *txn = NULL;
    uint32_t entered = 0;
    int rc = packetfs_index_begin(store->index, &txn, error);

    for (;
         pack && !rc && (entered == 0 || entered + pack->draft.count <= PACKETFS_ENTER_OBJECTS_MAX);
         pack = pack->next) {
        rc = enter(txn, pack, error);
        entered += pack->draft.count;
    }
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    *list = pack;
    return packetfs_index_commit(txn, error);
}

static int enter_all(const struct packetfs_store *store, const struct packetfs_writer_pack *list,
                     struct hm_error *error)
{
    int rc = 0;

    while (list && !rc)
        rc = enter_some(store, &list, error);
    return rc;
}

/* --- settling --- */

static void forget_all(struct packetfs_writer *writer, struct packetfs_writer_pack *list)
{
    while (list) {
        struct packetfs_writer_pack *pack = list;

        list = pack->next;
        for (uint32_t i = 0; i < pack->draft.count; i++)
            packetfs_pending_remove(&writer->pending, pack->draft.kind, &pack->draft.items[i].id);
        packetfs_writer_pack_free(pack);
    }
}

static void list_join(struct packetfs_writer_pack **list, struct packetfs_writer_pack *more)
{
    while (*list)
        list = &(*list)->next;
    *list = more;
}

/* With the lock held; it is let go meanwhile. What fails stays in its list: pending leads to it. */
static int publish_step(struct packetfs_writer *writer, struct hm_error *why)
{
    struct packetfs_writer_pack *list = HM_TAKE(writer->written);
    uint64_t before;
    int rc;

    writer->written_bytes = 0;
    if (!list)
        return 0;
    (void)pthread_mutex_unlock(&writer->lock);
    before = packetfs_thread_ns();
    rc = publish_all(writer->store, list, why);
    writer->counts.ns_write += packetfs_thread_ns() - before;
    (void)pthread_mutex_lock(&writer->lock);
    for (const struct packetfs_writer_pack *pack = list; pack; pack = pack->next) {
        writer->published_packs++;
        writer->published_objects += pack->draft.count;
    }
    list_join(&writer->published, list);
    return rc;
}

static int enter_step(struct packetfs_writer *writer, struct hm_error *why)
{
    struct packetfs_writer_pack *list = HM_TAKE(writer->published);
    uint64_t before;
    int rc;

    if (!list)
        return 0;
    (void)pthread_mutex_unlock(&writer->lock);
    before = packetfs_thread_ns();
    rc = enter_all(writer->store, list, why);
    writer->counts.ns_index += packetfs_thread_ns() - before;
    (void)pthread_mutex_lock(&writer->lock);
    if (rc) {
        list_join(&writer->published, list);
        return rc;
    }
    forget_all(writer, list);
    writer->published_packs = writer->published_objects = 0;
    writer->settles++;
    return 0;
}

int packetfs_writer_settle(struct packetfs_writer *writer, bool all, struct hm_error *error)
{
    struct hm_error why = {0};
    int rc;

    (void)pthread_mutex_lock(&writer->lock);
    while (writer->settling)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    rc = packetfs_writer_failed(writer, error);
    if (rc) {
        (void)pthread_mutex_unlock(&writer->lock);
        return rc;
    }
    writer->settling = true;
    rc = publish_step(writer, &why);
    if (!rc && (all || writer->published_objects >= PACKETFS_ENTER_OBJECTS ||
                writer->published_packs >= PACKETFS_ENTER_PACKS))
        rc = enter_step(writer, &why);
    writer->settling = false;
    if (rc) {
        packetfs_writer_fail(writer, rc, &why);
        if (error)
            *error = why;
    }
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->lock);
    return rc;
}

/* --- flush --- */

int packetfs_writer_flush(struct packetfs_writer *writer, struct hm_error *error)
{
    struct packetfs_writer_pack *full[PACKETFS_STORE_KINDS];
    int rc = 0;

    (void)pthread_mutex_lock(&writer->lock);
    while (writer->flushing)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    writer->flushing = true;
    while (writer->reserved > 0)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    for (int kind = 0; kind < PACKETFS_STORE_KINDS; kind++)
        full[kind] = writer->failed ? NULL
                                    : packetfs_writer_detach(writer, (enum packetfs_kind)kind);
    (void)pthread_mutex_unlock(&writer->lock);

    for (int kind = 0; kind < PACKETFS_STORE_KINDS; kind++) {
        int one = full[kind] ? packetfs_writer_seal(writer, full[kind], rc ? NULL : error) : 0;

        rc = rc ? rc : one;
    }
    (void)pthread_mutex_lock(&writer->lock);
    while (writer->sealing_count > 0)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    writer->flushing = false;
    (void)pthread_cond_broadcast(&writer->changed);
    if (!rc)
        rc = packetfs_writer_failed(writer, error);
    (void)pthread_mutex_unlock(&writer->lock);
    return rc ? rc : packetfs_writer_settle(writer, true, error);
}
