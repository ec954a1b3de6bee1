/* Nothing is deleted: what the node had is kept for who wants to know why it differed. */
#include "node_anew.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANEW_MARK_MODE      0600
#define ANEW_DIR_MODE       0700
#define ANEW_MARK_MAX_BYTES 64
#define ANEW_KEPT_MAX_BYTES 32 /* of the folder's name */
#define ANEW_DAMAGED        UINT64_MAX /* instead of a height */

/* Moved in this order: CometBFT's blocks, if at all, first; the ledger, whose lock is held, last. */
static const char *const anew_names[] = {"engine/data", "snapshots", NODE_LOG_NAME ".0",
                                         NODE_LOG_NAME ".1", "ledger"};

static bool anew_has(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

/* --- may it? ------------------------------------------------------------------------------------------------- */

/* It was here before: then the cause is none that passes. True also when the folder cannot be read. */
static bool anew_was_done(const char *data_dir)
{
    DIR *dir = opendir(data_dir);
    bool found = dir == NULL;
    const struct dirent *entry;

    while (!found && (entry = readdir(dir)) != NULL)
        found = strncmp(entry->d_name, NODE_ANEW_KEPT, sizeof(NODE_ANEW_KEPT) - 1) == 0;
    if (dir != NULL)
        closedir(dir);
    return found;
}

/* What the engine refused of the block, the first of its words; a peer's own can only stand behind it. */
static bool anew_says(const char *why, const char *member)
{
    static const char before[] = "wrong Block.Header.";
    const char *at = strstr(why, before);

    return at != NULL && strncmp(at + sizeof(before) - 1, member, strlen(member)) == 0;
}

/* It differs in what no block has changed yet: in the genesis's limits of a block, which none ever changes, or before the first
 * block. Beginning anew would come to the same. */
static int anew_check_genesis(const char *path, const struct engine_genesis *genesis,
                              uint64_t height, const char *why, struct hm_error *error)
{
    if (height >= genesis->initial_height && !anew_says(why, "ConsensusHash"))
        return 0;
    return hm_fail(error, HM_ECONFLICT,
                   "%.150s is not the cluster's genesis (or this program is of another version "
                   "than theirs): they differ before the first block. Stop this node and make it "
                   "again with a ticket (nexus cluster join)",
                   path);
}

/* A chain that goes on from an older ledger can only be begun with a snapshot of it. */
static int anew_check_beginning(const char *data_dir, uint64_t height, const char *why,
                                struct hm_error *error)
{
    HM_AUTOFREE char *genesis_path = hm_asprintf("%s/engine/config/genesis.json", data_dir);
    HM_AUTOFREE char *sync_path = hm_asprintf("%s/engine/sync.json", data_dir);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_genesis genesis;

    hm_arena_init(&arena, 0);
    if (genesis_path == NULL || sync_path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to begin anew");
    int rc = engine_genesis_load(genesis_path, &arena, &genesis, error);
    if (rc == 0 && height != ANEW_DAMAGED)
        rc = anew_check_genesis(genesis_path, &genesis, height, why, error);
    if (rc == 0 && genesis.initial_height > 1 && !anew_has(sync_path))
        rc = hm_fail(error, HM_EUNSUPPORTED,
                     "its chain goes on from an older ledger; make a node of it again with "
                     "nexus cluster add --snapshot");
    return rc;
}

static int anew_write_mark(const char *data_dir, uint64_t height, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NODE_ANEW_NAME, data_dir);
    char text[ANEW_MARK_MAX_BYTES];
    int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", height);

    return path == NULL ? hm_fail(error, HM_ENOMEM, "no memory to begin anew")
                        : hm_file_replace(path, text, (size_t)len, ANEW_MARK_MODE, error);
}

static void anew_kept_name(uint64_t height, char out[ANEW_KEPT_MAX_BYTES])
{
    if (height == ANEW_DAMAGED)
        snprintf(out, ANEW_KEPT_MAX_BYTES, NODE_ANEW_KEPT NODE_ANEW_DAMAGED);
    else
        snprintf(out, ANEW_KEPT_MAX_BYTES, NODE_ANEW_KEPT "%" PRIu64, height);
}

/* what: of this node's ledger. */
static void anew_mark(const char *data_dir, uint64_t height, const char *why, const char *what,
                      char sentence[HM_ERROR_TEXT_BYTES])
{
    char kept[ANEW_KEPT_MAX_BYTES];
    struct hm_error error = {0};
    int rc = anew_check_beginning(data_dir, height, why, &error);

    anew_kept_name(height, kept);
    if (rc == 0 && anew_was_done(data_dir))
        rc = hm_fail(&error, HM_EUNSUPPORTED,
                     "it has begun anew before (%.150s/" NODE_ANEW_KEPT
                     "...), so this program or machine is at fault: mend it, move that "
                     "folder away, start again",
                     data_dir);
    if (rc == 0)
        rc = anew_write_mark(data_dir, height, &error);
    if (rc == 0)
        snprintf(sentence, HM_ERROR_TEXT_BYTES,
                 "this node's ledger %s: it is set aside (%.150s/%s) and the node begins anew",
                 what, data_dir, kept);
    else if (rc == HM_ECONFLICT)
        snprintf(sentence, HM_ERROR_TEXT_BYTES, "%s", error.text);
    else
        snprintf(sentence, HM_ERROR_TEXT_BYTES, "this node's ledger %s and stays as it is: %.250s",
                 what, error.text);
    hm_log(HM_LOG_ERROR, "node", "%s", why);
}

void node_anew_mark(const char *data_dir, uint64_t height, const char *why,
                    char sentence[HM_ERROR_TEXT_BYTES])
{
    char what[64];

    snprintf(what, sizeof(what), "differs from the others' since block %" PRIu64, height);
    anew_mark(data_dir, height, why, what, sentence);
}

void node_anew_mark_damaged(const char *data_dir, const char *why,
                            char sentence[HM_ERROR_TEXT_BYTES])
{
    anew_mark(data_dir, ANEW_DAMAGED, why, "is damaged", sentence);
}

/* --- doing it ------------------------------------------------------------------------------------------------ */

/* HM_ENOTFOUND: there is none, and *error stays. */
static int anew_read_mark(const char *path, uint64_t *height, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = anew_has(path) ? hm_file_read(path, ANEW_MARK_MAX_BYTES, &text, error) : HM_ENOTFOUND;

    if (rc != 0)
        return rc;
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    rc = hm_u64_parse(hm_buf_cstr(&text), height, error);
    return rc != 0 ? hm_error_prefix(error, rc, "%s", path) : 0;
}

static int anew_sync(const char *folder, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fsync(fd) == 0 ? 0 : hm_fail_errno(error, HM_EIO, "cannot sync %s", folder);
}

/* What is kept already was moved before this was cut off: what lies there now is new and empty. */
static int anew_move(const char *data_dir, const char *kept, const char *name,
                     struct hm_error *error)
{
    const char *slash = strrchr(name, '/');
    HM_AUTOFREE char *from = hm_asprintf("%s/%s", data_dir, name);
    HM_AUTOFREE char *to = hm_asprintf("%s/%s", kept, slash != NULL ? slash + 1 : name);

    if (from == NULL || to == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to begin anew");
    if (!anew_has(from) || anew_has(to))
        return 0;
    return rename(from, to) == 0 ? 0
                                 : hm_fail_errno(error, HM_EIO, "cannot move %s to %s", from, to);
}

/* Damaged, but with a first block: CometBFT has all blocks, and gives them to its application again. */
static bool anew_keeps_blocks(const char *data_dir, uint64_t height)
{
    HM_AUTOFREE char *sync_path = hm_asprintf("%s/engine/sync.json", data_dir);

    return height == ANEW_DAMAGED && sync_path != NULL && !anew_has(sync_path);
}

static int anew_move_all(const char *data_dir, const char *kept, bool blocks,
                         struct hm_error *error)
{
    int rc = 0;

    for (size_t i = blocks ? 0 : 1; rc == 0 && i < HM_COUNT_OF(anew_names); i++)
        rc = anew_move(data_dir, kept, anew_names[i], error);
    if (rc == 0)
        rc = anew_sync(kept, error);
    return rc == 0 ? anew_sync(data_dir, error) : rc;
}

/* Can the block that was trusted when sync.json was written still be trusted? Half of the time is for fetching the snapshot. */
static bool anew_is_fresh(const char *path, const struct engine_genesis *genesis)
{
    uint64_t trust_ms = genesis->evidence_max_age_ms > 0 ? genesis->evidence_max_age_ms
                                                         : ENGINE_SYNC_TRUST_MS;
    uint64_t now_ms = hm_wall_ms(hm_clock_system());
    struct stat info;

    if (lstat(path, &info) != 0 || info.st_mtime < 0)
        return false;
    uint64_t then_ms = (uint64_t)info.st_mtime * 1000;
    return then_ms <= now_ms && now_ms - then_ms <= trust_ms / 2;
}

/* With a snapshot while its trusted block is new enough, else from the genesis where that is possible: the engine would refuse the
 * block. */
static int anew_forget_sync(const char *data_dir, const char *kept, struct hm_error *error)
{
    struct hm_error why = {0};
    HM_AUTOFREE char *path = hm_asprintf("%s/engine/config/genesis.json", data_dir);
    HM_AUTOFREE char *sync_path = hm_asprintf("%s/engine/sync.json", data_dir);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_genesis genesis;

    hm_arena_init(&arena, 0);
    if (path == NULL || sync_path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to begin anew");
    if (!anew_has(sync_path) || engine_genesis_load(path, &arena, &genesis, &why) != 0 ||
        anew_is_fresh(sync_path, &genesis))
        return 0;
    hm_log(
        HM_LOG_WARN, "node",
        "the block that this node trusted when it was made is too old for a snapshot by now: %s. "
        "Where the others keep no early blocks (retain_blocks) it cannot catch up: then stop it "
        "and "
        "let it join again, with a ticket (nexus cluster join) or a snapshot (hypermeshd "
        "--recover-join %.150s --state-sync RPC,RPC)",
        genesis.initial_height > 1 ? "its engine may refuse it" : "it begins with the first block",
        path);
    return genesis.initial_height > 1 ? 0 : anew_move(data_dir, kept, "engine/sync.json", error);
}

int node_anew_do(const char *data_dir, bool *moved, struct hm_error *error)
{
    HM_AUTOFREE char *mark = hm_asprintf("%s/" NODE_ANEW_NAME, data_dir);
    HM_AUTOFREE char *kept = NULL;
    char name[ANEW_KEPT_MAX_BYTES];
    uint64_t height = 0;

    if (mark == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to begin anew");
    int rc = anew_read_mark(mark, &height, error);
    if (rc == HM_ENOTFOUND) {
        *moved = false;
        return 0;
    }
    if (rc != 0)
        return rc;
    anew_kept_name(height, name);
    kept = hm_asprintf("%s/%s", data_dir, name);
    if (kept == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to begin anew");
    rc = hm_mkdir_all(kept, ANEW_DIR_MODE, error);
    if (rc == 0)
        rc = anew_move_all(data_dir, kept, !anew_keeps_blocks(data_dir, height), error);
    if (rc == 0) /* what was moved follows from it */
        rc = anew_forget_sync(data_dir, kept, error);
    if (rc == 0 && unlink(mark) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot remove %s", mark);
    if (rc == 0)
        rc = anew_sync(data_dir, error);
    if (rc == 0)
        *moved = true;
    return rc;
}

/* --- what follows a failure ----------------------------------------------------------------------------------- */

static bool anew_is_marked(const char *data_dir)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NODE_ANEW_NAME, data_dir);

    return path != NULL && anew_has(path);
}

enum node_next node_next(const struct node_options *options, const char *failure)
{
    if (!options->cluster)
        return NODE_ENDS;
    if (anew_is_marked(options->data_dir))
        return NODE_BEGINS_ANEW;
    /* Every sentence of ours about a full disk says this, as does the system's own. */
    return strcasestr(failure, "no space left") != NULL ? NODE_WAITS_FOR_ROOM : NODE_ENDS;
}

bool node_has_room(const struct node_options *options)
{
    return engine_process_has_room(options->data_dir);
}
