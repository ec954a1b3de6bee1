#include "store/packetfs_store_inner.h"

#define LOOKUPS_MAX 8 /* of one object whose pack is gone each time it is opened */

/* --- hands --- */

static void hand_free(struct packetfs_hand *hand)
{
    packetfs_pack_key_release(&hand->key);
    packetfs_codec_free(hand->codec);
    if (hand->sealed)
        hm_wipe(hand->sealed, hand->sealed_bytes);
    hm_free(hand->sealed);
    hm_free(hand);
}

int packetfs_store_hand_take(struct packetfs_store *store, struct packetfs_hand **out,
                             struct hm_error *error)
{
    struct packetfs_hand *hand;

    (void)pthread_mutex_lock(&store->lock);
    hand = store->hands;
    if (hand)
        store->hands = hand->next;
    (void)pthread_mutex_unlock(&store->lock);
    if (!hand) {
        hand = hm_calloc(1, sizeof(*hand));
        if (hand && packetfs_codec_new(&hand->codec)) {
            hand_free(hand);
            hand = NULL;
        }
    }
    if (!hand)
        return hm_fail(error, HM_ENOMEM, "no memory to read objects");
    *out = hand;
    return 0;
}

void packetfs_store_hand_give(struct packetfs_store *store, struct packetfs_hand *hand)
{
    if (!hand)
        return;
    (void)pthread_mutex_lock(&store->lock);
    hand->next = store->hands;
    store->hands = hand;
    (void)pthread_mutex_unlock(&store->lock);
}

void packetfs_store_hands_free(struct packetfs_store *store)
{
    while (store->hands) {
        struct packetfs_hand *hand = store->hands;

        store->hands = hand->next;
        hand_free(hand);
    }
}

/* --- one object --- */

static int hand_key(const struct packetfs_store *store, struct packetfs_hand *hand,
                    const struct packetfs_pack_header *header, struct hm_error *error)
{
    if (hand->key.aead && memcmp(hand->key.header.bytes, header->bytes, sizeof(header->bytes)) == 0)
        return 0;
    return packetfs_pack_key_change(&hand->key, &store->keys, header, error);
}

static int hand_room(struct packetfs_hand *hand, size_t len, struct hm_error *error)
{
    uint8_t *room;

    if (hand->sealed_bytes >= len)
        return 0;
    room = hm_realloc(hand->sealed, len);
    if (!room)
        return hm_fail(error, HM_ENOMEM, "no memory to read %zu bytes", len);
    hand->sealed = room;
    hand->sealed_bytes = len;
    return 0;
}

int packetfs_hand_read_file(struct packetfs_store *store, struct packetfs_hand *hand,
                            const struct packetfs_file_slot *file, const struct packetfs_id *id,
                            uint32_t position, uint32_t length, struct hm_slice *frame,
                            struct hm_error *error)
{
    size_t len = (size_t)length * PACKETFS_UNIT_BYTES;
    int rc = hand_room(hand, len, error);

    if (!rc)
        rc = hand_key(store, hand, &file->header, error);
    if (!rc)
        rc = packetfs_pack_pread(file->fd, hand->sealed, len,
                                 (uint64_t)position * PACKETFS_UNIT_BYTES, error);
    if (!rc)
        rc = packetfs_pack_open_object(&hand->key, id, position, hm_slice_of(hand->sealed, len),
                                       hand->sealed, error);
    if (!rc)
        *frame = hm_slice_of(hand->sealed, len - CRYPTO_AEAD_TAG_BYTES);
    return rc;
}

int packetfs_hand_read(struct packetfs_store *store, struct packetfs_hand *hand,
                       const struct packetfs_id *id, const struct packetfs_found *found,
                       struct hm_slice *frame, struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    int rc = packetfs_store_file_take(store, found->pack.name, &file, error);

    if (rc)
        return rc;
    rc = packetfs_hand_read_file(store, hand, file, id, found->position, found->length, frame,
                                 error);
    packetfs_store_file_give(store, file);
    if (rc) {
        char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];

        hm_hex_encode(found->pack.name, PACKETFS_PACK_NAME_BYTES, hex);
        (void)hm_error_prefix(error, rc, "pack %s", hex);
    }
    return rc;
}

/* With the dictionary that the frame names, if it names one. */
static int unpack(struct packetfs_store *store, struct packetfs_hand *hand, enum packetfs_kind kind,
                  struct hm_slice frame, struct hm_buf *out, struct hm_error *error)
{
    struct packetfs_dict *dict = NULL;
    uint64_t ref = 0;
    int rc = 0;

    hand->missed = 0;
    if (kind != PACKETFS_DICTIONARY && frame.len > PACKETFS_FRAME_HEAD_BYTES &&
        packetfs_frame_dictionary(frame.data,
                                  hm_slice_of(frame.data + PACKETFS_FRAME_HEAD_BYTES,
                                              frame.len - PACKETFS_FRAME_HEAD_BYTES),
                                  &ref))
        rc = packetfs_dict_take(store, ref, &dict, error);
    if (rc == HM_ECORRUPT)
        hand->missed = ref;
    if (!rc)
        rc = packetfs_codec_unpack(hand->codec, dict, frame, out, error);
    packetfs_dict_give(store, dict);
    return rc;
}

int packetfs_hand_unpack(struct packetfs_store *store, struct packetfs_hand *hand,
                         enum packetfs_kind kind, const struct packetfs_id *id,
                         struct hm_slice frame, struct hm_buf *out, struct hm_error *error)
{
    size_t before = out->len;
    struct packetfs_id got;
    int rc = unpack(store, hand, kind, frame, out, error);

    if (rc)
        return rc;
    packetfs_keys_object_id(&store->keys, kind, hm_slice_of(out->data + before, out->len - before),
                            &got);
    if (packetfs_id_equal(&got, id))
        return 0;
    out->len = before;
    return hm_fail(error, HM_ECORRUPT, "an object's bytes are not those its id names");
}

/* --- looking up, and again where another process moved it meanwhile --- */

static int get_copies(struct packetfs_store *store, struct packetfs_hand *hand,
                      enum packetfs_kind kind, const struct packetfs_id *id,
                      const struct packetfs_found *found, size_t count, struct hm_buf *out,
                      struct hm_error *error)
{
    int rc = HM_ENOTFOUND;

    for (size_t i = 0; i < count; i++) {
        struct hm_slice frame;

        rc = packetfs_hand_read(store, hand, id, &found[i], &frame, error);
        if (!rc)
            rc = packetfs_hand_unpack(store, hand, kind, id, frame, out, error);
        if (rc == HM_ENOTFOUND)
            packetfs_store_file_drop(store, found[i].pack.name);
        if (!rc || rc == HM_ENOMEM)
            return rc;
    }
    return rc;
}

static int not_found(const struct packetfs_id *id, struct hm_error *error)
{
    char hex[17];

    hm_hex_encode(id->bytes, 8, hex);
    return hm_fail(error, HM_ENOTFOUND, "object %s… is not in this volume", hex);
}

/* Whether another index is there now than the one that was asked. */
static bool refreshed(struct packetfs_store *store)
{
    const struct packetfs_index *before = store->index;

    return packetfs_store_refresh(store, NULL) == 0 && store->index != before;
}

int packetfs_store_get(struct packetfs_store *store, enum packetfs_kind kind,
                       const struct packetfs_id *id, struct hm_buf *out, struct hm_error *error)
{
    struct packetfs_found found[PACKETFS_COPIES_MAX];
    struct packetfs_hand *hand = NULL;
    size_t count = 0;
    int rc = packetfs_store_ready(store, NULL) ? packetfs_store_refresh(store, error) : 0;

    if (!rc)
        rc = packetfs_store_hand_take(store, &hand, error);
    if (rc)
        return rc;
    rc = HM_ENOTFOUND;
    for (int i = 0; i < LOOKUPS_MAX && rc == HM_ENOTFOUND; i++) {
        rc = packetfs_index_find(store->index, kind, id, found, PACKETFS_COPIES_MAX, &count, error);
        if (rc)
            break;
        if (count == 0 && !refreshed(store)) {
            rc = not_found(id, error);
            break;
        }
        if (count == 0) {
            rc = HM_ENOTFOUND; /* asked again */
            continue;
        }
        rc = get_copies(store, hand, kind, id, found, count, out, error);
        if (rc == HM_ENOTFOUND)
            (void)refreshed(store);
        if (rc == HM_ENOTFOUND && i + 1 == LOOKUPS_MAX)
            rc = hm_fail(error, HM_ECORRUPT, "a pack that the index names is gone from packs/");
    }
    packetfs_store_hand_give(store, hand);
    return rc;
}

int packetfs_store_has(struct packetfs_store *store, enum packetfs_kind kind,
                       const struct packetfs_id *id)
{
    struct packetfs_found found;
    size_t count = 0;
    int rc = packetfs_store_ready(store, NULL);

    if (!rc)
        rc = packetfs_index_find(store->index, kind, id, &found, 1, &count, NULL);
    return rc ? rc : count > 0 ? 0 : HM_ENOTFOUND;
}

uint64_t packetfs_store_position(struct packetfs_store *store, enum packetfs_kind kind,
                                 const struct packetfs_id *id)
{
    struct packetfs_found found;
    size_t count = 0;

    if (packetfs_store_ready(store, NULL) ||
        packetfs_index_find(store->index, kind, id, &found, 1, &count, NULL) || count == 0)
        return 0;
    return (uint64_t)found.pack.number << 32 | found.position;
}

static int objects_has(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id)
{
    return packetfs_store_has(ctx, kind, id);
}

static int objects_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                       struct hm_buf *out, struct hm_error *error)
{
    return packetfs_store_get(ctx, kind, id, out, error);
}

struct packetfs_objects packetfs_store_objects(struct packetfs_store *store)
{
    return (struct packetfs_objects){.ctx = store, .has = objects_has, .get = objects_get};
}
