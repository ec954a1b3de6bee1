/* The engine's folder of a new era. The rename that puts it in place is what decides: before it the folder is what it was, after it
 * what is left is finished at the next start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node_anew.h"
#include "node_era_record.h"
#include "node_idle.h"

/* Folders of before that are kept at most; more are for people to look through. */
#define ERA_KEPT_MAX 1000

/* DATA/..., as the functions here need them. */
struct node_era {
    char *engine, *next, *begin, *keys, *abci, *rpc, *next_genesis, *genesis, *snapshots, *anew;
};

static void node_era_release(struct node_era *era)
{
    hm_free(era->engine);
    hm_free(era->next);
    hm_free(era->begin);
    hm_free(era->keys);
    hm_free(era->abci);
    hm_free(era->rpc);
    hm_free(era->next_genesis);
    hm_free(era->genesis);
    hm_free(era->snapshots);
    hm_free(era->anew);
}

static int node_era_paths(const char *data_dir, struct node_era *era, struct hm_error *error)
{
    era->engine = hm_asprintf("%s/engine", data_dir);
    era->next = hm_asprintf("%s/" NODE_ERA_NEXT, data_dir);
    era->begin = hm_asprintf("%s/engine/" NODE_ERA_BEGIN, data_dir);
    era->keys = hm_asprintf("%s/validator", data_dir);
    era->abci = hm_asprintf("%s/bft.sock", data_dir);
    era->rpc = hm_asprintf("%s/rpc.sock", data_dir);
    era->next_genesis = hm_asprintf("%s/" NODE_ERA_NEXT "/config/genesis.json", data_dir);
    era->genesis = hm_asprintf("%s/engine/config/genesis.json", data_dir);
    era->snapshots = hm_asprintf("%s/snapshots", data_dir);
    era->anew = hm_asprintf("%s/" NODE_ANEW_NAME, data_dir);
    return era->engine && era->next && era->begin && era->keys && era->abci && era->rpc &&
                   era->next_genesis && era->genesis && era->snapshots && era->anew
               ? 0
               : hm_fail(error, HM_ENOMEM, "no memory for the engine's folder");
}

static int node_era_sync(const char *folder, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fsync(fd) == 0 ? 0 : hm_fail_errno(error, HM_EIO, "cannot sync %s", folder);
}

static bool node_era_has(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

/* The daemon writes config.toml anew at each start: what is here only has to be complete. old: whose record is set aside, or NULL. */
static int node_era_make(const struct node_era *era, struct hm_slice genesis,
                         const struct engine_config_sync *sync, const struct node_era_turn *turn,
                         const char *old, struct hm_error *error)
{
    const struct engine_config config = {.name = "hypermesh",
                                         .abci_socket = era->abci,
                                         .rpc_socket = era->rpc,
                                         .p2p_listen = "127.0.0.1:0",
                                         .keys_dir = era->keys};
    HM_AUTOFREE char *mark = hm_asprintf("%s/" NODE_ERA_BEGIN, era->next);
    int rc = mark != NULL ? hm_remove_tree(era->next, error)
                          : hm_fail(error, HM_ENOMEM, "no memory for the engine's folder");

    if (rc == 0)
        rc = hm_mkdir_all(era->next, 0700, error);
    if (rc == 0 && old != NULL)
        rc = node_era_record_mark(turn, mark, old, error);
    if (rc == 0)
        rc = engine_config_write(era->next, &config, genesis, NULL, error);
    return rc != 0 || sync == NULL ? rc : engine_sync_write(era->next, sync, error);
}

/* Is a folder of before there, whatever its number? */
static bool node_era_has_last(const char *data_dir)
{
    DIR *dir = opendir(data_dir);
    const struct dirent *entry;
    bool found = false;

    while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
        found = strncmp(entry->d_name, NODE_ERA_LAST, sizeof(NODE_ERA_LAST) - 1) == 0;
    if (dir != NULL)
        closedir(dir);
    return found;
}

int node_era_free_name(const char *data_dir, const char *name, char **out, struct hm_error *error)
{
    for (unsigned i = 1; i <= ERA_KEPT_MAX; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s.%u", data_dir, name, i);

        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the node's folders");
        if (node_era_has(path))
            continue;
        *out = HM_TAKE(path);
        return 0;
    }
    return hm_fail(error, HM_ELIMIT, "%s has %d folders %s.N: move those away that are not needed",
                   data_dir, ERA_KEPT_MAX, name);
}

/* What a ledger that is left, or goes on, was to be set aside for is over. */
static int node_era_unmark(const char *data_dir, const struct node_era *era, struct hm_error *error)
{
    if (unlink(era->anew) == 0)
        return node_era_sync(data_dir, error);
    return errno == ENOENT ? 0 : hm_fail_errno(error, HM_EIO, "cannot remove %s", era->anew);
}

/* Nothing of before is ever removed: said again after a cut, what is there now is not what was there first. */
static int node_era_away(const char *data_dir, const struct node_era *era, struct hm_error *error)
{
    HM_AUTOFREE char *last = NULL;
    int rc;

    if (!node_era_has(era->engine))
        return 0;
    rc = node_era_free_name(data_dir, NODE_ERA_LAST, &last, error);
    if (rc == 0 && rename(era->engine, last) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot move %s away", era->engine);
    return rc != 0 ? rc : node_era_sync(data_dir, error);
}

/* Between the two renames there is no engine's folder: who starts then finds the new one, and goes on from there. */
static int node_era_place(const char *data_dir, const struct node_era *era, struct hm_error *error)
{
    if (rename(era->next, era->engine) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot name %s", era->engine);
    return node_era_sync(data_dir, error);
}

/* --- what its validator has signed ------------------------------------------------------------------------ */

/* Of which chain is this genesis? Empty: there is none. */
static int node_era_chain(const struct node_era *era, struct hm_arena *arena, const char **out,
                          struct hm_error *error)
{
    struct engine_genesis genesis;
    int rc = engine_genesis_load(era->genesis, arena, &genesis, error);

    if (rc == 0)
        *out = hm_arena_strdup(arena, genesis.chain_id);
    else if (rc == HM_ENOTFOUND)
        *out = "";
    if (rc != 0 && rc != HM_ENOTFOUND)
        return rc;
    return *out != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a chain's name");
}

/* The mark goes before anything of the new chain is signed. The old one's snapshots are of no use to who joins it. */
static int node_era_begin(const struct node_era *era, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct node_era_turn turn = {.keys = era->keys, .mark = era->begin};
    int rc;

    hm_arena_init(&arena, 0);
    if (!node_era_has(era->begin))
        return 0;
    rc = node_era_chain(era, &arena, &turn.chain, error);
    if (rc == 0)
        rc = hm_remove_tree(era->snapshots, error);
    if (rc == 0)
        rc = node_era_record_begin(&turn, error);
    if (rc == 0 && unlink(era->begin) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot remove %s", era->begin);
    return rc != 0 ? rc : node_era_sync(era->engine, error);
}

static int node_era_turn_to(const char *data_dir, const struct node_era *era,
                            struct hm_slice genesis, const struct engine_config_sync *sync,
                            uint64_t signed_height, bool fresh, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_genesis now;
    struct node_era_turn turn = {.keys = era->keys, .signed_height = signed_height};
    const char *old = NULL;
    int rc;

    hm_arena_init(&arena, 0);
    rc = node_era_chain(era, &arena, &old, error);
    if (rc == 0)
        rc = engine_genesis_read(genesis, &arena, &now, error);
    if (rc != 0)
        return rc;
    turn.chain = now.chain_id;
    bool any = old[0] != '\0', same = strcmp(old, now.chain_id) == 0;
    rc = node_era_record_check(&turn, any, same, fresh, error);
    if (rc == 0)
        rc = node_era_make(era, genesis, sync, &turn, any && !same ? old : NULL, error);
    if (rc == 0)
        rc = node_era_unmark(data_dir, era, error);
    if (rc == 0)
        rc = node_era_away(data_dir, era, error);
    return rc != 0 ? rc : node_era_place(data_dir, era, error);
}

/* Finishes first what was cut off, so that the record beside the keys is that of the engine's chain. */
int node_era_put(const char *data_dir, struct hm_slice genesis,
                 const struct engine_config_sync *sync, uint64_t signed_height, bool fresh,
                 struct hm_error *error)
{
    HM_CLEANUP(node_era) struct node_era era = {0};
    int rc = node_era_paths(data_dir, &era, error);

    if (rc == 0)
        rc = node_era_settle(data_dir, error);
    if (rc == 0)
        rc = node_era_turn_to(data_dir, &era, genesis, sync, signed_height, fresh, error);
    return rc != 0 ? rc : node_era_begin(&era, error);
}

int node_era_settle(const char *data_dir, struct hm_error *error)
{
    HM_CLEANUP(node_era) struct node_era era = {0};
    int rc = node_era_paths(data_dir, &era, error);

    if (rc == 0 && !node_era_has(era.engine) && node_era_has_last(data_dir) &&
        node_era_has(era.next_genesis))
        rc = node_era_place(data_dir, &era, error);
    return rc != 0 ? rc : node_era_begin(&era, error);
}

/* --- peers of another era ------------------------------------------------------------------------------------- */

#define ERA_STRANGER "is on a different network. Got "

/* A peer says of itself of which network it is, and anybody may say anything: it is told as a claim, and nothing is done for it. */
void node_era_line(struct node *node, const struct engine_process_line *line)
{
    const char *at = strstr(line->fields, ERA_STRANGER);
    size_t len;

    if (at == NULL || strcmp(line->module, "p2p") != 0)
        return;
    at += strlen(ERA_STRANGER);
    len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
    pthread_mutex_lock(&node->state_lock);
    if (len < sizeof(node->beside.stranger)) {
        memcpy(node->beside.stranger, at, len);
        node->beside.stranger[len] = '\0';
    }
    pthread_mutex_unlock(&node->state_lock);
}

bool node_era_stranger(struct node *node, char out[HM_ERROR_TEXT_BYTES])
{
    char stranger[sizeof(node->beside.stranger)];
    struct ledger_info info;
    size_t own;

    pthread_mutex_lock(&node->state_lock);
    memcpy(stranger, node->beside.stranger, sizeof(stranger));
    pthread_mutex_unlock(&node->state_lock);
    if (stranger[0] == '\0' || ledger_info(node->ledger, &info, NULL) != 0)
        return false;
    own = strlen(info.chain_id);
    if (strncmp(stranger, info.chain_id, own) == 0 &&
        (stranger[own] == '-' || stranger[own] == '\0'))
        snprintf(out, HM_ERROR_TEXT_BYTES,
                 "a peer claims to be of another chain of this cluster, %s, and this one is of %s: "
                 "where "
                 "the cluster was recovered without it, it is let in again when it begins anew "
                 "(hypermeshd --recover-join, docs/cluster.md)",
                 stranger, info.engine_chain);
    else
        snprintf(out, HM_ERROR_TEXT_BYTES,
                 "a peer claims to be of another cluster, %s, and this one is of %s", stranger,
                 info.engine_chain);
    return true;
}
