/* Behind the API: what the node says of itself, accounts, and acts. */
#include <stdio.h>

#include "node_backup.h"
#include "node_private.h"

int node_view(struct node *node, struct ledger_view **out, struct hm_error *error)
{
    int rc = node_need_ledger(node, error);

    return rc != 0 ? rc : ledger_view_open(node->ledger, out, error);
}

/* --- status ---------------------------------------------------------------------------------------------- */

static const char *node_sandbox_text(const struct runtime_machine *machine, struct hm_arena *arena)
{
    static const char *const cgroups[] = {"no cgroups", "cgroup v1", "cgroup v2"};

    return hm_arena_printf(arena, "%s %s, %s, %s", machine->oci_name, machine->oci_version,
                           cgroups[machine->cgroup], machine->rootless ? "rootless" : "rootful");
}

static int node_status_machine(struct node *node, struct hm_arena *arena, struct api_status *out)
{
    out->sandbox = "none: see 'nexus doctor'";
    if (!node->machine_known)
        return 0;
    out->sandbox = node_sandbox_text(&node->machine, arena);
    out->warnings = hm_arena_alloc(arena, (node->machine.warning_count + 1) * sizeof(char *));
    if (out->sandbox == NULL || out->warnings == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < node->machine.warning_count; i++)
        out->warnings[out->warning_count++] = hm_arena_strdup(arena, node->machine.warnings[i]);
    return 0;
}

static void node_status_chain(struct node *node, struct hm_arena *arena, struct api_status *out)
{
    char account[WIRE_ID_TEXT_MAX];
    struct ledger_info info;

    if (ledger_info(node->ledger, &info, NULL) != 0)
        return;
    out->chain_id = hm_arena_strdup(arena, info.chain_id);
    out->height = info.height;
    out->time_ms = info.time_ms;
    out->base_fee = info.base_fee;
    memcpy(out->block_hash, info.block_hash, sizeof(out->block_hash));
    memcpy(out->state_root, info.state_root, sizeof(out->state_root));
    if (!atomic_load(&node->opened))
        return;
    wire_account_text(node->operator_id, account);
    out->node_account = hm_arena_strdup(arena, account);
}

static int node_status(void *ctx, struct hm_arena *arena, struct api_status *out,
                       struct hm_error *error)
{
    struct node *node = ctx;

    memset(out, 0, sizeof(*out));
    out->ready = atomic_load(&node->ready);
    out->version = HM_VERSION;
    out->chain_id = out->node_account = out->listen = out->engine = out->not_ready = "";
    out->data_dir = node->data_dir;
    out->started_ms = node->started_ms;
    node_status_chain(node, arena, out);
    if (atomic_load(&node->opened)) {
        struct engine_status engine;

        engine_get_status(node->engine, &engine);
        out->engine = engine.name;
        out->queued = engine.queued;
        node_engine_status(node, &engine, arena, out);
        out->listen = api_server_listen(node->api);
        out->plot_bytes = node_plot_size(node);
    }
    pthread_mutex_lock(&node->state_lock);
    int rc = node_status_machine(node, arena, out);
    if (!out->ready)
        out->not_ready = hm_arena_strdup(arena, node->not_ready);
    pthread_mutex_unlock(&node->state_lock);
    if (rc != 0 || out->not_ready == NULL || out->chain_id == NULL || out->node_account == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the node's status");
    return 0;
}

static int node_ask_stop(void *ctx, struct hm_error *error)
{
    struct node *node = ctx;
    const uint64_t one = 1;

    hm_log(HM_LOG_INFO, "node", "asked to stop");
    return hm_write_all(node->stop_fd, &one, sizeof(one), error);
}

/* --- accounts -------------------------------------------------------------------------------------------------- */

static int node_account_read(struct ledger_view *view, const char *name,
                             const uint8_t id[WIRE_ID_BYTES], struct hm_arena *arena,
                             struct api_account *out, struct hm_error *error)
{
    int rc = ledger_view_account(view, id, arena, &out->state, error);

    if (rc != 0)
        return rc;
    out->name = name;
    memcpy(out->id, id, WIRE_ID_BYTES);
    return 0;
}

static int node_account_state(struct node *node, const char *name, const uint8_t id[WIRE_ID_BYTES],
                              struct hm_arena *arena, struct api_account *out,
                              struct hm_error *error)
{
    struct ledger_view *view;
    int rc = node_view(node, &view, error);

    if (rc != 0)
        return rc;
    rc = node_account_read(view, name, id, arena, out, error);
    ledger_view_close(view);
    return rc;
}

static int node_accounts(void *ctx, struct hm_arena *arena, struct api_account **out, size_t *count,
                         struct hm_error *error)
{
    struct trust_entry *entries;
    struct api_account *list;
    struct ledger_view *view;
    size_t found;
    int rc = node_view(ctx, &view, error);

    if (rc != 0)
        return rc;
    rc = node_wallet_names(ctx, arena, &entries, &found, error);
    list = rc == 0 ? hm_arena_alloc(arena, (found + 1) * sizeof(*list)) : NULL;
    if (rc == 0 && list == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for %zu accounts", found);
    for (size_t i = 0; rc == 0 && i < found; i++)
        rc = node_account_read(view, entries[i].name, entries[i].account, arena, &list[i], error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

/* The keystore's name of an id, in the arena; NULL: not ours. */
static const char *node_account_name(struct node *node, const uint8_t id[WIRE_ID_BYTES],
                                     struct hm_arena *arena)
{
    char name[TRUST_NAME_MAX + 1];

    return node_wallet_name_of(node, id, name, NULL) == 0 ? hm_arena_strdup(arena, name) : NULL;
}

static int node_account(void *ctx, const char *name_or_id, struct hm_arena *arena,
                        struct api_account *out, struct hm_error *error)
{
    struct node *node = ctx;
    uint8_t id[WIRE_ID_BYTES];
    int rc = node_need_ledger(node, error);

    if (rc == 0)
        rc = node_wallet_resolve(node, name_or_id, id, error);
    return rc != 0 ? rc
                   : node_account_state(node, node_account_name(node, id, arena), id, arena, out,
                                        error);
}

static int node_account_create(void *ctx, const char *name, struct hm_arena *arena,
                               struct api_account *out, struct hm_error *error)
{
    struct node *node = ctx;
    struct trust_entry entry;
    int rc = node_need_ready(node, error);

    if (rc == 0)
        rc = node_wallet_create(node, name, &entry, error);
    return rc != 0 ? rc
                   : node_account_state(node, hm_arena_strdup(arena, entry.name), entry.account,
                                        arena, out, error);
}

/* --- acts ------------------------------------------------------------------------------------------------------- */

int node_receipt(const struct engine_receipt *from, struct hm_arena *arena, struct api_receipt *out,
                 struct hm_error *error)
{
    out->created = hm_arena_dup(arena, from->created, (from->created_count + 1) * WIRE_ID_BYTES);
    if (out->created == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a receipt; the transaction is durable");
    out->created_count = from->created_count;
    memcpy(out->digest, from->digest, sizeof(out->digest));
    out->height = from->block.height;
    memcpy(out->block_hash, from->block.hash, sizeof(out->block_hash));
    memcpy(out->state_root, from->block.state_root, sizeof(out->state_root));
    out->fee = from->fee;
    return engine_receipt_answers(from, arena, &out->kv, &out->kv_count, error);
}

int node_signer(struct node *node, const char *name_or_id, char name[TRUST_NAME_MAX + 1],
                struct hm_error *error)
{
    uint8_t id[WIRE_ID_BYTES];
    int rc = node_wallet_resolve(node, name_or_id, id, error);

    if (rc == 0 && node_wallet_name_of(node, id, name, NULL) != 0)
        rc = hm_fail(error, HM_EPERM,
                     "this node has no keys of %.80s: sign by yourself and send it to /txs",
                     name_or_id);
    return rc;
}

static int node_submit(void *ctx, const char *account, Hypermesh__Operation *const *ops,
                       size_t count, struct hm_arena *arena, struct api_receipt *out,
                       struct hm_error *error)
{
    struct node *node = ctx;
    char name[TRUST_NAME_MAX + 1];
    struct engine_receipt receipt;

    int rc = node_need_ready(node, error);
    if (rc == 0)
        rc = node_signer(node, account, name, error);
    if (rc == 0)
        rc = node_wallet_submit(node, name, ops, count, &receipt, error);
    if (rc != 0)
        return rc;
    rc = node_receipt(&receipt, arena, out, error);
    engine_receipt_release(&receipt);
    return rc;
}

static int node_submit_signed(void *ctx, struct hm_slice tx, struct hm_arena *arena,
                              struct api_receipt *out, struct hm_error *error)
{
    struct node *node = ctx;
    struct engine_receipt receipt;

    int rc = node_need_ready(node, error);
    if (rc == 0)
        rc = node_wallet_ready(node, error);
    if (rc == 0)
        rc = engine_submit_wait(node->engine, tx, &receipt, error);
    if (rc != 0)
        return rc;
    rc = receipt.code != 0 ? hm_fail(error, receipt.code, "%s", receipt.text)
                           : node_receipt(&receipt, arena, out, error);
    engine_receipt_release(&receipt);
    return rc;
}

static int node_signing(void *ctx, const uint8_t account[32], struct hm_arena *arena,
                        Hypermesh__TxBody *out, unsigned *work_bits, uint64_t *base_fee,
                        struct hm_error *error)
{
    struct node *node = ctx;
    struct ledger_signing signing;
    struct ledger_view *view;
    uint64_t now_ms = node_now_ms(node);
    int rc = node_view(node, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_signing(view, account, now_ms, &signing, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    struct ledger_signing *kept = hm_arena_dup(arena, &signing, sizeof(signing));
    uint8_t *id = hm_arena_dup(arena, account, WIRE_ID_BYTES);
    if (kept == NULL || id == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for signing facts");
    hypermesh__tx_body__init(out);
    out->chain_id = kept->info.chain_id;
    out->account = wire_bytes(id, WIRE_ID_BYTES);
    out->presence = wire_bytes(kept->presence, CRYPTO_HASH_BYTES);
    out->anchor_height = kept->info.height;
    out->anchor_hash = wire_bytes(kept->info.block_hash, CRYPTO_HASH_BYTES);
    out->timestamp_ms = now_ms;
    *work_bits = kept->work_bits;
    *base_fee = kept->info.base_fee;
    return 0;
}

void node_backend_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->ctx = node;
    backend->status = node_status;
    backend->stop = node_ask_stop;
    backend->metrics = node_metrics;
    backend->accounts = node_accounts;
    backend->account = node_account;
    backend->account_create = node_account_create;
    backend->submit = node_submit;
    backend->submit_signed = node_submit_signed;
    backend->signing = node_signing;
    backend->backup_create = node_backup_create;
    node_backend_chain_init(node);
    node_backend_light_init(node);
    node_backend_machine_init(node);
    node_backend_network_init(node);
    node_backend_stake_init(node);
    node_backend_ticket_init(node);
    node_backend_witness_init(node);
    node_backend_kv_init(node);
    node_later_init(node);
    node_backend_news_init(node);
}
