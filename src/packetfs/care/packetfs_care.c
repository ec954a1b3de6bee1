/* The public functions that are the store's own, under their public names. */
#include "care/packetfs_care.h"
#include "store/packetfs_volume.h"

void packetfs_free(void *memory)
{
    hm_free(memory);
}

static int writable(const struct packetfs_volume *volume, struct packetfs_error *error)
{
    return volume->read_only ? hm_fail(packetfs_error_own(error), HM_EPERM,
                                       "the volume was opened for reading only")
                             : 0;
}

int packetfs_log(struct packetfs_volume *volume, struct packetfs_snapshot **out, size_t *count,
                 struct packetfs_error *error)
{
    return packetfs_snapshot_list(volume->store, out, count, packetfs_error_own(error));
}

int packetfs_find(struct packetfs_volume *volume, const char *name, struct packetfs_snapshot *out,
                  struct packetfs_error *error)
{
    return packetfs_snapshot_find(volume->store, name, out, packetfs_error_own(error));
}

int packetfs_remove(struct packetfs_volume *volume, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                    struct packetfs_error *error)
{
    int result = writable(volume, error);

    return result == 0 ? packetfs_snapshot_remove(volume->store, id, packetfs_error_own(error))
                       : result;
}

int packetfs_prune(struct packetfs_volume *volume, const struct packetfs_prune_options *options,
                   const struct packetfs_watch *watch, struct packetfs_prune_result *result_out,
                   struct packetfs_error *error)
{
    int result = writable(volume, error);

    return result == 0 ? packetfs_store_prune(volume->store, options, watch, result_out,
                                              packetfs_error_own(error))
                       : result;
}

int packetfs_check(struct packetfs_volume *volume, bool full, const struct packetfs_watch *watch,
                   struct packetfs_check_result *result, struct packetfs_error *error)
{
    return packetfs_store_check(volume->store, full, watch, result, packetfs_error_own(error));
}

int packetfs_repair(struct packetfs_volume *volume, const struct packetfs_watch *watch,
                    struct packetfs_check_result *result_out, struct packetfs_error *error)
{
    int result = writable(volume, error);

    return result == 0
               ? packetfs_store_repair(volume->store, watch, result_out, packetfs_error_own(error))
               : result;
}

int packetfs_count(struct packetfs_volume *volume, struct packetfs_stats *out,
                   struct packetfs_error *error)
{
    return packetfs_store_stats(volume->store, out, packetfs_error_own(error));
}
