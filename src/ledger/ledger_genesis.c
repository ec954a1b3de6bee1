/* Genesis: the parameters of a chain, who holds what at height 0. */
#include "ledger_private.h"

#include "ledger_kv_rules.h"
#include "ledger_validator.h"
#include "ledger_witness.h"

#define HYPER  UINT64_C(1000000000)
#define SECOND UINT64_C(1000)
#define HOUR   (3600 * SECOND)

/* The message points here: it is only read. */
static uint32_t level_rewards[] = {0, 250000, 500000, 750000, 1000000};
_Static_assert(HM_COUNT_OF(level_rewards) == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC,
               "one rate a privacy level");

void ledger_default_params(Hypermesh__Params *out)
{
    Hypermesh__Params params = HYPERMESH__PARAMS__INIT;

    /* An everyday operation weighs about 1000: 0.001 HYPER at the initial base fee, which is also the
     * lowest, so that an idle chain keeps it. */
    params.base_fee_initial = 1000;
    params.base_fee_minimum = 1000;
    params.block_weight_target = UINT64_C(16) << 20;
    params.block_weight_max = UINT64_C(64) << 20;
    params.work_base_bits = 9;
    params.work_window_ms = 10 * SECOND;
    params.work_free_txs = 1000;
    params.time_window_ms = 60 * SECOND;
    params.anchor_max_blocks = 10000;
    params.session_max_ms = 24 * HOUR;
    params.unbond_delay_ms = 24 * HOUR;
    params.bond_provider = 100 * HYPER;
    params.bond_consumer = 1 * HYPER;
    params.space_openings = 8;
    params.plot_commit_openings = 16;
    params.plot_min_labels = 64;
    params.max_lease_ms = 30 * 24 * HOUR;
    params.max_lease_items = 16;
    params.max_leases_per_asset = 10000;
    params.max_ops_per_tx = 64;
    params.max_batch_txs = 4096;
    /* The answer to a challenged result holds a job (to 256 KiB) and a manifest (64 KiB); that of 64 openings of
     * the largest plot 90 KiB; a key-value operation a value of 1 MiB. */
    params.max_tx_bytes = 2 * 1024 * 1024;
    params.max_sessions = 16;
    params.caes_reward_ppm = 100000;
    /* Nothing where one may deal with oneself under two names unseen; the whole in public. */
    params.level_reward_ppm = level_rewards;
    params.n_level_reward_ppm = HM_COUNT_OF(level_rewards);
    params.challenge_deposit = 10 * HYPER;
    params.challenge_window_ms = 600 * SECOND;
    params.challenge_openings = 64;
    params.challenge_slash_ppm = 100000;
    params.challenge_pay_ppm = 500000;
    params.max_open_challenges = 16;
    ledger_default_staking(&params);
    params.challenge_burn_ppm = 100000;
    params.result_window_ms = 7 * 24 * HOUR;
    params.max_networks = 1000;
    params.max_members = 100000;
    params.kv_max_leases = 100000;
    params.vdf_blocks = 1000;
    params.vdf_steps = UINT64_C(1) << 20; /* about two seconds */
    *out = params;
}

static int param_range(const char *name, uint64_t value, uint64_t least, uint64_t most,
                       struct hm_error *error)
{
    if (value >= least && value <= most)
        return 0;
    return hm_fail(error, HM_EINVAL, "genesis: params.%s is %llu, must be %llu to %llu", name,
                   (unsigned long long)value, (unsigned long long)least, (unsigned long long)most);
}

static int level_rewards_check(const Hypermesh__Params *params, struct hm_error *error)
{
    if (params->n_level_reward_ppm != HM_COUNT_OF(level_rewards))
        return hm_fail(error, HM_EINVAL,
                       "genesis: params.level_reward_ppm has %zu rates, must have %zu, one a "
                       "privacy level",
                       params->n_level_reward_ppm, HM_COUNT_OF(level_rewards));
    for (size_t i = 0; i < params->n_level_reward_ppm; i++) {
        int rc = param_range("level_reward_ppm", params->level_reward_ppm[i], 0, LEDGER_PPM, error);

        if (rc)
            return rc;
    }
    return 0;
}

int ledger_params_check(const Hypermesh__Params *params, struct hm_error *error)
{
    const uint64_t year = 366 * 24 * HOUR;
    int rc;
    const struct {
        const char *name;
        uint64_t value;
        uint64_t least;
        uint64_t most;
    } rows[] = {
        {"base_fee_initial", params->base_fee_initial, params->base_fee_minimum, UINT64_MAX / 2},
        {"block_weight_target", params->block_weight_target, 1000, UINT64_C(1) << 40},
        {"block_weight_max", params->block_weight_max, params->block_weight_target,
         UINT64_C(1) << 40},
        {"work_base_bits", params->work_base_bits, 0, PROOF_WORK_BITS_MAX},
        {"work_window_ms", params->work_window_ms, 1, 24 * HOUR},
        {"work_free_txs", params->work_free_txs, 1, UINT64_C(1) << 40},
        {"time_window_ms", params->time_window_ms, 1, 24 * HOUR},
        {"anchor_max_blocks", params->anchor_max_blocks, 1, UINT64_C(1) << 40},
        {"session_max_ms", params->session_max_ms, 1, year},
        {"unbond_delay_ms", params->unbond_delay_ms, 0, year},
        {"space_openings", params->space_openings, 1, PROOF_OPENINGS_MAX},
        {"plot_commit_openings", params->plot_commit_openings, 1, PROOF_OPENINGS_MAX},
        {"plot_min_labels", params->plot_min_labels, 64, PROOF_PLOT_LABELS_MAX},
        {"max_lease_ms", params->max_lease_ms, 1, 10 * year},
        {"max_lease_items", params->max_lease_items, 1, 1024},
        {"max_leases_per_asset", params->max_leases_per_asset, 1, LEDGER_SHARE_WHOLE},
        {"max_ops_per_tx", params->max_ops_per_tx, 1, 1024},
        {"max_batch_txs", params->max_batch_txs, 1, 65536},
        {"max_tx_bytes", params->max_tx_bytes, 8192, 4 * 1024 * 1024},
        {"max_sessions", params->max_sessions, 1, 256},
        {"caes_reward_ppm", params->caes_reward_ppm, 0, 1000 * LEDGER_PPM},
        {"challenge_deposit", params->challenge_deposit, 1, UINT64_MAX / 2},
        {"challenge_window_ms", params->challenge_window_ms, 1000, year},
        {"challenge_openings", params->challenge_openings, 1, PROOF_OPENINGS_MAX},
        {"challenge_slash_ppm", params->challenge_slash_ppm, 1, LEDGER_PPM},
        {"challenge_pay_ppm", params->challenge_pay_ppm, 0, LEDGER_PPM},
        {"max_open_challenges", params->max_open_challenges, 1, 256},
        {"challenge_burn_ppm", params->challenge_burn_ppm, 1, LEDGER_PPM},
        {"result_window_ms", params->result_window_ms, 1, 10 * year},
        {"max_networks", params->max_networks, 1, UINT64_C(1) << 40},
        {"max_members", params->max_members, 2, UINT64_C(1) << 40},
        {"kv_max_leases", params->kv_max_leases, 1, UINT64_C(1) << 40},
    };

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        rc = param_range(rows[i].name, rows[i].value, rows[i].least, rows[i].most, error);

        if (rc)
            return rc;
    }
    rc = ledger_stake_params_check(params, error);
    if (rc == 0)
        rc = ledger_vdf_params_check(params, error);
    return rc ? rc : level_rewards_check(params, error);
}

bool ledger_chain_id_ok(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > LEDGER_CHAIN_ID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

static int shares_check(const Hypermesh__Genesis *genesis, struct hm_error *error)
{
    uint64_t percent = 0;

    if (genesis->n_shares == 0 || genesis->n_shares > LEDGER_GENESIS_SHARES_MAX)
        return hm_fail(error, HM_EINVAL, "genesis: shares must be 1 to %d, there are %zu",
                       LEDGER_GENESIS_SHARES_MAX, genesis->n_shares);
    for (size_t i = 0; i < genesis->n_shares; i++) {
        const Hypermesh__GenesisShare *share = genesis->shares[i];

        if (share->account.len != LEDGER_ID_BYTES)
            return hm_fail(error, HM_EINVAL,
                           "genesis: shares[%zu].account has %zu bytes, must have %d", i,
                           share->account.len, LEDGER_ID_BYTES);
        if (share->percent > 100)
            return hm_fail(error, HM_EINVAL, "genesis: shares[%zu].percent is %u, over 100", i,
                           share->percent);
        percent += share->percent;
    }
    if (percent != 100)
        return hm_fail(error, HM_EINVAL, "genesis: shares add up to %llu %%, must be 100",
                       (unsigned long long)percent);
    return 0;
}

static int rule_compare(const Hypermesh__KvRule *a, const Hypermesh__KvRule *b)
{
    return hm_slice_compare(wire_slice(a->prefix), wire_slice(b->prefix));
}

/* In order of their prefixes, so that none can be there twice. */
static int kv_rules_check(const Hypermesh__Genesis *genesis, struct hm_error *error)
{
    if (genesis->n_kv_rules > LEDGER_KV_RULES_MAX)
        return hm_fail(error, HM_EINVAL, "genesis: kv_rules are at most %d, there are %zu",
                       LEDGER_KV_RULES_MAX, genesis->n_kv_rules);
    for (size_t i = 0; i < genesis->n_kv_rules; i++) {
        int rc = ledger_kv_rule_check(genesis->kv_rules[i], error);

        if (rc)
            return hm_error_prefix(error, rc, "genesis: kv_rules[%zu]", i);
        if (genesis->kv_rules[i]->owner.len == 0)
            return hm_fail(error, HM_EINVAL, "genesis: kv_rules[%zu] has no owner", i);
        if (i > 0 && rule_compare(genesis->kv_rules[i - 1], genesis->kv_rules[i]) >= 0)
            return hm_fail(error, HM_EINVAL,
                           "genesis: kv_rules[%zu] is not after the one before it: they are sorted "
                           "by prefix, each once",
                           i);
    }
    return 0;
}

static int genesis_check(const Hypermesh__Genesis *genesis, struct hm_error *error)
{
    int rc;

    if (!ledger_chain_id_ok(genesis->chain_id))
        return hm_fail(error, HM_EINVAL, "genesis: chain_id must be 1-%d characters of a-z 0-9 -",
                       LEDGER_CHAIN_ID_MAX_BYTES);
    if (genesis->time_ms == 0 || genesis->time_ms > UINT64_MAX / 4)
        return hm_fail(error, HM_EINVAL, "genesis: time_ms is missing or out of range");
    if (genesis->supply == 0)
        return hm_fail(error, HM_EINVAL, "genesis: supply is 0");
    if (!genesis->params)
        return hm_fail(error, HM_EINVAL, "genesis: params are missing");
    rc = shares_check(genesis, error);
    if (rc == 0)
        rc = ledger_params_check(genesis->params, error);
    if (rc == 0)
        rc = ledger_validators_genesis_check(genesis, error);
    return rc ? rc : kv_rules_check(genesis, error);
}

/* What genesis needs while it writes. */
struct founding {
    struct store_txn *txn;
    struct hm_arena arena;
    struct ledger_overlay overlay;
    struct hm_buf pack;
};

static int founding_put(struct founding *founding, struct hm_slice key,
                        const ProtobufCMessage *message, struct hm_error *error)
{
    hm_buf_clear(&founding->pack);
    if (wire_pack(message, &founding->pack))
        return hm_fail(error, HM_ENOMEM, "no memory for genesis");
    return ledger_overlay_put(&founding->overlay, key, hm_buf_slice(&founding->pack), error);
}

static int share_give(struct founding *founding, ProtobufCBinaryData id, uint64_t amount,
                      struct hm_error *error)
{
    uint8_t key_bytes[LEDGER_KEY_ID_BYTES];
    struct hm_slice key = ledger_key_id(LEDGER_KEY_ACCOUNT, id.data, key_bytes);
    Hypermesh__Account *account;
    struct hm_slice bytes;
    int rc = ledger_overlay_get(&founding->overlay, key, &bytes, error);

    if (rc == 0) {
        rc = ledger_account_unpack(bytes, &founding->arena, &account, error);
    } else if (rc == HM_ENOTFOUND) {
        account = ledger_account_blank(&founding->arena);
        rc = account ? 0 : hm_fail(error, HM_ENOMEM, "no memory for genesis");
    }
    if (rc)
        return rc;
    account->hyper += amount;
    return founding_put(founding, key, &account->base, error);
}

/* Rounded down each; what rounding leaves goes to the first. */
static int shares_give(struct founding *founding, const Hypermesh__Genesis *genesis,
                       struct hm_error *error)
{
    uint64_t left = genesis->supply;

    for (size_t i = genesis->n_shares; i-- > 0;) {
        const Hypermesh__GenesisShare *share = genesis->shares[i];
        uint64_t amount;
        int rc;

        if (!hm_muldiv_u64(genesis->supply, share->percent, 100, &amount) || amount > left)
            return hm_fail(error, HM_EINTERNAL, "genesis: shares do not add up");
        if (i == 0)
            amount = left;
        left -= amount;
        rc = share_give(founding, share->account, amount, error);
        if (rc)
            return rc;
    }
    return 0;
}

static int founding_state(struct founding *founding, const Hypermesh__Genesis *genesis,
                          struct ledger_info *info, struct hm_error *error)
{
    const uint8_t params_key = LEDGER_KEY_PARAMS;
    const uint8_t supply_key = LEDGER_KEY_SUPPLY;
    uint8_t rule_key[LEDGER_KEY_KV_BYTES];
    Hypermesh__Supply supply = HYPERMESH__SUPPLY__INIT;
    int rc = shares_give(founding, genesis, error);

    if (rc == 0)
        rc = ledger_validators_found(&founding->overlay, &founding->arena, genesis,
                                     &supply.hyper_bonded, error);
    if (rc)
        return rc;
    rc = founding_put(founding, hm_slice_of(&params_key, 1), &genesis->params->base, error);
    if (rc)
        return rc;
    for (size_t i = 0; rc == 0 && i < genesis->n_kv_rules; i++) {
        const Hypermesh__KvRule *rule = genesis->kv_rules[i];

        rc = founding_put(founding,
                          ledger_key_kv(LEDGER_KEY_KV_RULE, wire_slice(rule->prefix), rule_key),
                          &rule->base, error);
    }
    if (rc)
        return rc;
    supply.hyper_genesis = genesis->supply;
    supply.hyper_accounts = genesis->supply - supply.hyper_bonded;
    rc = founding_put(founding, hm_slice_of(&supply_key, 1), &supply.base, error);
    if (rc)
        return rc;
    return ledger_overlay_write(&founding->overlay, &ledger_tree, info->state_root, error);
}

static int founding_write(struct founding *founding, struct hm_slice bytes,
                          struct ledger_info *info, struct hm_error *error)
{
    const uint8_t genesis_key = LEDGER_META_GENESIS;
    struct ledger_info known = {0};
    Hypermesh__Genesis *genesis;
    int rc = ledger_read_info(founding->txn, &known, NULL);

    if (rc == 0) {
        (void)ledger_read_name(founding->txn, &known, NULL);
        return hm_fail(error, HM_EEXIST, "the store holds the chain \"%s\" already",
                       known.chain_id);
    }
    if (rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the store could not be read");
    rc = WIRE_UNPACK(hypermesh__genesis, bytes, LEDGER_GENESIS_MAX_BYTES, &founding->arena,
                     &genesis, error);
    if (rc)
        return rc;
    rc = genesis_check(genesis, error);
    if (rc)
        return rc;
    info->time_ms = genesis->time_ms;
    info->base_fee = genesis->params->base_fee_initial;
    crypto_hash(bytes.data, bytes.len, info->block_hash);
    rc = founding_state(founding, genesis, info, error);
    if (rc)
        return rc;
    rc = store_put(founding->txn, LEDGER_TABLE_META, hm_slice_of(&genesis_key, 1), bytes, error);
    if (rc)
        return rc;
    return ledger_chain_write(founding->txn, info, &founding->pack, error);
}

int ledger_init_chain(struct ledger *ledger, struct hm_slice genesis, struct hm_error *error)
{
    struct founding founding = {0};
    struct ledger_info info = {0};
    int rc = store_begin_write(ledger->store, &founding.txn, error);

    if (rc)
        return rc;
    hm_arena_init(&founding.arena, LEDGER_TX_ARENA_BYTES);
    ledger_overlay_init(&founding.overlay, founding.txn, &founding.arena, NULL);
    rc = founding_write(&founding, genesis, &info, error);
    if (rc)
        store_abort(founding.txn);
    else
        rc = store_commit(founding.txn, error);
    hm_arena_release(&founding.arena);
    hm_buf_release(&founding.pack);
    return rc ? rc : ledger_load(ledger, error);
}
