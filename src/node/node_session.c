/* The session keys that sign for the keystore's accounts: opened when there is none, put to use, forgotten when they
 * are revoked. */
#include "node_wallet.h"

#define NODE_SESSION_MS        (UINT64_C(12) * 3600 * 1000)
#define NODE_SESSION_MARGIN_MS (UINT64_C(10) * 60 * 1000)
#define NODE_EXTRA_OPS_MAX     8
/* Everything a session key may sign: all but the grant of another. */
#define NODE_SESSION_NOT (UINT64_C(1) << HYPERMESH__OPERATION__OP_SESSION_GRANT)

/* --- what is known ----------------------------------------------------------------------------------------- */

static bool node_session_has(const Hypermesh__Account *account,
                             const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    for (size_t i = 0; i < account->n_sessions; i++)
        if (hm_slice_equal(wire_slice(account->sessions[i]->key),
                           hm_slice_of(key, CRYPTO_ED25519_PUBLIC_BYTES)))
            return true;
    return false;
}

/* Does the ledger know the key? It may have been revoked there. */
static bool node_session_known(struct node *node, const struct node_account *account,
                               const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_view *view;
    Hypermesh__Account *state;
    bool known;

    hm_arena_init(&arena, 0);
    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return true; /* not known to be gone */
    known = ledger_view_account(view, account->id, &arena, &state, NULL) != 0 ||
            node_session_has(state, key);
    ledger_view_close(view);
    return known;
}

int node_session_now(struct node_account *account, uint64_t now_ms, struct trust_session *out,
                     struct hm_error *error)
{
    pthread_mutex_lock(&account->keys);
    int rc = trust_session_current(account->identity, now_ms, 0, out);
    pthread_mutex_unlock(&account->keys);
    return rc == 0 ? 0 : hm_fail(error, HM_EAUTH, "the session of '%s' has ended", account->name);
}

/* A session that lasts until then at least. What the ledger knows of it is asked only when the node says so. */
static bool node_session_lasts(const struct node_account *account, uint64_t until_ms)
{
    return atomic_load_explicit(&account->session_until_ms, memory_order_relaxed) > until_ms;
}

bool node_session_is_there(const struct node *node, const struct node_account *account)
{
    return node_session_lasts(account, node_now_ms(node) + NODE_SESSION_MARGIN_MS);
}

int node_session_sign(struct node_account *account, const struct trust_session *session,
                      const uint8_t digest[CRYPTO_HASH_BYTES],
                      uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES], struct hm_error *error)
{
    struct trust_session current;
    int rc;

    pthread_mutex_lock(&account->keys);
    if (trust_session_current(account->identity, 0, 0, &current) != 0 ||
        memcmp(current.public_key, session->public_key, sizeof(current.public_key)) != 0)
        rc = hm_fail(error, HM_ECONFLICT, "the session key of '%s' has just changed",
                     account->name);
    else
        rc = trust_session_sign(account->identity, digest, signature, error);
    pthread_mutex_unlock(&account->keys);
    return rc;
}

/* --- forgetting -------------------------------------------------------------------------------------------- */

void node_session_forget(struct node_account *account, struct hm_slice key)
{
    struct trust_session current;
    struct hm_error error = {0};

    pthread_mutex_lock(&account->keys);
    if (trust_session_current(account->identity, 0, 0, &current) == 0 &&
        hm_slice_equal(key, hm_slice_of(current.public_key, sizeof(current.public_key)))) {
        if (trust_session_drop(account->identity, &error) != 0)
            hm_log(HM_LOG_WARN, "node", "the revoked session of '%s' stays on the disk: %s",
                   account->name, error.text);
        atomic_store(&account->session_until_ms, 0);
    }
    pthread_mutex_unlock(&account->keys);
}

bool node_session_forget_unknown(struct node *node, struct node_account *account)
{
    struct trust_session current;

    if (node_session_now(account, 0, &current, NULL) != 0)
        return true;
    if (node_session_known(node, account, current.public_key))
        return false;
    node_session_forget(account, hm_slice_of(current.public_key, sizeof(current.public_key)));
    return true;
}

/* --- opening ----------------------------------------------------------------------------------------------- */

/* Puts the session that is on the ledger to use. */
static int node_session_adopt(struct node_account *account, struct hm_error *error)
{
    struct trust_session session;

    pthread_mutex_lock(&account->keys);
    int rc = trust_session_adopt(account->identity, error);
    account->granted = rc != 0;
    if (rc == 0 && trust_session_current(account->identity, 0, 0, &session) == 0)
        atomic_store(&account->session_until_ms, session.expires_ms);
    pthread_mutex_unlock(&account->keys);
    return rc;
}

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
    pthread_mutex_lock(&account->keys);
    int rc = trust_session_begin(account->identity, node_now_ms(node) + NODE_SESSION_MS, &session,
                                 error);
    pthread_mutex_unlock(&account->keys);
    if (rc != 0)
        return rc;
    grant.session_key = wire_bytes(session.public_key, sizeof(session.public_key));
    grant.scope = ledger_scope_taken(node->ledger) & ~NODE_SESSION_NOT;
    grant.expires_ms = session.expires_ms;
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_GRANT;
    op.session_grant = &grant;
    ops[0] = &op;
    for (size_t i = 0; i < extra_count; i++)
        ops[i + 1] = extra[i];
    return node_account_submit(node, account, true, ops, extra_count + 1, NULL, error);
}

/* One thread at a time, outside the lock. *done: the extra operations went along. */
static int node_session_open(struct node *node, struct node_account *account,
                             Hypermesh__Operation *const *extra, size_t extra_count, bool *done,
                             struct hm_error *error)
{
    int rc;

    if (account->granted) /* what a full disk kept from being stored is paid already */
        return node_session_adopt(account, error);
    rc = node_session_grant(node, account, extra, extra_count, error);
    if (rc != 0)
        return rc;
    *done = true;
    return node_session_adopt(account, error);
}

int node_session_ensure(struct node *node, struct node_account *account,
                        Hypermesh__Operation *const *extra, size_t extra_count, bool *done,
                        struct hm_error *error)
{
    uint64_t now_ms = node_now_ms(node);
    bool went = false;
    int rc = 0;

    if (!node_session_lasts(account, now_ms + NODE_SESSION_MARGIN_MS)) {
        pthread_mutex_lock(&account->lock);
        while (account->opening)
            pthread_cond_wait(&account->opened, &account->lock);
        if (!node_session_lasts(account, now_ms + NODE_SESSION_MARGIN_MS)) {
            account->opening = true;
            pthread_mutex_unlock(&account->lock);
            rc = node_session_open(node, account, extra, extra_count, &went, error);
            pthread_mutex_lock(&account->lock);
            account->opening = false;
            pthread_cond_broadcast(&account->opened);
            if (rc != 0 && node_session_lasts(account, now_ms))
                rc = 0; /* the old one will do for now */
        }
        pthread_mutex_unlock(&account->lock);
    }
    if (done != NULL)
        *done = went;
    return rc;
}

int node_wallet_open_session(struct node *node, const char *name,
                             Hypermesh__Operation *const *extra, size_t extra_count,
                             struct hm_error *error)
{
    struct node_account *account;
    bool done;
    int rc = node_account_get(node, name, &account, error);

    if (rc != 0)
        return rc;
    (void)node_session_forget_unknown(node, account); /* an older chain's, or revoked elsewhere */
    rc = node_session_ensure(node, account, extra, extra_count, &done, error);
    if (rc == 0 && !done && extra_count > 0)
        rc = node_account_submit(node, account, false, extra, extra_count, NULL, error);
    return rc;
}

/* --- the operator's, which signs batches --------------------------------------------------------------------- */

int node_wallet_ready(struct node *node, struct hm_error *error)
{
    int rc = node_session_ensure(node, node->wallet.operator, NULL, 0, NULL, error);

    return rc != 0 ? hm_error_prefix(error, rc, "account '%s'", NODE_OPERATOR) : 0;
}

int node_wallet_session_key(struct node *node, const char *name,
                            uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    struct node_account *account;
    struct trust_session session;
    int rc = node_account_get(node, name, &account, NULL);

    if (rc == 0)
        rc = node_session_now(account, node_now_ms(node), &session, NULL) == 0 ? 0 : HM_ENOTFOUND;
    if (rc == 0 && !node_session_known(node, account, session.public_key))
        rc = HM_ENOTFOUND;
    if (rc == 0)
        memcpy(public_key, session.public_key, sizeof(session.public_key));
    return rc;
}

int node_wallet_batch_session(struct node *node, const Hypermesh__Account *operator,
                              struct trust_session * out)
{
    return node_session_now(node->wallet.operator, node_now_ms(node), out, NULL) == 0 &&
                   node_session_has(operator, out->public_key)
               ? 0
               : HM_ENOTFOUND;
}

int node_wallet_sign_batch(struct node *node, struct hm_slice head,
                           const struct trust_session *session,
                           uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES],
                           struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];

    proof_batch_digest(head, digest);
    int rc = node_session_sign(node->wallet.operator, session, digest, signature, error);
    if (rc == 0)
        ledger_note_batch(node->ledger, head,
                          hm_slice_of(signature, CRYPTO_ED25519_SIGNATURE_BYTES));
    return rc;
}
