/* From a backup to a data folder, and the check that a backup is good: without a running node. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "node_backup.h"
#include "node_idle.h"

#define NODE_RESTORE_STEP_BYTES 65536

/* --- unpacking ------------------------------------------------------------------------------------------ */

/* Only what a node puts in: a name that is strange is an error, not a file. */
static bool node_restore_known(const char *name)
{
    size_t keys = strlen(NODE_BACKUP_KEYS);

    if (strncmp(name, NODE_BACKUP_KEYS, keys) == 0)
        return strchr(name + keys, '/') == NULL;
    return strcmp(name, NODE_BACKUP_LEDGER) == 0 || strcmp(name, NODE_BACKUP_JOBS) == 0 ||
           strcmp(name, NODE_BACKUP_GENESIS) == 0 || strcmp(name, NODE_BACKUP_VALIDATOR) == 0 ||
           strcmp(name, NODE_BACKUP_NODE_KEY) == 0;
}

/* What of a backup is written. */
enum node_restore_what {
    NODE_RESTORE_CHECK, /* no keys: a check leaves none behind, however it ends */
    NODE_RESTORE_NODE, /* all but the validator's keys: the node they are of may run */
    NODE_RESTORE_VALIDATOR /* all: somebody says that it never will */
};

static bool node_restore_wanted(const char *name, enum node_restore_what what)
{
    if (strcmp(name, NODE_BACKUP_VALIDATOR) == 0 || strcmp(name, NODE_BACKUP_NODE_KEY) == 0)
        return what == NODE_RESTORE_VALIDATOR;
    return what != NODE_RESTORE_CHECK ||
           strncmp(name, NODE_BACKUP_KEYS, strlen(NODE_BACKUP_KEYS)) != 0;
}

static int node_restore_file(struct backup_reader *reader, const char *folder, const char *name,
                             struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, name);
    HM_AUTOFREE uint8_t *step = hm_malloc(NODE_RESTORE_STEP_BYTES);
    HM_AUTOCLOSE int fd = -1;
    size_t got = 1;
    char *slash;
    int rc;

    if (path == NULL || step == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read a backup");
    slash = strrchr(path, '/');
    *slash = '\0';
    rc = hm_mkdir_all(path, 0700, error);
    *slash = '/';
    if (rc != 0)
        return rc;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make %s", path);
    while (rc == 0 && got > 0) {
        rc = backup_reader_read(reader, step, NODE_RESTORE_STEP_BYTES, &got, error);
        if (rc == 0)
            rc = hm_write_all(fd, step, got, error);
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot sync %s", path);
    hm_wipe(step, NODE_RESTORE_STEP_BYTES);
    return rc;
}

/* What is only checked: read to its end, which checks its digest, and not written anywhere. */
static int node_restore_skim(struct backup_reader *reader, struct hm_error *error)
{
    uint8_t step[4096];
    size_t got = 1;
    int rc = 0;

    while (rc == 0 && got > 0)
        rc = backup_reader_read(reader, step, sizeof(step), &got, error);
    hm_wipe(step, sizeof(step));
    return rc;
}

static int node_restore_unpack(const char *file, const char *passphrase, const char *folder,
                               enum node_restore_what what, struct hm_error *error)
{
    struct backup_reader *reader;
    const char *name = NULL;
    int rc = backup_reader_open(file, passphrase, &reader, error);

    if (rc != 0)
        return rc;
    while ((rc = backup_reader_next(reader, &name, error)) == 0 && name != NULL) {
        if (!node_restore_known(name))
            rc = hm_fail(error, HM_EUNSUPPORTED, "%s holds '%s', which this version does not know",
                         file, name);
        else if (!node_restore_wanted(name, what))
            rc = node_restore_skim(reader, error);
        else
            rc = node_restore_file(reader, folder, name, error);
        if (rc != 0)
            break;
    }
    backup_reader_close(reader);
    return rc;
}

/* --- checking ------------------------------------------------------------------------------------------- */

/* Opens the store in folder/name as tables; the caller closes it. */
static int node_restore_open(const char *folder, const char *name,
                             const struct store_options *options, struct store **out,
                             struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, name);

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to check a backup");
    return store_open_lmdb(path, options, out, error);
}

static int node_restore_first(struct ledger *ledger, uint64_t *height, struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_first_height(view, height, error);
    ledger_view_close(view);
    return rc;
}

static int node_restore_replay(struct store *store, struct store *scratch,
                               struct node_backup_facts *facts, struct hm_error *error)
{
    struct ledger *source = NULL, *copy = NULL;
    struct ledger_info info;
    uint64_t first = 1;
    int rc = ledger_open(store, &source, error);

    if (rc == 0)
        rc = ledger_info(source, &info, error);
    if (rc == 0)
        rc = ledger_open(scratch, &copy, error);
    if (rc == 0)
        rc = node_restore_first(source, &first, error);
    if (rc == 0) /* a ledger that began with a snapshot has not what it came from */
        rc = first > 1
                 ? ledger_audit(source, error)
                 : ledger_replay(source, copy, NULL, NULL, &facts->blocks, &facts->txs, error);
    if (rc == 0) {
        snprintf(facts->chain_id, sizeof(facts->chain_id), "%s", info.chain_id);
        facts->height = info.height;
        memcpy(facts->state_root, info.state_root, sizeof(facts->state_root));
    }
    ledger_close(copy);
    ledger_close(source);
    return rc;
}

/* Replays the whole chain that lies in folder and compares every state root. */
static int node_restore_check(const char *folder, struct node_backup_facts *facts,
                              struct hm_error *error)
{
    struct store_options options = {.tables = ledger_table_names,
                                    .table_count = LEDGER_TABLE_COUNT};
    struct store *store = NULL, *scratch = NULL;
    HM_AUTOFREE char *replay = hm_asprintf("%s/" NODE_VERIFY_NAME, folder);
    int rc = node_restore_open(folder, "ledger", &options, &store, error);

    options.scratch = true;
    if (rc == 0)
        rc = node_restore_open(folder, NODE_VERIFY_NAME, &options, &scratch, error);
    if (rc == 0)
        rc = node_restore_replay(store, scratch, facts, error);
    store_close(scratch);
    store_close(store);
    if (replay != NULL)
        hm_remove_tree(replay, NULL);
    return rc;
}

static int node_restore_sync(const char *folder, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && syncfs(fd) == 0 ? 0 : hm_fail_errno(error, HM_EIO, "cannot sync %s", folder);
}

/* A cluster's node gets a mark that keeps it from starting before its engine has been given a beginning, and keys of its own. */
static int node_restore_cluster(const char *folder, enum node_restore_what what,
                                struct hm_error *error)
{
    HM_AUTOFREE char *genesis = hm_asprintf("%s/" NODE_BACKUP_GENESIS, folder);
    HM_AUTOFREE char *mark = hm_asprintf("%s/" NODE_BACKUP_RESTORED, folder);

    if (genesis == NULL || mark == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to restore a backup");
    if (what == NODE_RESTORE_CHECK || access(genesis, F_OK) != 0)
        return 0;
    int rc = hm_file_replace(mark, "", 0, 0600, error);
    return rc != 0 || what == NODE_RESTORE_VALIDATOR
               ? rc
               : node_promote_make_keys(folder, hm_random_system(), error);
}

static int node_restore_make(const char *file, const char *passphrase, const char *folder,
                             enum node_restore_what what, struct node_backup_facts *facts,
                             struct hm_error *error)
{
    int rc = hm_mkdir_all(folder, 0700, error);

    if (rc == 0)
        rc = node_restore_unpack(file, passphrase, folder, what, error);
    if (rc == 0)
        rc = node_restore_check(folder, facts, error);
    if (rc == 0)
        rc = node_restore_cluster(folder, what, error);
    return rc != 0 ? rc : node_restore_sync(folder, error);
}

/* --- the public face -------------------------------------------------------------------------------------- */

int node_backup_verify(const char *file, const char *passphrase, struct node_backup_facts *facts,
                       struct hm_error *error)
{
    const char *tmp = getenv("TMPDIR");
    HM_AUTOFREE char *folder = hm_asprintf("%s/hypermesh-verify-XXXXXX", tmp ? tmp : "/var/tmp");
    struct node_backup_facts found = {0};
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    if (folder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to check a backup");
    if (mkdtemp(folder) == NULL)
        return hm_fail_errno(error, HM_EIO,
                             "cannot make a folder like %s; set TMPDIR to one with "
                             "room for the whole backup",
                             folder);
    rc = node_restore_make(file, passphrase, folder, NODE_RESTORE_CHECK, &found, error);
    hm_remove_tree(folder, NULL);
    if (rc == 0)
        *facts = found;
    return rc;
}

/* Missing, or an empty folder. */
static int node_restore_free(const char *data_dir, struct hm_error *error)
{
    DIR *dir = opendir(data_dir);
    const struct dirent *entry;
    bool empty = true;

    if (dir == NULL)
        return errno == ENOENT ? 0 : hm_fail_errno(error, HM_EIO, "cannot read %s", data_dir);
    while (empty && (entry = readdir(dir)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    return empty
               ? 0
               : hm_fail(error, HM_EEXIST,
                         "%s is not empty: a backup is restored into a new data folder", data_dir);
}

int node_backup_restore(const char *file, const char *passphrase, const char *data_dir,
                        bool validator, struct node_backup_facts *facts, struct hm_error *error)
{
    HM_AUTOFREE char *partial = hm_asprintf("%s.restoring", data_dir);
    struct node_backup_facts found = {0};
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    if (partial == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to restore a backup");
    rc = node_restore_free(data_dir, error);
    if (rc != 0)
        return rc;
    if (access(partial, F_OK) == 0)
        return hm_fail(error, HM_EEXIST,
                       "%s is there: another restore runs, or one was cut off; remove it in the "
                       "second case",
                       partial);
    rc = node_restore_make(file, passphrase, partial,
                           validator ? NODE_RESTORE_VALIDATOR : NODE_RESTORE_NODE, &found, error);
    /* An empty folder gives way to a whole one; anything that came there meanwhile does not. */
    if (rc == 0 && rename(partial, data_dir) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot name %s", data_dir);
    if (rc != 0) {
        hm_remove_tree(partial, NULL);
        return rc;
    }
    *facts = found;
    return 0;
}

int node_restore_started(const char *data_dir, struct hm_error *error)
{
    HM_AUTOFREE char *mark = hm_asprintf("%s/" NODE_BACKUP_RESTORED, data_dir);

    if (mark == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to look at %s", data_dir);
    if (access(mark, F_OK) != 0)
        return 0;
    return hm_fail(
        error, HM_ECONFLICT,
        "%s comes from a backup and has no blocks of CometBFT: let it begin anew with a "
        "snapshot of its cluster (hypermeshd --recover-join "
        "%s/engine/config/genesis.json --state-sync RPC,RPC --data %s), or, where all of "
        "the cluster is lost, go on from it (--recover)",
        data_dir, data_dir, data_dir);
}
