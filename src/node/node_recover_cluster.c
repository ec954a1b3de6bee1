/* After the loss of a third or more of a cluster's power for good: its ledger goes on with the validators that are named, under
 * a new engine chain, whose name no older one has, so that nodes of before and after cannot take each other's blocks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node_idle.h"

#define RECOVERY_HASH_BYTES 4
/* DATA/ledger.last.1, ...: ledger and log of before */
#define NODE_LEDGER_LAST "ledger.last"
#define REJOIN_KEPT_MAX  1000
/* A validator that has stopped cannot have signed blocks much newer than those of its cluster's newest. */
#define REJOIN_SIGNED_BLOCKS 10

/* --- the node that the others follow ---------------------------------------------------------------------- */

/* Sorted, as the ledger wants them; two the same are one. */
static int node_recovery_voters(const struct node_recover_voters *voters, struct hm_arena *arena,
                                Hypermesh__EngineRecovery *out, struct hm_error *error)
{
    ProtobufCBinaryData *list = hm_arena_alloc(arena, (voters->count + 1) * sizeof(*list));

    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a recovery");
    for (size_t i = 0; i < voters->count; i++) {
        ProtobufCBinaryData one = wire_bytes((uint8_t *)(uintptr_t)voters->ids[i], WIRE_ID_BYTES);
        size_t at = 0;

        while (at < out->n_voters && memcmp(list[at].data, one.data, WIRE_ID_BYTES) < 0)
            at++;
        if (at < out->n_voters && memcmp(list[at].data, one.data, WIRE_ID_BYTES) == 0)
            continue;
        memmove(&list[at + 1], &list[at], (out->n_voters - at) * sizeof(*list));
        list[at] = one;
        out->n_voters++;
    }
    out->voters = list;
    return 0;
}

/* Of the ledger's name, how often it was recovered, and a hash of what this recovery is: two that were begun apart are two chains. */
static int node_recovery_name(const struct node_idle *idle, struct ledger_view *view,
                              uint64_t now_ms, struct hm_arena *arena,
                              Hypermesh__EngineRecovery *recovery, struct hm_error *error)
{
    uint8_t hash[CRYPTO_HASH_BYTES], when[8];
    char digits[2 * RECOVERY_HASH_BYTES + 1];
    struct hm_slice *parts = hm_arena_alloc(arena, (recovery->n_voters + 2) * sizeof(*parts));
    uint32_t before = 0;
    int rc = ledger_view_recoveries(view, &before, error);

    if (rc != 0)
        return rc;
    if (parts == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a recovery");
    hm_put_be64(when, now_ms);
    parts[0] = hm_slice_of(idle->info.block_hash, CRYPTO_HASH_BYTES);
    parts[1] = hm_slice_of(when, sizeof(when));
    for (size_t i = 0; i < recovery->n_voters; i++)
        parts[2 + i] = wire_slice(recovery->voters[i]);
    crypto_hash_parts("hypermesh 1 recovery", parts, recovery->n_voters + 2, hash);
    hm_hex_encode(hash, RECOVERY_HASH_BYTES, digits);
    recovery->engine_chain = (char *)(uintptr_t)hm_arena_printf(
        arena, "%s-%llu-%s", idle->info.chain_id, (unsigned long long)before + 2, digits);
    return recovery->engine_chain != NULL ? 0
                                          : hm_fail(error, HM_ENOMEM, "no memory for a recovery");
}

static int node_recovery_set(struct ledger_view *view, const Hypermesh__EngineRecovery *recovery,
                             struct hm_arena *arena, struct engine_genesis *genesis,
                             struct hm_error *error)
{
    struct engine_genesis_validator *list;
    struct ledger_validator_update *set;
    size_t count;
    int rc = ledger_view_recovery_set(view, recovery, arena, &set, &count, error);

    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a recovery");
    for (size_t i = 0; i < count; i++) {
        memcpy(list[i].key, set[i].key, sizeof(list[i].key));
        list[i].power = (int64_t)set[i].power;
    }
    genesis->validators = list;
    genesis->validator_count = count;
    return 0;
}

static int node_recovery_plan(const struct node_idle *idle,
                              const struct node_recover_voters *voters, uint64_t now_ms,
                              struct hm_arena *arena, Hypermesh__EngineRecovery *recovery,
                              struct engine_genesis *genesis, struct hm_error *error)
{
    Hypermesh__Params *params;
    struct ledger_view *view;
    int rc = node_recovery_voters(voters, arena, recovery, error);

    if (rc == 0)
        rc = ledger_view_open(idle->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = node_recovery_name(idle, view, now_ms, arena, recovery, error);
    if (rc == 0)
        rc = node_recovery_set(view, recovery, arena, genesis, error);
    if (rc == 0)
        rc = ledger_view_params(view, arena, &params, error);
    if (rc == 0)
        genesis->evidence_max_age_ms = ledger_evidence_age_ms(params);
    ledger_view_close(view);
    genesis->chain_id = recovery->engine_chain;
    return rc;
}

static int node_recovery_may(const struct node_idle *idle, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_idle_path(idle, "engine/config/genesis.json", path, error);

    if (rc == 0 && (access(path, F_OK) != 0 || idle->info.height == 0))
        rc = hm_fail(error, HM_ECONFLICT, "%s is no node of a cluster that has made blocks",
                     idle->data_dir);
    return rc;
}

static int node_recovery_put(struct node_idle *idle, const struct node_recover_voters *voters,
                             const char *to, const struct hm_clock *clock,
                             struct node_recover_facts *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf state = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    Hypermesh__EngineRecovery recovery = HYPERMESH__ENGINE_RECOVERY__INIT;
    uint64_t now_ms = hm_wall_ms(clock);
    struct engine_genesis genesis = {.time_ms = now_ms - ENGINE_GENESIS_AGE_MS,
                                     .initial_height = idle->info.height + 1,
                                     .has_app_hash = true};
    int rc = node_recovery_may(idle, error);

    hm_arena_init(&arena, 0);
    memcpy(genesis.app_hash, idle->info.state_root, sizeof(genesis.app_hash));
    if (rc == 0)
        rc = node_recovery_plan(idle, voters, now_ms, &arena, &recovery, &genesis, error);
    if (rc == 0)
        rc = engine_cometbft_recover_state(idle->ledger, &recovery, &state, error);
    genesis.app_state = hm_buf_slice(&state);
    if (rc == 0)
        rc = engine_genesis_pack(&genesis, &text, error);
    if (rc == 0)
        rc = to != NULL ? hm_file_replace(to, text.data, text.len, 0600, error)
                        : node_era_put(idle->data_dir, hm_buf_slice(&text), NULL, 0, true, error);
    if (rc != 0)
        return rc;
    snprintf(out->engine_chain, sizeof(out->engine_chain), "%s", recovery.engine_chain);
    out->height = idle->info.height;
    return 0;
}

int node_recover_begin(const char *data_dir, const struct node_recover_voters *voters,
                       const char *to, const struct hm_clock *clock, struct node_recover_facts *out,
                       struct hm_error *error)
{
    HM_CLEANUP(node_idle) struct node_idle idle = {.store = NULL};
    int rc = node_idle_open(data_dir, &idle, error);

    return rc != 0 ? rc : node_recovery_put(&idle, voters, to, clock, out, error);
}

/* --- the others ------------------------------------------------------------------------------------------- */

struct node_onward {
    struct hm_arena arena;
    struct hm_buf text;
    struct engine_genesis genesis;
    struct engine_cometbft_state state;
};

static void node_onward_release(struct node_onward *onward)
{
    hm_buf_release(&onward->text);
    hm_arena_release(&onward->arena);
}

static int node_onward_read(const char *genesis_path, struct node_onward *onward,
                            struct hm_error *error)
{
    int rc = hm_file_read(genesis_path, ENGINE_GENESIS_MAX_BYTES, &onward->text, error);

    hm_arena_init(&onward->arena, 0);
    if (rc == 0)
        rc = engine_genesis_read(hm_buf_slice(&onward->text), &onward->arena, &onward->genesis,
                                 error);
    if (rc == 0)
        rc = engine_cometbft_state_read(onward->genesis.app_state, &onward->arena, &onward->state,
                                        error);
    return rc != 0 ? hm_error_prefix(error, rc, "%.200s", genesis_path) : 0;
}

static int node_onward_follow(struct node_idle *idle, const char *from, uint64_t until,
                              struct hm_error *error)
{
    HM_CLEANUP(node_idle) struct node_idle other = {.store = NULL};
    uint64_t blocks = 0;
    int rc = node_idle_open(from, &other, error);

    if (rc == 0)
        rc = ledger_follow(other.ledger, idle->ledger, until, &blocks, error);
    return rc != 0 ? hm_error_prefix(error, rc, "%s, from %.200s", idle->data_dir, from)
                   : node_idle_keep(idle, error);
}

/* Is the ledger the one that the others go on from? */
static int node_onward_fits(const struct node_idle *idle, const struct node_onward *onward,
                            struct hm_error *error)
{
    if (idle->info.height == onward->state.height &&
        memcmp(idle->info.state_root, onward->genesis.app_hash, CRYPTO_HASH_BYTES) == 0)
        return 0;
    return hm_fail(error, HM_ECONFLICT,
                   "the recovered cluster goes on from block %llu, and the ledger in %s stands at "
                   "block %llu: %s",
                   (unsigned long long)onward->state.height, idle->data_dir,
                   (unsigned long long)idle->info.height,
                   idle->info.height > onward->state.height
                       ? "it is further, so that the recovery should have begun with it; or let it "
                         "begin anew with a snapshot (--state-sync)"
                       : "give it the blocks between (--recover-from), or let it begin anew with a "
                         "snapshot (--state-sync)");
}

/* Does it go on with that genesis already? Who was cut off says it again for all nodes. */
static int node_onward_is_there(const struct node_idle *idle, const struct node_onward *onward,
                                bool *there, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_idle_path(idle, "engine/config/genesis.json", path, error);

    if (rc == 0)
        rc = hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &text, error);
    *there = rc == 0 && hm_slice_equal(hm_buf_slice(&text), hm_buf_slice(&onward->text));
    return rc;
}

static int node_onward_join(struct node_idle *idle, const struct node_onward *onward,
                            const char *from, struct hm_error *error)
{
    bool there = false;
    int rc = node_recovery_may(idle, error);

    if (rc == 0)
        rc = node_onward_is_there(idle, onward, &there, error);
    if (rc != 0 || there)
        return rc != 0 ? rc : node_era_settle(idle->data_dir, error);
    if (from != NULL && idle->info.height < onward->state.height)
        rc = node_onward_follow(idle, from, onward->state.height, error);
    if (rc == 0)
        rc = node_onward_fits(idle, onward, error);
    return rc != 0
               ? rc
               : node_era_put(idle->data_dir, hm_buf_slice(&onward->text), NULL, 0, false, error);
}

int node_recover_join(const char *data_dir, const char *genesis_path, const char *from,
                      struct node_recover_facts *out, struct hm_error *error)
{
    HM_CLEANUP(node_idle) struct node_idle idle = {.store = NULL};
    HM_CLEANUP(node_onward) struct node_onward onward = {.text = {0}};
    int rc = node_onward_read(genesis_path, &onward, error);

    if (rc == 0 && onward.state.recovery == NULL)
        rc = hm_fail(error, HM_EINVAL, "%.200s is no genesis of a recovered cluster", genesis_path);
    if (rc == 0)
        rc = node_idle_open(data_dir, &idle, error);
    if (rc == 0)
        rc = node_onward_join(&idle, &onward, from, error);
    if (rc != 0)
        return rc;
    snprintf(out->engine_chain, sizeof(out->engine_chain), "%s", onward.genesis.chain_id);
    out->height = idle.info.height;
    return 0;
}

/* --- one that begins anew ----------------------------------------------------------------------------------- */

/* Never over one that is kept already: what came there after a cut is new. */
static int node_rejoin_move(const char *data_dir, const char *kept, const char *name,
                            struct hm_error *error)
{
    HM_AUTOFREE char *from = hm_asprintf("%s/%s", data_dir, name);
    HM_AUTOFREE char *to = hm_asprintf("%s/%s", kept, name);

    if (from == NULL || to == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the node's folders");
    if (access(from, F_OK) != 0)
        return 0;
    if (access(to, F_OK) == 0) {
        hm_free(HM_TAKE(to));
        int rc = node_era_free_name(kept, name, &to, error);
        if (rc != 0)
            return rc;
    }
    return rename(from, to) == 0 ? 0
                                 : hm_fail_errno(error, HM_EIO, "cannot move %s to %s", from, to);
}

/* The folder that a cut left without a ledger, or a new one. */
static int node_rejoin_kept(const char *data_dir, char **out, struct hm_error *error)
{
    for (unsigned i = 1; i <= REJOIN_KEPT_MAX; i++) {
        HM_AUTOFREE char *kept = hm_asprintf("%s/" NODE_LEDGER_LAST ".%u", data_dir, i);
        HM_AUTOFREE char *ledger = kept != NULL ? hm_asprintf("%s/ledger", kept) : NULL;

        if (ledger == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the node's folders");
        if (access(ledger, F_OK) == 0)
            continue;
        *out = HM_TAKE(kept);
        return hm_mkdir_all(*out, 0700, error);
    }
    return hm_fail(error, HM_ELIMIT,
                   "%s has %d folders " NODE_LEDGER_LAST ".N: move those away that are not needed",
                   data_dir, REJOIN_KEPT_MAX);
}

static int node_rejoin_sync(const char *folder, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fsync(fd) == 0 ? 0 : hm_fail_errno(error, HM_EIO, "cannot sync %s", folder);
}

/* The old ledger and its log are kept beside, in a folder that can be read as a node's, as they may have blocks that the others have
 * not. The ledger last: whoever is cut off finds it, and goes on. */
int node_rejoin_away(const char *data_dir, struct hm_error *error)
{
    static const char *const names[] = {NODE_LOG_NAME ".0", NODE_LOG_NAME ".1", "ledger"};
    HM_AUTOFREE char *kept = NULL;
    bool any = false;
    int rc = 0;

    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", data_dir, names[i]);

        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the node's folders");
        any = any || access(path, F_OK) == 0;
    }
    if (!any)
        return 0;
    rc = node_rejoin_kept(data_dir, &kept, error);
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(names); i++)
        rc = node_rejoin_move(data_dir, kept, names[i], error);
    if (rc == 0)
        rc = node_rejoin_sync(kept, error);
    return rc != 0 ? rc : node_rejoin_sync(data_dir, error);
}

/* Nobody else has it open; that its ledger is whole does not matter. */
static int node_rejoin_idle(const char *data_dir, struct hm_error *error)
{
    HM_CLEANUP(node_idle) struct node_idle idle = {.store = NULL};
    struct hm_error why = {0};

    return node_idle_open(data_dir, &idle, &why) == HM_EBUSY
               ? hm_fail(error, HM_EBUSY, "%s", why.text)
               : 0;
}

int node_recover_rejoin(const char *data_dir, const char *genesis_path,
                        const struct node_cluster_sync *sync, struct node_recover_facts *out,
                        struct hm_error *error)
{
    HM_CLEANUP(node_onward) struct node_onward onward = {.text = {0}};
    struct engine_config_sync kept = {.rpc_servers = sync->servers,
                                      .rpc_server_count = sync->server_count,
                                      .trust_height = sync->trust_height};
    uint64_t signed_height = 0;
    int rc = crypto_setup(error);

    memcpy(kept.trust_hash, sync->trust_hash, sizeof(kept.trust_hash));
    if (rc == 0)
        rc = node_onward_read(genesis_path, &onward, error);
    if (rc == 0)
        rc = node_rejoin_idle(data_dir, error);
    if (rc == 0)
        rc = node_era_settle(data_dir, error);
    if (rc == 0 && sync->trust_height == 0) {
        rc = engine_sync_ask(sync->servers, sync->server_count, &kept.trust_height, kept.trust_hash,
                             error);
        signed_height = kept.trust_height + REJOIN_SIGNED_BLOCKS;
    }
    /* The engine first: with the new one the old ledger is refused until it is away. */
    if (rc == 0)
        rc = node_era_put(data_dir, hm_buf_slice(&onward.text), &kept, signed_height, false, error);
    if (rc == 0)
        rc = node_rejoin_away(data_dir, error);
    if (rc != 0)
        return rc;
    snprintf(out->engine_chain, sizeof(out->engine_chain), "%s", onward.genesis.chain_id);
    out->height = 0;
    return 0;
}
