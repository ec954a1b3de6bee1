#include <unistd.h>

#include "store/packetfs_writer_inner.h"

static int writer_open(struct packetfs_store *store, bool barred, struct packetfs_writer **out,
                       struct hm_error *error)
{
    struct packetfs_writer *writer;
    int rc;

    if (store->options.read_only)
        return hm_fail(error, HM_EPERM, "the volume %s was opened to read only", store->dir);
    writer = hm_calloc(1, sizeof(*writer));
    if (!writer)
        return hm_fail(error, HM_ENOMEM, "no memory to write");
    (void)pthread_mutex_init(&writer->lock, NULL);
    (void)pthread_cond_init(&writer->changed, NULL);
    writer->store = store;
    writer->alive_fd = -1;
    if (store->options.dictionaries && store->options.zstd_level != 0 &&
        packetfs_writer_dicts_new(&writer->dicts)) {
        packetfs_writer_close(writer);
        return hm_fail(error, HM_ENOMEM, "no memory to write");
    }
    rc = packetfs_alive_enter(store, barred, writer->alive_path, &writer->alive_fd,
                              &writer->generation, error);
    if (!rc)
        rc = packetfs_store_tmp_clean(store, error);
    if (rc)
        packetfs_writer_close(writer);
    else
        *out = writer;
    return rc;
}

int packetfs_writer_open_bare(struct packetfs_store *store, struct packetfs_writer **out,
                              struct hm_error *error)
{
    return writer_open(store, true, out, error);
}

int packetfs_writer_open(struct packetfs_store *store, struct packetfs_writer **out,
                         struct hm_error *error)
{
    struct packetfs_writer *writer = NULL;
    int rc = writer_open(store, false, &writer, error);

    if (!rc)
        rc = packetfs_store_adopt(store, error);
    if (rc)
        packetfs_writer_close(writer);
    else
        *out = writer;
    return rc;
}

/* Finished packs that no index names yet stay where they are when they have their names: the next writer takes them in. */
static void drop_packs(struct packetfs_writer_pack *list, const char *tmp)
{
    while (list) {
        struct packetfs_writer_pack *pack = list;

        list = pack->next;
        if (pack->fd >= 0 && strncmp(pack->path, tmp, strlen(tmp)) == 0)
            (void)unlink(pack->path);
        packetfs_writer_pack_free(pack);
    }
}

void packetfs_writer_close(struct packetfs_writer *writer)
{
    char tmp[PACKETFS_PATH_BYTES];

    if (!writer)
        return;
    if (packetfs_store_path(writer->store, tmp, NULL, "tmp/") == 0) {
        drop_packs(writer->written, tmp);
        drop_packs(writer->published, tmp);
        drop_packs(writer->sealing, tmp);
    }
    for (int kind = 0; kind < PACKETFS_STORE_KINDS; kind++)
        packetfs_writer_pack_free(writer->open[kind]);
    for (size_t i = 0; i < PACKETFS_SEALING_MAX; i++)
        hm_buf_release(&writer->spare[i]);
    packetfs_pending_release(&writer->pending);
    packetfs_writer_dicts_free(writer->dicts);
    packetfs_alive_leave(writer->alive_path, writer->alive_fd);
    (void)pthread_cond_destroy(&writer->changed);
    (void)pthread_mutex_destroy(&writer->lock);
    hm_free(writer);
}

void packetfs_writer_counts(struct packetfs_writer *writer, struct packetfs_writer_counts *out)
{
    const struct packetfs_writer_atomics *from = &writer->counts;

    for (int kind = 0; kind < PACKETFS_STORE_KINDS; kind++) {
        out->objects_new[kind] = from->objects_new[kind];
        out->objects_known[kind] = from->objects_known[kind];
        out->bytes_new[kind] = from->bytes_new[kind];
        out->bytes_known[kind] = from->bytes_known[kind];
        out->bytes_stored[kind] = from->bytes_stored[kind];
    }
    out->bytes_packs = from->bytes_packs;
    out->ns_hash = from->ns_hash;
    out->ns_compress = from->ns_compress;
    out->ns_seal = from->ns_seal;
    out->ns_write = from->ns_write;
    out->ns_index = from->ns_index;
}

/* --- is it here? --- */

enum verdict { VERDICT_KNOWN, VERDICT_OURS };

/* Reserves the object for this thread unless it is known. */
static int reserve(struct packetfs_writer *writer, enum packetfs_kind kind,
                   const struct packetfs_id *id, uint64_t settles, enum verdict *out, bool *again,
                   struct hm_error *error)
{
    int rc;

    while (writer->flushing && !writer->failed)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    rc = packetfs_writer_failed(writer, error);
    *again = false;
    if (rc)
        return rc;
    if (packetfs_pending_find(&writer->pending, kind, id)) {
        *out = VERDICT_KNOWN;
        return 0;
    }
    /* It may have gone from here to the index after that was asked. */
    *again = settles != writer->settles;
    if (*again)
        return 0;
    if (packetfs_pending_add(&writer->pending, kind, id))
        return hm_fail(error, HM_ENOMEM, "no memory to remember an object");
    writer->reserved++;
    *out = VERDICT_OURS;
    return 0;
}

static int judge(struct packetfs_writer *writer, enum packetfs_kind kind,
                 const struct packetfs_id *id, enum verdict *out, struct hm_error *error)
{
    bool again = true;
    int rc = 0;

    while (again && !rc) {
        uint64_t settles;
        bool here;

        (void)pthread_mutex_lock(&writer->lock);
        settles = writer->settles;
        here = packetfs_pending_find(&writer->pending, kind, id) != NULL;
        rc = packetfs_writer_failed(writer, error);
        (void)pthread_mutex_unlock(&writer->lock);
        if (rc)
            return rc;
        *out = VERDICT_KNOWN;
        if (here)
            return 0;
        rc = packetfs_index_has_live(writer->store->index, kind, id);
        if (!rc)
            return 0;
        if (rc != HM_ENOTFOUND)
            return hm_fail(error, rc, "the index of the volume %s cannot be read",
                           writer->store->dir);
        (void)pthread_mutex_lock(&writer->lock);
        rc = reserve(writer, kind, id, settles, out, &again, error);
        (void)pthread_mutex_unlock(&writer->lock);
    }
    return rc;
}

/* --- storing what was reserved --- */

static int append(struct packetfs_writer *writer, enum packetfs_kind kind,
                  const struct packetfs_id *id, const struct packetfs_frame *frame,
                  struct packetfs_writer_pack **full, struct hm_error *error)
{
    struct packetfs_pending_entry *entry;
    int rc = packetfs_writer_make_room(writer, kind, packetfs_frame_len(frame), full, error);

    if (!rc)
        rc = packetfs_pack_draft_add(&writer->open[kind]->draft, id, frame, error);
    if (rc)
        return rc;
    entry = packetfs_pending_find(&writer->pending, kind, id);
    entry->pack = writer->open[kind];
    entry->item = writer->open[kind]->draft.count - 1;
    return 0;
}

/* rc: whether there is a frame at all. Others may count on the object, so a failure here is the writer's end. */
static int store_frame(struct packetfs_writer *writer, enum packetfs_kind kind,
                       const struct packetfs_id *id, const struct packetfs_frame *frame, int rc,
                       struct hm_error *error)
{
    struct packetfs_writer_pack *full = NULL;
    int sealed = 0;

    (void)pthread_mutex_lock(&writer->lock);
    if (!rc)
        rc = append(writer, kind, id, frame, &full, error);
    writer->reserved--;
    if (rc) {
        packetfs_pending_remove(&writer->pending, kind, id);
        packetfs_writer_fail(writer, rc, error);
    }
    if (writer->flushing)
        (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->lock);
    if (full)
        sealed = packetfs_writer_seal(writer, full, rc ? NULL : error);
    return rc ? rc : sealed;
}

static int store_bytes(struct packetfs_writer *writer, enum packetfs_kind kind,
                       const struct packetfs_id *id, struct hm_slice bytes, struct hm_error *error)
{
    struct packetfs_frame frame = {0};
    const struct packetfs_dict *dict = NULL;
    struct packetfs_hand *hand = NULL;
    uint64_t before = packetfs_mono_ns();
    int rc = packetfs_writer_dictionary(writer, kind, bytes, &dict, error);

    if (!rc)
        rc = packetfs_store_hand_take(writer->store, &hand, error);
    if (!rc)
        rc = packetfs_codec_pack(hand->codec, writer->store->options.zstd_level, dict, bytes,
                                 &frame, error);
    writer->counts.ns_compress += packetfs_mono_ns() - before;
    rc = store_frame(writer, kind, id, &frame, rc, error);
    packetfs_store_hand_give(writer->store, hand);
    return rc;
}

int packetfs_writer_put(struct packetfs_writer *writer, enum packetfs_kind kind,
                        struct hm_slice bytes, struct packetfs_id *id, struct hm_error *error)
{
    struct hm_error why = {0};
    struct packetfs_id own;
    enum verdict verdict = VERDICT_KNOWN;
    uint64_t start = packetfs_mono_ns();
    uint64_t hashed, found;
    int rc;

    if (bytes.len == 0 || bytes.len > PACKETFS_OBJECT_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "an object has 1 to %zu bytes, not %zu",
                       PACKETFS_OBJECT_MAX_BYTES, bytes.len);
    packetfs_keys_object_id(&writer->store->keys, kind, bytes, &own);
    hashed = packetfs_mono_ns();
    rc = judge(writer, kind, &own, &verdict, &why);
    found = packetfs_mono_ns();
    writer->counts.ns_hash += hashed - start;
    writer->counts.ns_index += found - hashed;
    if (!rc && verdict == VERDICT_KNOWN) {
        writer->counts.objects_known[kind]++;
        writer->counts.bytes_known[kind] += bytes.len;
    } else if (!rc) {
        rc = store_bytes(writer, kind, &own, bytes, &why);
        if (!rc) {
            writer->counts.objects_new[kind]++;
            writer->counts.bytes_new[kind] += bytes.len;
        }
    }
    if (!rc)
        *id = own;
    else if (error)
        *error = why;
    return rc;
}

int packetfs_writer_put_frame(struct packetfs_writer *writer, enum packetfs_kind kind,
                              const struct packetfs_id *id, struct hm_slice frame,
                              struct hm_error *error)
{
    struct packetfs_frame parts = {.payload = hm_slice_of(frame.data + PACKETFS_FRAME_HEAD_BYTES,
                                                          frame.len - PACKETFS_FRAME_HEAD_BYTES)};
    struct hm_error why = {0};
    enum verdict verdict = VERDICT_KNOWN;
    int rc = judge(writer, kind, id, &verdict, &why);

    memcpy(parts.head, frame.data, PACKETFS_FRAME_HEAD_BYTES);
    if (!rc && verdict == VERDICT_OURS) {
        rc = store_frame(writer, kind, id, &parts, 0, &why);
        if (!rc)
            writer->counts.objects_new[kind]++;
    }
    if (rc && error)
        *error = why;
    return rc;
}

/* --- reading what it wrote --- */

/* With the lock held: the frame of a pending object. HM_ENOTFOUND: not pending, or not compressed yet. */
static int pending_frame(struct packetfs_writer *writer, struct packetfs_hand *hand,
                         enum packetfs_kind kind, const struct packetfs_id *id, struct hm_buf *room,
                         struct hm_error *error)
{
    const struct packetfs_pending_entry *entry = packetfs_pending_find(&writer->pending, kind, id);
    const struct packetfs_writer_pack *pack = entry ? entry->pack : NULL;
    const struct packetfs_pack_item *item;
    struct packetfs_file_slot file = {0};
    uint8_t header[PACKETFS_PACK_HEADER_BYTES];
    struct hm_slice frame;
    int rc;

    if (!pack)
        return HM_ENOTFOUND;
    item = &pack->draft.items[entry->item];
    if (pack->fd < 0) {
        rc = hm_buf_append(room, pack->draft.frames.data + item->offset, item->len);
        return rc ? hm_fail(error, rc, "no memory to read an object") : 0;
    }
    file.fd = pack->fd;
    rc = packetfs_pack_pread(pack->fd, header, sizeof(header), 0, error);
    if (!rc)
        rc = packetfs_pack_header_parse(hm_slice_of(header, sizeof(header)), &file.header, error);
    if (!rc)
        rc = packetfs_hand_read_file(writer->store, hand, &file, id, item->position,
                                     (item->len + CRYPTO_AEAD_TAG_BYTES) / PACKETFS_UNIT_BYTES,
                                     &frame, error);
    if (!rc && hm_buf_append(room, frame.data, frame.len))
        rc = hm_fail(error, HM_ENOMEM, "no memory to read an object");
    return rc;
}

static int objects_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                       struct hm_buf *out, struct hm_error *error)
{
    struct packetfs_writer *writer = ctx;
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
    struct packetfs_hand *hand = NULL;
    int rc = packetfs_store_hand_take(writer->store, &hand, error);

    if (rc)
        return rc;
    (void)pthread_mutex_lock(&writer->lock);
    rc = pending_frame(writer, hand, kind, id, &frame, error);
    (void)pthread_mutex_unlock(&writer->lock);
    if (!rc)
        rc = packetfs_hand_unpack(writer->store, hand, kind, id, hm_buf_slice(&frame), out, error);
    packetfs_store_hand_give(writer->store, hand);
    return rc == HM_ENOTFOUND ? packetfs_store_get(writer->store, kind, id, out, error) : rc;
}

static int objects_has(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id)
{
    struct packetfs_writer *writer = ctx;
    bool here;

    (void)pthread_mutex_lock(&writer->lock);
    here = packetfs_pending_find(&writer->pending, kind, id) != NULL;
    (void)pthread_mutex_unlock(&writer->lock);
    return here ? 0 : packetfs_index_has_live(writer->store->index, kind, id);
}

static int objects_put(void *ctx, enum packetfs_kind kind, struct hm_slice bytes,
                       struct packetfs_id *id, struct hm_error *error)
{
    return packetfs_writer_put(ctx, kind, bytes, id, error);
}

struct packetfs_objects packetfs_writer_objects(struct packetfs_writer *writer)
{
    return (struct packetfs_objects){
        .ctx = writer, .has = objects_has, .get = objects_get, .put = objects_put};
}
