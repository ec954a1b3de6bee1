/* A chain of this node's own. The initial distribution is document 003's 40/20/25/10/5 %; the shares that
 * have no owner yet lie in accounts without keys, until governance can spend them. */
#include <stdio.h>

#include "node_private.h"

#define NODE_SUPPLY_HYPER UINT64_C(1000000000)
#define NODE_BASE_UNITS   UINT64_C(1000000000)
/* HYPER base units for a unit of weight: a lease's fee is then about what a core costs in half a minute. */
#define NODE_BASE_FEE 100
/* Transactions of one account in a window before Work gets dearer: nobody shares this chain, and a busy key-value
 * store must not solve harder and harder puzzles. */
#define NODE_FREE_TXS 1000000

struct node_share {
    const char *name;
    uint32_t percent;
    const char *account; /* of the keystore, or NULL: keyless */
};

static const struct node_share node_shares[] = {
    {"community", 40, NODE_USER}, {"validators", 20, NODE_OPERATOR},
    {"development", 25, NULL},    {"treasury", 10, NULL},
    {"partners", 5, NULL},
};

/* No public keys hash to it that anyone could know. */
static void node_keyless_account(const char *chain_id, const char *name, uint8_t id[WIRE_ID_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_str(chain_id), hm_slice_str("/"), hm_slice_str(name)};

    crypto_hash_parts("hypermesh 1 keyless account", parts, HM_COUNT_OF(parts), id);
}

int node_genesis_make(struct node *node, struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__Genesis genesis = HYPERMESH__GENESIS__INIT;
    Hypermesh__Params params = HYPERMESH__PARAMS__INIT;
    Hypermesh__GenesisShare shares[HM_COUNT_OF(node_shares)];
    Hypermesh__GenesisShare *pointers[HM_COUNT_OF(node_shares)];
    uint8_t ids[HM_COUNT_OF(node_shares)][WIRE_ID_BYTES];
    Hypermesh__KvRule rule = HYPERMESH__KV_RULE__INIT;
    Hypermesh__KvRule *rules[] = {&rule};
    uint8_t unique[4];
    char chain_id[32], hex[9];

    if (node->options.random->fill(node->options.random->ctx, unique, sizeof(unique)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes for a chain id");
    hm_hex_encode(unique, sizeof(unique), hex);
    snprintf(chain_id, sizeof(chain_id), "local-%s", hex);
    ledger_default_params(&params);
    params.base_fee_initial = params.base_fee_minimum = NODE_BASE_FEE;
    params.work_free_txs = NODE_FREE_TXS;
    params.plot_min_labels = node_plot_labels(node);
    if (params.plot_min_labels > PROOF_SEGMENT_LABELS_DEFAULT)
        params.plot_min_labels = PROOF_SEGMENT_LABELS_DEFAULT;
    for (size_t i = 0; i < HM_COUNT_OF(node_shares); i++) {
        const struct node_share *share = &node_shares[i];
        int rc = 0;

        if (share->account == NULL)
            node_keyless_account(chain_id, share->name, ids[i]);
        else
            rc = node_wallet_resolve(node, share->account, ids[i], error);
        if (rc != 0)
            return rc;
        hypermesh__genesis_share__init(&shares[i]);
        shares[i].name = (char *)(uintptr_t)share->name;
        shares[i].percent = share->percent;
        shares[i].account = wire_bytes(ids[i], WIRE_ID_BYTES);
        pointers[i] = &shares[i];
    }
    genesis.chain_id = chain_id;
    genesis.time_ms = hm_wall_ms(node->options.clock);
    genesis.supply = NODE_SUPPLY_HYPER * NODE_BASE_UNITS;
    genesis.n_shares = HM_COUNT_OF(node_shares);
    genesis.shares = pointers;
    genesis.params = &params;
    rule.owner = shares[0].account; /* NODE_USER's: every key is its to give */
    genesis.n_kv_rules = 1;
    genesis.kv_rules = rules;
    if (wire_pack(&genesis.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the genesis");
    return 0;
}
