#include "store/packetfs_dict_table.h"

#include "store/packetfs_store_inner.h"

#define ROOM_FIRST 8u
#define LOOKS_MAX  8 /* for one that is elsewhere each time it is looked for */

void packetfs_dict_table_init(struct packetfs_dict_table *table)
{
    (void)pthread_mutex_init(&table->lock, NULL);
}

void packetfs_dict_table_release(struct packetfs_dict_table *table)
{
    for (size_t i = 0; i < PACKETFS_DICTS_PREPARED_MAX; i++)
        packetfs_dict_free(table->prepared[i]);
    hm_free(table->places);
    (void)pthread_mutex_destroy(&table->lock);
}

/* --- where they lie: with the lock held --- */

static int place_add(struct packetfs_dict_table *table, const struct packetfs_dict_place *place)
{
    if (table->count == PACKETFS_DICT_PLACES_MAX)
        return 0;
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : ROOM_FIRST;
        void *places = hm_realloc(table->places, room * sizeof(*table->places));

        if (!places)
            return HM_ENOMEM;
        table->places = places;
        table->room = room;
    }
    table->places[table->count++] = *place;
    return 0;
}

/* A pack that cannot be read is remembered: it may hold what will be missed. */
static int look_pack(struct packetfs_store *store, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                     bool live, struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_footer footer = {0};
    struct hm_error why = {0};
    int rc = packetfs_store_file_take(store, name, &file, &why);

    if (!rc && file->header.kind == PACKETFS_DICTIONARY)
        rc = packetfs_pack_read_folder(file->fd, &store->keys, NULL, &footer, &rows, NULL, &why);
    packetfs_store_file_give(store, file);
    for (uint32_t i = 0; i < footer.objects && !rc; i++) {
        struct packetfs_dict_place place = {
            .id = rows[i].id, .position = rows[i].position, .length = rows[i].length, .live = live};

        memcpy(place.pack, name, sizeof(place.pack));
        rc = place_add(table, &place);
        if (rc)
            (void)hm_fail(&why, rc, "no memory to list the volume's dictionaries");
    }
    if (rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED || rc == HM_ENOTFOUND) {
        char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];

        hm_hex_encode(name, PACKETFS_PACK_NAME_BYTES, hex);
        (void)hm_fail(&table->why, HM_ECORRUPT, "pack %s: %s", hex, why.text);
        return 0;
    }
    if (rc && error)
        *error = why;
    return rc;
}

static void forget(struct packetfs_dict_table *table)
{
    table->count = 0;
    table->looked = false;
    memset(&table->why, 0, sizeof(table->why));
}

/* Fills the table anew, unless nothing was written since it was filled. */
static int look(struct packetfs_store *store, struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    struct packetfs_index *index = store->index;
    uint64_t stamp;
    size_t count = 0;
    int rc = table->held ? 0 : packetfs_store_ready(store, error);

    if (rc || table->held)
        return rc;
    stamp = packetfs_index_stamp(index);
    if (table->looked && table->index == index && table->stamp == stamp)
        return 0;
    rc = packetfs_index_packs(index, &packs, &count, error);
    if (rc)
        return rc;
    forget(table);
    for (size_t i = 0; i < count && !rc; i++) {
        if (packs[i].kind == PACKETFS_DICTIONARY && packs[i].state != PACKETFS_PACK_DEAD)
            rc = look_pack(store, packs[i].name, packs[i].state == PACKETFS_PACK_LIVE, error);
    }
    table->looked = !rc;
    table->index = index;
    table->stamp = stamp;
    return rc;
}

int packetfs_dict_table_hold(struct packetfs_store *store, struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    HM_AUTOFREE uint8_t(*names)[PACKETFS_PACK_NAME_BYTES] = NULL;
    size_t count = 0;
    int rc = packetfs_store_pack_names(store, &names, &count, error);

    if (rc)
        return rc;
    (void)pthread_mutex_lock(&table->lock);
    forget(table);
    table->held = true;
    for (size_t i = 0; i < count && !rc; i++) {
        packetfs_store_file_drop(store, names[i]);
        rc = look_pack(store, names[i], false, error);
    }
    (void)pthread_mutex_unlock(&table->lock);
    return rc;
}

void packetfs_dict_table_let(struct packetfs_store *store)
{
    (void)pthread_mutex_lock(&store->dicts.lock);
    store->dicts.held = false;
    forget(&store->dicts);
    (void)pthread_mutex_unlock(&store->dicts.lock);
}

/* --- reading one --- */

static int load_object(struct packetfs_store *store, const struct packetfs_dict_place *place,
                       struct hm_buf *out, struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    struct packetfs_hand *hand = NULL;
    struct hm_slice frame;
    int rc = packetfs_store_hand_take(store, &hand, error);

    if (!rc)
        rc = packetfs_store_file_take(store, place->pack, &file, error);
    if (!rc)
        rc = packetfs_hand_read_file(store, hand, file, &place->id, place->position, place->length,
                                     &frame, error);
    if (!rc)
        rc = packetfs_hand_unpack(store, hand, PACKETFS_DICTIONARY, &place->id, frame, out, error);
    packetfs_store_file_give(store, file);
    packetfs_store_hand_give(store, hand);
    if (rc == HM_ENOTFOUND)
        packetfs_store_file_drop(store, place->pack);
    return rc;
}

static int load(struct packetfs_store *store, const struct packetfs_dict_place *place,
                struct packetfs_dict **out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    int rc = load_object(store, place, &object, error);

    return rc ? rc : packetfs_dict_new(&place->id, hm_buf_slice(&object), 0, out, error);
}

static bool is_damage(int rc)
{
    return rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED || rc == HM_ENOTFOUND;
}

/* Any copy that is sound. HM_ENOTFOUND: there is none, and why is empty or says what is wrong with the last. */
static int load_any(struct packetfs_store *store, uint64_t ref, struct packetfs_dict **out,
                    struct hm_error *why)
{
    struct packetfs_dict_table *table = &store->dicts;

    why->text[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        int rc;

        if (packetfs_dict_ref(&table->places[i].id) != ref)
            continue;
        rc = load(store, &table->places[i], out, why);
        if (!is_damage(rc))
            return rc;
    }
    return HM_ENOTFOUND;
}

/* It may be new, or have moved, or a repair have put another index in the place of the one that is open. As load_any. */
static int load_anew(struct packetfs_store *store, uint64_t ref, struct packetfs_dict **out,
                     struct hm_error *why)
{
    struct packetfs_dict_table *table = &store->dicts;
    int rc = HM_ENOTFOUND;

    for (int i = 0; i < LOOKS_MAX && rc == HM_ENOTFOUND; i++) {
        const struct packetfs_index *index = table->looked ? table->index : NULL;
        uint64_t stamp = table->stamp;

        rc = i > 0 ? packetfs_store_refresh(store, why) : 0;
        if (!rc)
            rc = look(store, why);
        if (!rc && (table->index != index || table->stamp != stamp))
            rc = load_any(store, ref, out, why);
        else if (!rc && i > 0)
            return HM_ENOTFOUND; /* looked at already */
        else if (!rc)
            rc = HM_ENOTFOUND;
    }
    return rc;
}

static int lost(struct packetfs_store *store, uint64_t ref, const struct hm_error *why,
                struct hm_error *error)
{
    const char *text = why->text[0] ? why->text : store->dicts.why.text;

    return hm_fail(error, HM_ECORRUPT,
                   "the dictionary %016llx is %s, and nothing compressed with it can be read%s%s",
                   (unsigned long long)ref, why->text[0] ? "damaged" : "lost", text[0] ? ": " : "",
                   text);
}

static struct packetfs_dict *find_prepared(struct packetfs_dict_table *table, uint64_t ref)
{
    for (size_t i = 0; i < PACKETFS_DICTS_PREPARED_MAX; i++) {
        if (table->prepared[i] && table->prepared[i]->ref == ref)
            return table->prepared[i];
    }
    return NULL;
}

/* In the place of the one that was not used for longest; with all in use it is kept by nobody. */
static void keep(struct packetfs_dict_table *table, struct packetfs_dict *dict)
{
    struct packetfs_dict **best = NULL;

    for (size_t i = 0; i < PACKETFS_DICTS_PREPARED_MAX; i++) {
        struct packetfs_dict **slot = &table->prepared[i];

        if (*slot && (*slot)->users > 0)
            continue;
        if (!best || !*slot || (*best && (*slot)->used < (*best)->used))
            best = slot;
    }
    if (!best)
        return;
    packetfs_dict_free(*best);
    *best = dict;
    dict->kept = true;
}

int packetfs_dict_take(struct packetfs_store *store, uint64_t ref, struct packetfs_dict **out,
                       struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    struct packetfs_dict *dict;
    struct hm_error why = {0};
    int rc = 0;

    (void)pthread_mutex_lock(&table->lock);
    dict = find_prepared(table, ref);
    if (!dict) {
        rc = load_any(store, ref, &dict, &why);
        if (rc == HM_ENOTFOUND && !table->held)
            rc = load_anew(store, ref, &dict, &why);
        if (!rc)
            keep(table, dict);
    }
    if (!rc) {
        dict->users++;
        dict->used = ++table->clock;
        *out = dict;
    } else if (rc == HM_ENOTFOUND) {
        rc = lost(store, ref, &why, error);
    } else if (error) {
        *error = why;
    }
    (void)pthread_mutex_unlock(&table->lock);
    return rc;
}

void packetfs_dict_give(struct packetfs_store *store, struct packetfs_dict *dict)
{
    bool last;

    if (!dict)
        return;
    (void)pthread_mutex_lock(&store->dicts.lock);
    dict->users--;
    last = dict->users == 0 && !dict->kept;
    (void)pthread_mutex_unlock(&store->dicts.lock);
    if (last)
        packetfs_dict_free(dict);
}

int packetfs_dict_has(struct packetfs_store *store, uint64_t ref, struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    bool here = false;
    int rc;

    (void)pthread_mutex_lock(&table->lock);
    rc = look(store, error);
    for (size_t i = 0; i < table->count && !rc && !here; i++)
        here = packetfs_dict_ref(&table->places[i].id) == ref;
    (void)pthread_mutex_unlock(&table->lock);
    return rc ? rc : here ? 0 : HM_ENOTFOUND;
}

/* The object of the newest of a class; *best is then its place. With the lock held. */
static int find_newest(struct packetfs_store *store, unsigned class,
                       const struct packetfs_dict_place **best, uint32_t *sequence,
                       struct hm_buf *object, struct hm_error *error)
{
    const struct packetfs_dict_table *table = &store->dicts;

    for (size_t i = 0; i < table->count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        struct packetfs_dict_head head;
        int rc;

        if (!table->places[i].live)
            continue;
        rc = load_object(store, &table->places[i], &bytes, error);
        if (!rc)
            rc = packetfs_dict_parse(hm_buf_slice(&bytes), &head, error);
        if (is_damage(rc)) /* `check` names it; nothing more is made with it */
            continue;
        if (rc)
            return rc;
        if (head.class != class || (*best && head.sequence <= *sequence))
            continue;
        *best = &table->places[i];
        *sequence = head.sequence;
        hm_buf_release(object);
        *object = bytes;
        bytes = (struct hm_buf){0};
    }
    return 0;
}

int packetfs_dict_newest(struct packetfs_store *store, unsigned class, int level,
                         struct packetfs_dict **out, uint32_t *sequence, size_t *count,
                         struct hm_error *error)
{
    struct packetfs_dict_table *table = &store->dicts;
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    const struct packetfs_dict_place *best = NULL;
    struct packetfs_dict *dict = NULL;
    struct hm_error why = {0};
    uint32_t highest = 0;
    int rc;

    (void)pthread_mutex_lock(&table->lock);
    rc = look(store, &why);
    if (!rc)
        rc = find_newest(store, class, &best, &highest, &object, &why);
    if (!rc && best)
        rc = packetfs_dict_new(&best->id, hm_buf_slice(&object), level, &dict, &why);
    rc = is_damage(rc) && best ? 0 : rc;
    *count = table->count;
    (void)pthread_mutex_unlock(&table->lock);
    if (rc) {
        if (error)
            *error = why;
        return rc;
    }
    *sequence = highest < UINT32_MAX ? highest + 1 : highest;
    *out = dict;
    return 0;
}
