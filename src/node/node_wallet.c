/* Acts of the keystore's accounts: build, prove, sign, order. An account's transactions follow each other by
 * presence; while some are on their way, the next one builds on the presence that they will leave, so one
 * account can fill a block. */
#include <stdio.h>

#include "node_private.h"

#define NODE_SESSION_MS          (UINT64_C(12) * 3600 * 1000)
#define NODE_SESSION_MARGIN_MS   (UINT64_C(10) * 60 * 1000)
#define NODE_SUBMIT_TRIES        4
#define NODE_WALLET_ACCOUNTS_MAX 1024
/* Room for a base fee that rises by 1/8 a block while a transaction waits. */
#define NODE_FEE_HEADROOM 4

struct node_account {
    struct node_account *next;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t idle; /* in_flight fell to 0 */
    struct trust_identity *identity;
    size_t in_flight;
    bool broken; /* one on its way was refused: those after it will be, too */
    uint8_t presence[CRYPTO_HASH_BYTES]; /* after those on their way */
};

void node_wallet_init(struct node_wallet *wallet)
{
    pthread_mutex_init(&wallet->lock, NULL);
    wallet->accounts = NULL;
}

void node_wallet_release(struct node_wallet *wallet)
{
    struct node_account *account = wallet->accounts;

    while (account != NULL) {
        struct node_account *next = account->next;

        trust_identity_free(account->identity);
        pthread_cond_destroy(&account->idle);
        pthread_mutex_destroy(&account->lock);
        hm_free(account);
        account = next;
    }
    wallet->accounts = NULL;
    pthread_mutex_destroy(&wallet->lock);
}

/* Under the wallet's lock. */
static int node_account_load(struct node *node, const char *name, struct node_account **out,
                             struct hm_error *error)
{
    struct node_account *account = hm_calloc(1, sizeof(*account));

    if (account == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an account");
    int rc = trust_identity_open(node->keystore, name, &account->identity, error);
    if (rc != 0) {
        hm_free(account);
        return rc;
    }
    pthread_mutex_init(&account->lock, NULL);
    pthread_cond_init(&account->idle, NULL);
    account->next = node->wallet.accounts;
    node->wallet.accounts = account;
    *out = account;
    return 0;
}

static int node_account_get(struct node *node, const char *name, struct node_account **out,
                            struct hm_error *error)
{
    struct node_account *account;
    size_t count = 0;
    int rc = 0;

    pthread_mutex_lock(&node->wallet.lock);
    for (account = node->wallet.accounts; account != NULL; account = account->next, count++)
        if (strcmp(trust_identity_name(account->identity), name) == 0)
            break;
    if (account == NULL && count >= NODE_WALLET_ACCOUNTS_MAX)
        rc = hm_fail(error, HM_ELIMIT, "more than %d accounts in use", NODE_WALLET_ACCOUNTS_MAX);
    else if (account == NULL)
        rc = node_account_load(node, name, &account, error);
    pthread_mutex_unlock(&node->wallet.lock);
    if (rc == 0)
        *out = account;
    return rc;
}

int node_wallet_resolve(struct node *node, const char *name_or_id, uint8_t id[WIRE_ID_BYTES],
                        struct hm_error *error)
{
    struct node_account *account;

    if (strncmp(name_or_id, "hm1", 3) == 0)
        return wire_account_parse(name_or_id, id, error);
    int rc = node_account_get(node, name_or_id, &account, error);
    if (rc == 0)
        memcpy(id, trust_identity_account(account->identity), WIRE_ID_BYTES);
    return rc;
}

int node_wallet_session_key(struct node *node, const char *name,
                            uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    struct node_account *account;
    struct trust_session session;
    int rc = node_account_get(node, name, &account, NULL);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&account->lock);
    rc = trust_session_current(account->identity, hm_wall_ms(node->options.clock), 0, &session);
    pthread_mutex_unlock(&account->lock);
    if (rc == 0)
        memcpy(public_key, session.public_key, sizeof(session.public_key));
    return rc;
}

int node_wallet_sign_batch(struct node *node, const char *name, struct hm_slice head,
                           const uint8_t session_key[CRYPTO_ED25519_PUBLIC_BYTES],
                           uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES],
                           struct hm_error *error)
{
    struct node_account *account;
    struct trust_session session;
    uint8_t digest[CRYPTO_HASH_BYTES];
    int rc = node_account_get(node, name, &account, error);

    if (rc != 0)
        return rc;
    proof_batch_digest(head, digest);
    pthread_mutex_lock(&account->lock);
    if (trust_session_current(account->identity, 0, 0, &session) != 0 ||
        memcmp(session.public_key, session_key, sizeof(session.public_key)) != 0)
        rc = hm_fail(error, HM_ECONFLICT, "the session key of '%s' has just changed", name);
    else
        rc = trust_session_sign(account->identity, digest, signature, error);
    pthread_mutex_unlock(&account->lock);
    return rc;
}

/* --- building ------------------------------------------------------------------------------------------ */

/* What goes into one transaction besides its operations. */
struct node_draft {
    const struct node_account *account;
    const struct ledger_signing *signing;
    const uint8_t *session_key; /* NULL: root keys sign */
    uint64_t now_ms;
    Hypermesh__Operation *const *ops;
    size_t count;
};

static int node_draft_body(const struct node_draft *draft, struct hm_buf *out,
                           struct hm_error *error)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    const struct ledger_info *info = &draft->signing->info;
    uint64_t weight;

    body.chain_id = (char *)(uintptr_t)info->chain_id;
    body.account = wire_bytes(trust_identity_account(draft->account->identity), WIRE_ID_BYTES);
    if (draft->session_key != NULL)
        body.session_key = wire_bytes(draft->session_key, CRYPTO_ED25519_PUBLIC_BYTES);
    body.presence = wire_bytes(draft->account->presence, CRYPTO_HASH_BYTES);
    body.anchor_height = info->height;
    body.anchor_hash = wire_bytes(info->block_hash, CRYPTO_HASH_BYTES);
    body.timestamp_ms = draft->now_ms;
    body.n_ops = draft->count;
    body.ops = (Hypermesh__Operation **)(uintptr_t)draft->ops;
    body.fee_limit = UINT64_MAX; /* as long as it can be, for the weight of the bytes */
    weight = ledger_tx_weight(&body, protobuf_c_message_get_packed_size(&body.base) +
                                         sizeof(struct crypto_root_signature) +
                                         sizeof(struct crypto_root_public));
    if (!hm_mul_u64(weight, info->base_fee, &body.fee_limit) ||
        !hm_mul_u64(body.fee_limit, NODE_FEE_HEADROOM, &body.fee_limit))
        return hm_fail(error, HM_ERANGE, "the fee of this transaction is more than money can be");
    if (wire_pack(&body.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

/* Packs the whole transaction and gives its digest. Under the account's lock. */
static int node_draft_sign(const struct node_draft *draft, struct hm_buf *out,
                           uint8_t digest[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__RootAuth root = HYPERMESH__ROOT_AUTH__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t body_digest[CRYPTO_HASH_BYTES];
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    hm_arena_init(&arena, 0);
    int rc = node_draft_body(draft, &body, error);
    if (rc != 0)
        return rc;
    proof_body_digest(hm_buf_slice(&body), body_digest);
    rc = proof_work_solve(body_digest, draft->signing->work_bits, &tx.work_nonce, digest, error);
    if (rc != 0)
        return rc;
    if (draft->session_key == NULL) {
        rc = trust_identity_sign_root(draft->account->identity, digest, &arena, &root, error);
        tx.root = &root;
    } else {
        rc = trust_session_sign(draft->account->identity, digest, signature, error);
        tx.signature = wire_bytes(signature, sizeof(signature));
    }
    if (rc != 0)
        return rc;
    tx.body = wire_bytes(body.data, body.len);
    if (wire_pack(&tx.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

/* --- ordering --------------------------------------------------------------------------------------------- */

/* A submission on its way; lives in the submitter's frame. */
struct node_pending {
    struct node_account *account;
    bool ended;
    bool in_block;
    struct engine_receipt receipt;
};

static bool node_presence_refused(int code)
{
    return code == HM_EPROOF_TIME;
}

static void node_pending_done(void *ctx, const Hypermesh__TxResult *result,
                              const struct engine_block *block)
{
    struct node_pending *pending = ctx;
    struct node_account *account = pending->account;

    pthread_mutex_lock(&account->lock);
    engine_receipt_fill(&pending->receipt, result, block);
    pending->in_block = block != NULL;
    pending->ended = true;
    /* Refused before it was applied: presence stands where it was. */
    if (block == NULL || result->fee == 0)
        account->broken = true;
    account->in_flight--;
    pthread_cond_broadcast(&account->idle);
    pthread_mutex_unlock(&account->lock);
}

/* Builds on what is on its way, or on the ledger when nothing is. Under the account's lock. */
static int node_account_send(struct node *node, struct node_account *account, bool by_root,
                             Hypermesh__Operation *const *ops, size_t count,
                             struct node_pending *pending, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0};
    struct ledger_signing signing;
    struct trust_session session;
    struct ledger_view *view;
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t now_ms = hm_wall_ms(node->options.clock);

    while (account->broken && account->in_flight > 0)
        pthread_cond_wait(&account->idle, &account->lock);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_signing(view, trust_identity_account(account->identity), now_ms, &signing,
                             error);
    ledger_view_close(view);
    if (rc == 0 && !by_root)
        rc = trust_session_current(account->identity, now_ms, 0, &session) == 0
                 ? 0
                 : hm_fail(error, HM_EAUTH, "the session of '%s' has ended",
                           trust_identity_name(account->identity));
    if (rc != 0)
        return rc;
    if (account->in_flight == 0) {
        memcpy(account->presence, signing.presence, sizeof(account->presence));
        account->broken = false;
    }
    const struct node_draft draft = {.account = account,
                                     .signing = &signing,
                                     .session_key = by_root ? NULL : session.public_key,
                                     .now_ms = now_ms,
                                     .ops = ops,
                                     .count = count};
    rc = node_draft_sign(&draft, &tx, digest, error);
    if (rc == 0)
        rc = engine_submit(node->engine, hm_buf_slice(&tx), node_pending_done, pending, error);
    if (rc != 0)
        return rc;
    proof_presence_next(account->presence, digest, account->presence);
    account->in_flight++;
    return 0;
}

static int node_account_submit(struct node *node, struct node_account *account, bool by_root,
                               Hypermesh__Operation *const *ops, size_t count,
                               struct engine_receipt *receipt, struct hm_error *error)
{
    int rc = 0;

    for (unsigned attempt = 0; attempt < NODE_SUBMIT_TRIES; attempt++) {
        struct node_pending pending = {.account = account};

        pthread_mutex_lock(&account->lock);
        rc = node_account_send(node, account, by_root, ops, count, &pending, error);
        while (rc == 0 && !pending.ended)
            pthread_cond_wait(&account->idle, &account->lock);
        pthread_mutex_unlock(&account->lock);
        if (rc != 0)
            return rc;
        if (pending.receipt.code == 0) {
            if (receipt != NULL)
                *receipt = pending.receipt;
            return 0;
        }
        rc = hm_fail(error, pending.receipt.code, "%s", pending.receipt.text);
        /* Another of the account's was refused before this one: build anew on what is. */
        if (!pending.in_block || !node_presence_refused(rc))
            return rc;
    }
    return rc;
}

/* --- sessions ----------------------------------------------------------------------------------------------- */

#define NODE_EXTRA_OPS_MAX 8
/* Everything a session key may sign: all but the grant of another. */
#define NODE_SESSION_SCOPE \
    (LEDGER_SCOPE_ALL & ~(UINT64_C(1) << HYPERMESH__OPERATION__OP_SESSION_GRANT))

static int node_session_grant(struct node *node, struct node_account *account,
                              Hypermesh__Operation *const *extra, size_t extra_count,
                              struct hm_error *error)
{
    Hypermesh__SessionGrant grant = HYPERMESH__SESSION_GRANT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[NODE_EXTRA_OPS_MAX + 1];
    struct trust_session session;

    if (extra_count > NODE_EXTRA_OPS_MAX)
        return hm_fail(error, HM_ELIMIT, "%zu operations beside a session grant", extra_count);
    pthread_mutex_lock(&account->lock);
    int rc = trust_session_begin(
        account->identity, hm_wall_ms(node->options.clock) + NODE_SESSION_MS, &session, error);
    pthread_mutex_unlock(&account->lock);
    if (rc != 0)
        return rc;
    grant.session_key = wire_bytes(session.public_key, sizeof(session.public_key));
    grant.scope = NODE_SESSION_SCOPE;
    grant.expires_ms = session.expires_ms;
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_GRANT;
    op.session_grant = &grant;
    ops[0] = &op;
    for (size_t i = 0; i < extra_count; i++)
        ops[i + 1] = extra[i];
    rc = node_account_submit(node, account, true, ops, extra_count + 1, NULL, error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&account->lock);
    rc = trust_session_adopt(account->identity, error);
    pthread_mutex_unlock(&account->lock);
    return rc;
}

int node_wallet_open_session(struct node *node, const char *name,
                             Hypermesh__Operation *const *extra, size_t extra_count,
                             struct hm_error *error)
{
    struct node_account *account;
    struct trust_session session;
    int rc = node_account_get(node, name, &account, error);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&account->lock);
    int there = trust_session_current(account->identity, hm_wall_ms(node->options.clock),
                                      NODE_SESSION_MARGIN_MS, &session);
    pthread_mutex_unlock(&account->lock);
    if (there == 0)
        return 0;
    return node_session_grant(node, account, extra, extra_count, error);
}

int node_wallet_submit(struct node *node, const char *name, Hypermesh__Operation *const *ops,
                       size_t count, struct engine_receipt *receipt, struct hm_error *error)
{
    struct node_account *account;
    int rc = node_wallet_open_session(node, name, NULL, 0, error);

    if (rc == 0)
        rc = node_account_get(node, name, &account, error);
    if (rc == 0)
        rc = node_account_submit(node, account, false, ops, count, receipt, error);
    return rc;
}
