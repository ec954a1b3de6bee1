#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "care/packetfs_check_inner.h"

/* A pack may be rewritten by a prune beside us: what does not fit is looked at again before it is told. */
static bool still_there(struct packetfs_check *check, const struct packetfs_pack_info *pack)
{
    struct packetfs_pack_info now;

    return packetfs_index_pack(check->store->index, pack->name, &now, NULL) == 0 &&
           now.state == pack->state;
}

/* Every object of the folder is in the index where it lies. */
static int check_items(struct packetfs_check *check, const struct packetfs_pack_info *pack,
                       const struct packetfs_pack_row *rows, const char *hex,
                       struct hm_error *error)
{
    uint64_t missing = 0;

    for (uint32_t i = 0; i < pack->objects; i++) {
        struct packetfs_found found[PACKETFS_COPIES_MAX];
        size_t count = 0;
        bool here = false;
        int rc = packetfs_index_find(check->store->index, pack->kind, &rows[i].id, found,
                                     PACKETFS_COPIES_MAX, &count, error);

        if (rc)
            return rc;
        for (size_t n = 0; n < count && !here; n++)
            here = found[n].pack.number == pack->number && found[n].position == rows[i].position &&
                   found[n].length == rows[i].length;
        missing += !here && count < PACKETFS_COPIES_MAX;
    }
    if (missing > 0 && still_there(check, pack))
        packetfs_check_finding(check, "pack %s: the index lacks %llu of its objects: `repair`", hex,
                               (unsigned long long)missing);
    return 0;
}

/* The dictionaries that its frames name are there; whether they are sound, full tells. */
static int check_names(struct packetfs_check *check, const struct packetfs_pack_info *pack,
                       const struct packetfs_pack_names *names, const char *hex,
                       struct hm_error *error)
{
    for (uint32_t i = 0; i < names->count; i++) {
        int rc = packetfs_dict_has(check->store, names->refs[i], error);

        if (rc && rc != HM_ENOTFOUND)
            return rc;
        if (rc && still_there(check, pack))
            packetfs_check_finding(check,
                                   "pack %s: the dictionary %016llx, which some of its objects are "
                                   "compressed with, is lost",
                                   hex, (unsigned long long)names->refs[i]);
    }
    return 0;
}

static int check_open_pack(struct packetfs_check *check, const struct packetfs_pack_info *pack,
                           const struct packetfs_file_slot *file, const char *hex, bool full,
                           struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_footer footer;
    struct packetfs_pack_header header;
    struct packetfs_pack_names names;
    uint64_t bad = 0;
    int rc = packetfs_pack_read_folder(file->fd, &check->store->keys, &header, &footer, &rows,
                                       &names, error);

    if (rc)
        return rc;
    if (header.kind != pack->kind || footer.objects != pack->objects ||
        (uint64_t)footer.file_length * PACKETFS_UNIT_BYTES != pack->bytes)
        return hm_fail(error, HM_ECORRUPT, "it is not the pack that the index names");
    check->result->objects += footer.objects;
    rc = check_names(check, pack, &names, hex, error);
    if (rc || !full)
        return rc;
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    rc = check_items(check, pack, rows, hex, error);
    return rc ? rc : packetfs_check_objects(check, file, rows, &footer, NULL, &bad, error);
}

static int check_pack(struct packetfs_check *check, const struct packetfs_pack_info *pack,
                      bool full, struct hm_error *error)
{
    char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];
    struct packetfs_file_slot *file = NULL;
    struct hm_error why = {0};
    int rc;

    if (pack->state == PACKETFS_PACK_DEAD)
        return 0;
    hm_hex_encode(pack->name, PACKETFS_PACK_NAME_BYTES, hex);
    packetfs_store_file_drop(check->store, pack->name); /* look at the disk, not at what is open */
    rc = packetfs_store_file_take(check->store, pack->name, &file, &why);
    if (!rc)
        rc = check_open_pack(check, pack, file, hex, full, &why);
    packetfs_store_file_give(check->store, file);
    check->result->packs++;
    if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED) {
        if (still_there(check, pack))
            packetfs_check_finding(check, "pack %s: %s", hex, why.text);
        return 0;
    }
    if (rc && error)
        *error = why;
    return rc;
}

static int check_packs(struct packetfs_check *check, bool full, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    size_t count = 0;
    int rc = packetfs_index_packs(check->store->index, &packs, &count, error);

    for (size_t i = 0; i < count && !rc; i++) {
        check->report->bytes_total += full ? packs[i].bytes : 0;
        check->report->files_total++;
    }
    for (size_t i = 0; i < count && !rc; i++) {
        rc = check_pack(check, &packs[i], full, error);
        check->report->files_done++;
        if (!rc && !packetfs_report_tick(check->report))
            rc = hm_fail(error, HM_ECANCELLED, "check was stopped");
    }
    return rc;
}

/* --- what lies there without a row --- */

static int check_stray(struct packetfs_check *check, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                       struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    HM_AUTOCLOSE int fd = -1;
    struct hm_error why = {0};
    struct packetfs_pack_info info;
    int rc = packetfs_store_pack_path(check->store, name, path, error);

    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return access(path, F_OK) ? 0 : packetfs_store_fail(error, "open", path);
    rc = packetfs_pack_read_folder(fd, &check->store->keys, NULL, NULL, &rows, NULL, &why);
    if (rc == HM_ENOMEM || rc == HM_EIO)
        return hm_fail(error, rc, "%s: %s", path, why.text);
    /* A whole one is a writer's that was killed: the next writer takes it in. */
    if (rc && packetfs_index_pack(check->store->index, name, &info, NULL) == HM_ENOTFOUND)
        packetfs_check_finding(check, "%s is in no index and no whole pack: %s", path, why.text);
    return 0;
}

static int name_compare(const void *a, const void *b)
{
    return memcmp(((const struct packetfs_pack_info *)a)->name,
                  ((const struct packetfs_pack_info *)b)->name, PACKETFS_PACK_NAME_BYTES);
}

static int check_strays(struct packetfs_check *check, struct hm_error *error)
{
    HM_AUTOFREE uint8_t(*names)[PACKETFS_PACK_NAME_BYTES] = NULL;
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    size_t name_count = 0;
    size_t pack_count = 0;
    int rc = packetfs_store_pack_names(check->store, &names, &name_count, error);

    if (!rc)
        rc = packetfs_index_packs(check->store->index, &packs, &pack_count, error);
    if (rc)
        return rc;
    if (pack_count > 1)
        qsort(packs, pack_count, sizeof(*packs), name_compare);
    for (size_t i = 0; i < name_count && !rc; i++) {
        struct packetfs_pack_info key;

        memcpy(key.name, names[i], sizeof(key.name));
        if (!bsearch(&key, packs, pack_count, sizeof(*packs), name_compare))
            rc = check_stray(check, names[i], error);
    }
    return rc;
}

/* Items without a pack, or too few: only where nobody changes the index meanwhile does the sum say something. */
static int check_sum(struct packetfs_check *check, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    uint64_t items = 0;
    uint64_t again = 0;
    uint64_t sum = 0;
    size_t count = 0;
    int rc = packetfs_index_count(check->store->index, &items, error);

    if (!rc)
        rc = packetfs_index_packs(check->store->index, &packs, &count, error);
    if (!rc)
        rc = packetfs_index_count(check->store->index, &again, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++)
        sum += packs[i].state == PACKETFS_PACK_DEAD ? 0 : packs[i].objects;
    if (items == again && items != sum)
        packetfs_check_finding(check, "the index has %llu items for %llu objects: `repair`",
                               (unsigned long long)items, (unsigned long long)sum);
    return 0;
}

int packetfs_store_check(struct packetfs_store *store, bool full,
                         const struct packetfs_watch *watch, struct packetfs_check_result *out,
                         struct hm_error *error)
{
    struct packetfs_check_result result = {0};
    struct packetfs_report report;
    struct packetfs_check check = {.store = store, .report = &report, .result = &result};
    int rc = packetfs_store_refresh(store, error);

    if (!rc)
        rc = packetfs_store_hand_take(store, &check.hand, error);
    if (rc)
        return rc;
    packetfs_report_init(&report, watch, "check");
    rc = check_packs(&check, full, error);
    if (!rc)
        rc = check_sum(&check, error);
    if (!rc)
        rc = check_strays(&check, error);
    if (!rc)
        rc = packetfs_check_snapshots(&check, NULL, error);
    packetfs_report_end(&report);
    packetfs_report_release(&report);
    packetfs_store_hand_give(store, check.hand);
    hm_buf_release(&check.bytes);
    if (rc)
        return rc;
    *out = result;
    if (result.findings > 0)
        return hm_fail(error, HM_ECORRUPT,
                       "check found %llu things wrong: `repair` saves what there is",
                       (unsigned long long)result.findings);
    return 0;
}

int packetfs_store_stats(struct packetfs_store *store, struct packetfs_stats *out,
                         struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    HM_AUTOFREE struct packetfs_snapshot *snapshots = NULL;
    struct packetfs_stats stats = {0};
    size_t snapshot_count = 0;
    size_t count = 0;
    uint64_t lowest;
    int rc = packetfs_store_refresh(store, error);

    if (!rc)
        rc = packetfs_index_packs(store->index, &packs, &count, error);
    if (!rc)
        rc = packetfs_snapshot_list(store, &snapshots, &snapshot_count, error);
    if (!rc)
        rc = packetfs_alive_count(store, NULL, &stats.writers, &lowest, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (packs[i].state == PACKETFS_PACK_DEAD)
            continue;
        stats.packs++;
        stats.packs_condemned += packs[i].state == PACKETFS_PACK_CONDEMNED;
        stats.bytes_packs += packs[i].bytes;
        if (packs[i].kind == PACKETFS_PATTERN)
            stats.patterns += packs[i].objects;
        else if (packs[i].kind == PACKETFS_REFERENCE)
            stats.references += packs[i].objects;
        else
            stats.dictionaries += packs[i].objects;
    }
    stats.snapshots = snapshot_count;
    stats.bytes_index = packetfs_index_bytes(store->index);
    *out = stats;
    return 0;
}
