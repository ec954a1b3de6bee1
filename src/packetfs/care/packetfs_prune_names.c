#include "care/packetfs_prune_inner.h"

#define ROOM_FIRST 16u

static size_t place(const struct packetfs_prune_names *names, uint64_t ref)
{
    size_t at = 0;

    while (at < names->count && names->refs[at] < ref)
        at++;
    return at;
}

static int add(struct packetfs_prune_names *names, uint64_t ref)
{
    size_t at = place(names, ref);

    if (at < names->count && names->refs[at] == ref)
        return 0;
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : ROOM_FIRST;
        uint64_t *refs = hm_realloc(names->refs, room * sizeof(*refs));

        if (!refs)
            return HM_ENOMEM;
        names->refs = refs;
        names->room = room;
    }
    memmove(names->refs + at + 1, names->refs + at, (names->count - at) * sizeof(*names->refs));
    names->refs[at] = ref;
    names->count++;
    return 0;
}

int packetfs_prune_names_add(struct packetfs_prune *prune, const struct packetfs_pack_names *names,
                             struct hm_error *error)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (add(&prune->names, names->refs[i]))
            return hm_fail(error, HM_ENOMEM, "no memory to mark dictionaries");
    }
    return 0;
}

bool packetfs_prune_needs(const struct packetfs_prune *prune, enum packetfs_kind kind,
                          const struct packetfs_id *id)
{
    const struct packetfs_prune_names *names = &prune->names;
    size_t at;

    if (kind != PACKETFS_DICTIONARY)
        return packetfs_mark_has(prune->mark, kind, id);
    at = place(names, packetfs_dict_ref(id));
    return names->all || (at < names->count && names->refs[at] == packetfs_dict_ref(id));
}

/* --- anew --- */

static bool is_ready(const struct packetfs_pack_info *pack, const struct packetfs_pack_info *ready,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ready[i].number == pack->number)
            return true;
    }
    return false;
}

/* A pack that goes needs them for what is copied out of it, one that stays for all. */
static int find_in(struct packetfs_prune *prune, const struct packetfs_pack_info *pack, bool goes,
                   struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_names names;
    bool needed = !goes;
    int rc = packetfs_prune_folder(prune->store, pack, &file, &rows, &names, error);

    packetfs_store_file_give(prune->store, file);
    if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT) {
        prune->names.all = true;
        return 0;
    }
    if (rc)
        return rc;
    for (uint32_t i = 0; i < pack->objects && !needed && names.count > 0; i++)
        needed = packetfs_mark_has(prune->mark, pack->kind, &rows[i].id);
    return needed ? packetfs_prune_names_add(prune, &names, error) : 0;
}

int packetfs_prune_names_find(struct packetfs_prune *prune, const struct packetfs_pack_info *ready,
                              size_t count, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    size_t pack_count = 0;
    bool any = false;
    int rc;

    for (size_t i = 0; i < count; i++)
        any = any || ready[i].kind == PACKETFS_DICTIONARY;
    if (!any)
        return 0;
    prune->names.count = 0;
    prune->names.all = false;
    rc = packetfs_index_packs(prune->store->index, &packs, &pack_count, error);
    for (size_t i = 0; i < pack_count && !rc; i++) {
        if (packs[i].kind != PACKETFS_DICTIONARY && packs[i].state != PACKETFS_PACK_DEAD)
            rc = find_in(prune, &packs[i],
                         packs[i].state == PACKETFS_PACK_CONDEMNED &&
                             is_ready(&packs[i], ready, count),
                         error);
    }
    return rc;
}
