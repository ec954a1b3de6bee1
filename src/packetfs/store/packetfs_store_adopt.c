#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_store_inner.h"

static int info_compare(const void *a, const void *b)
{
    return memcmp(((const struct packetfs_pack_info *)a)->name,
                  ((const struct packetfs_pack_info *)b)->name, PACKETFS_PACK_NAME_BYTES);
}

/* In one transaction: prune takes a pack's file away before its row, so a file without a row is nobody's. */
static int adopt_enter(struct packetfs_store *store, const char *path,
                       struct packetfs_pack_info *info, const struct packetfs_pack_row *rows,
                       struct hm_error *error)
{
    struct packetfs_index_txn *txn = NULL;
    bool added = false;
    int rc = packetfs_index_begin(store->index, &txn, error);

    if (rc)
        return rc;
    if (access(path, F_OK) == 0)
        rc = packetfs_index_add(txn, info, rows, &added, error);
    if (rc || !added) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}

static int adopt_one(struct packetfs_store *store, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                     struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_pack_info info = {0};
    struct packetfs_pack_header header;
    struct packetfs_pack_footer footer;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    HM_AUTOCLOSE int fd = -1;
    int rc = packetfs_store_pack_path(store, name, path, error);

    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0; /* gone, or not for us: `check` looks closer */
    rc = packetfs_pack_read_folder(fd, &store->keys, &header, &footer, &rows, NULL, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : 0;
    memcpy(info.name, name, sizeof(info.name));
    info.kind = header.kind;
    info.objects = footer.objects;
    info.bytes = (uint64_t)footer.file_length * PACKETFS_UNIT_BYTES;
    return adopt_enter(store, path, &info, rows, error);
}

static int name_compare(const void *a, const void *b)
{
    return memcmp(a, b, PACKETFS_PACK_NAME_BYTES);
}

/* Whether a live pack's file is gone. In the transaction: a pack has its name before it has its row. */
static bool is_lost(const struct packetfs_store *store, const struct packetfs_pack_info *pack)
{
    char path[PACKETFS_PATH_BYTES];

    return packetfs_store_pack_path(store, pack->name, path, NULL) == 0 &&
           access(path, F_OK) != 0 && errno == ENOENT;
}

/* Packs that somebody has removed are condemned: what they had is stored again when it comes by. */
static int give_up_lost(struct packetfs_store *store, const struct packetfs_pack_info *packs,
                        size_t count, uint8_t (*names)[PACKETFS_PACK_NAME_BYTES], size_t name_count,
                        struct hm_error *error)
{
    struct packetfs_index_txn *txn = NULL;
    uint64_t generation = 0;
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++) {
        if (packs[i].state != PACKETFS_PACK_LIVE ||
            (name_count > 0 &&
             bsearch(packs[i].name, names, name_count, sizeof(*names), name_compare)))
            continue;
        if (!txn) {
            rc = packetfs_index_begin(store->index, &txn, error);
            if (!rc)
                rc = packetfs_index_next_generation(txn, &generation, error);
        }
        if (!rc && is_lost(store, &packs[i]))
            rc = packetfs_index_condemn(txn, packs[i].number, generation, error);
    }
    if (rc || !txn) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}

int packetfs_store_adopt(struct packetfs_store *store, struct hm_error *error)
{
    HM_AUTOFREE uint8_t(*names)[PACKETFS_PACK_NAME_BYTES] = NULL;
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    size_t name_count = 0;
    size_t pack_count = 0;
    int rc = packetfs_store_pack_names(store, &names, &name_count, error);

    if (!rc)
        rc = packetfs_index_packs(store->index, &packs, &pack_count, error);
    if (!rc)
        rc = give_up_lost(store, packs, pack_count, names, name_count, error);
    if (rc)
        return rc;
    if (pack_count > 1)
        qsort(packs, pack_count, sizeof(*packs), info_compare);
    for (size_t i = 0; i < name_count && !rc; i++) {
        struct packetfs_pack_info key;

        memcpy(key.name, names[i], sizeof(key.name));
        if (!bsearch(&key, packs, pack_count, sizeof(*packs), info_compare))
            rc = adopt_one(store, names[i], error);
    }
    return rc;
}
