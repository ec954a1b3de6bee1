#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_lmdb_birth.h"
#include "store_lmdb_error.h"
#include "store_lmdb_lock.h"

#define BIRTH_MAP_BYTES ((size_t)1 << 20) /* while it is empty; each opening sets its own */

static int make_env(const char *nursery, bool scratch, struct hm_error *error)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);

    if (!rc)
        rc = mdb_env_set_mapsize(env, BIRTH_MAP_BYTES);
    if (!rc)
        rc = mdb_env_open(env, nursery, MDB_NOLOCK | (scratch ? MDB_NOSYNC : 0u), 0600);
    if (!rc && !scratch)
        rc = mdb_env_sync(env, 1);
    if (env)
        mdb_env_close(env);
    return rc ? store_lmdb_fail(error, rc, "create", nursery) : 0;
}

int store_lmdb_birth(const char *path, bool scratch, struct hm_error *error)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", path);
    HM_AUTOFREE char *nursery = hm_asprintf("%s/NEW", path);
    HM_AUTOFREE char *made = hm_asprintf("%s/NEW/data.mdb", path);
    struct stat info;
    int rc;

    if (!data || !nursery || !made)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    if (stat(data, &info) == 0 && info.st_size > 0)
        return 0;
    rc = hm_remove_tree(nursery, error); /* left by a power cut */
    if (!rc)
        rc = hm_mkdir_all(nursery, 0700, error);
    if (!rc)
        rc = make_env(nursery, scratch, error);
    if (!rc && rename(made, data))
        rc = hm_fail_errno(error, HM_EIO, "the store %s: data.mdb", path);
    if (!rc && !scratch)
        rc = store_lmdb_sync_folder(path, error);
    return rc ? rc : hm_remove_tree(nursery, error);
}
