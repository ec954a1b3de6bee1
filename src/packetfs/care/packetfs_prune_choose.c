#include "care/packetfs_prune_inner.h"

#define SMALL_BYTES \
    (PACKETFS_PACK_BYTES / 8) /* packs smaller than this are joined when there are many */
#define SMALL_MANY 8u

int packetfs_prune_folder(struct packetfs_store *store, const struct packetfs_pack_info *pack,
                          struct packetfs_file_slot **file, struct packetfs_pack_row **rows,
                          struct packetfs_pack_names *names, struct hm_error *error)
{
    struct packetfs_pack_footer footer;
    char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];
    int rc = packetfs_store_file_take(store, pack->name, file, error);

    if (rc)
        return rc;
    rc = packetfs_pack_read_folder((*file)->fd, &store->keys, NULL, &footer, rows, names, error);
    if (!rc && footer.objects != pack->objects) {
        hm_free(HM_TAKE(*rows));
        rc = hm_fail(error, HM_ECORRUPT, "it has %u objects, the index says %u", footer.objects,
                     pack->objects);
    }
    if (rc) {
        packetfs_store_file_give(store, HM_TAKE(*file));
        hm_hex_encode(pack->name, PACKETFS_PACK_NAME_BYTES, hex);
        return hm_error_prefix(error, rc, "pack %s", hex);
    }
    return 0;
}

struct usage {
    uint64_t objects_live, objects_unused;
    uint64_t bytes_live, bytes_unused; /* sealed */
    bool marked; /* something is needed, if only as a second copy */
};

/* A copy in a pack with a lower number (or earlier in this one) was counted already, and is still there. */
static bool is_second_copy(struct packetfs_prune *prune, const struct packetfs_pack_info *pack,
                           const struct packetfs_pack_row *row)
{
    struct packetfs_found found[PACKETFS_COPIES_MAX];
    size_t count = 0;

    if (!packetfs_bloom_add(&prune->seen, &row->id))
        return false;
    if (packetfs_index_find(prune->store->index, pack->kind, &row->id, found, PACKETFS_COPIES_MAX,
                            &count, NULL))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (found[i].pack.state == PACKETFS_PACK_LIVE &&
            (found[i].pack.number < pack->number ||
             (found[i].pack.number == pack->number && found[i].position < row->position)))
            return true;
    }
    return false;
}

static void usage_of(struct packetfs_prune *prune, const struct packetfs_pack_info *pack,
                     const struct packetfs_pack_row *rows, struct usage *out)
{
    for (uint32_t i = 0; i < pack->objects; i++) {
        uint64_t bytes = (uint64_t)rows[i].length * PACKETFS_UNIT_BYTES;

        bool needed = packetfs_prune_needs(prune, pack->kind, &rows[i].id);

        out->marked = out->marked || needed;
        if (needed && !is_second_copy(prune, pack, &rows[i])) {
            out->objects_live++;
            out->bytes_live += bytes;
        } else {
            out->objects_unused++;
            out->bytes_unused += bytes;
        }
    }
}

static bool worth_it(const struct packetfs_prune *prune, const struct usage *usage)
{
    uint64_t all = usage->bytes_live + usage->bytes_unused;

    return usage->bytes_unused > 0 &&
           usage->bytes_unused * 100 > all * prune->options->unused_percent;
}

/* Whether the pack may be somebody's who is still at it: then its objects are in no snapshot yet. */
static bool is_open_to_choice(const struct packetfs_prune *prune,
                              const struct packetfs_pack_info *pack)
{
    return pack->state == PACKETFS_PACK_LIVE && pack->born < prune->lowest;
}

static void count_small(const struct packetfs_prune *prune, size_t small[PACKETFS_STORE_KINDS])
{
    for (size_t i = 0; i < prune->pack_count; i++) {
        if (is_open_to_choice(prune, &prune->packs[i]) && prune->packs[i].bytes < SMALL_BYTES)
            small[prune->packs[i].kind]++;
    }
}

/* A pack whose folder does not open is left to `check` and `repair`. */
static int look_at(struct packetfs_prune *prune, const struct packetfs_pack_info *pack,
                   struct usage *usage, bool *known, struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_names names;
    struct hm_error why = {0};
    int rc = packetfs_prune_folder(prune->store, pack, &file, &rows, &names, &why);

    *known = false;
    if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT) {
        packetfs_report_finding(prune->report, "%s", why.text);
        prune->names.all = true;
        return 0;
    }
    if (rc) {
        if (error)
            *error = why;
        return rc;
    }
    packetfs_store_file_give(prune->store, file);
    usage_of(prune, pack, rows, usage);
    *known = true;
    return usage->marked ? packetfs_prune_names_add(prune, &names, error) : 0;
}

struct choice {
    size_t *list; /* places in prune->packs */
    size_t count;
    size_t small[PACKETFS_STORE_KINDS];
};

static int choose_one(struct packetfs_prune *prune, size_t at, struct choice *choice,
                      struct hm_error *error)
{
    const struct packetfs_pack_info *pack = &prune->packs[at];
    struct packetfs_prune_result *result = prune->result;
    struct usage usage = {0};
    bool known = false;
    bool join = pack->bytes < SMALL_BYTES && choice->small[pack->kind] >= SMALL_MANY;
    int rc = look_at(prune, pack, &usage, &known, error);

    if (rc)
        return rc;
    if (!packetfs_report_tick(prune->report))
        return hm_fail(error, HM_ECANCELLED, "prune was stopped; what it did stays");
    result->objects_live += usage.objects_live;
    if (!known || (!worth_it(prune, &usage) && !join))
        return 0;
    choice->list[choice->count++] = at;
    if (prune->options->dry_run) {
        result->objects_removed += usage.objects_unused;
        result->packs_removed++;
        result->bytes_rewritten += usage.bytes_live;
        result->bytes_freed += pack->bytes - usage.bytes_live;
    }
    return 0;
}

/* What is not open to choice stays as it is, with all the dictionaries that it names. */
static int keep_one(struct packetfs_prune *prune, const struct packetfs_pack_info *pack,
                    struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_names names;
    int rc;

    if (pack->state == PACKETFS_PACK_LIVE)
        prune->result->objects_live += pack->objects;
    if (pack->state == PACKETFS_PACK_DEAD || !prune->dictionaries)
        return 0;
    rc = packetfs_prune_folder(prune->store, pack, &file, &rows, &names, error);
    packetfs_store_file_give(prune->store, file);
    if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT)
        prune->names.all = true;
    else if (!rc)
        rc = packetfs_prune_names_add(prune, &names, error);
    return rc == HM_ENOTFOUND || rc == HM_ECORRUPT ? 0 : rc;
}

int packetfs_prune_choose(struct packetfs_prune *prune, size_t **chosen, size_t *count,
                          struct hm_error *error)
{
    HM_AUTOFREE size_t *list = hm_malloc((prune->pack_count + 1) * sizeof(*list));
    struct choice choice = {.list = list};

    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory to prune");
    count_small(prune, choice.small);
    prune->dictionaries = prune->pack_count > 0 &&
                          prune->packs[prune->pack_count - 1].kind == PACKETFS_DICTIONARY;
    for (size_t i = 0; i < prune->pack_count; i++) {
        const struct packetfs_pack_info *pack = &prune->packs[i];
        int rc = is_open_to_choice(prune, pack) ? choose_one(prune, i, &choice, error)
                                                : keep_one(prune, pack, error);

        if (rc)
            return rc;
    }
    *chosen = HM_TAKE(list);
    *count = choice.count;
    return 0;
}
