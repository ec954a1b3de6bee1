/* Acts of the keystore's accounts: their names, those in use, and the sessions that sign for them. */
#include "node_wallet.h"

#define NODE_SESSION_MS          (UINT64_C(12) * 3600 * 1000)
#define NODE_SESSION_MARGIN_MS   (UINT64_C(10) * 60 * 1000)
#define NODE_WALLET_ACCOUNTS_MAX 1024

void node_wallet_init(struct node_wallet *wallet)
{
    pthread_mutex_init(&wallet->lock, NULL);
    pthread_mutex_init(&wallet->names_lock, NULL);
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
    hm_free(wallet->names);
    wallet->names = NULL;
    pthread_mutex_destroy(&wallet->names_lock);
    pthread_mutex_destroy(&wallet->lock);
}

/* --- names ------------------------------------------------------------------------------------------------ */

/* Reads the keystore's names once; only this node writes it. Under the names' lock. */
static int node_names_load(struct node *node, struct hm_error *error)
{
    struct node_wallet *wallet = &node->wallet;

    return wallet->names != NULL
               ? 0
               : trust_keystore_list(node->keystore, &wallet->names, &wallet->name_count, error);
}

/* Under the names' lock; where memory is short they are read again next time. */
static void node_names_add(struct node_wallet *wallet, const struct trust_entry *entry)
{
    size_t at = 0, count = wallet->name_count;
    struct trust_entry *names;

    if (wallet->names == NULL)
        return;
    names = hm_realloc(wallet->names, (count + 1) * sizeof(*names));
    if (names == NULL) {
        hm_free(wallet->names);
        wallet->names = NULL;
        return;
    }
    while (at < count && strcmp(names[at].name, entry->name) < 0)
        at++;
    memmove(names + at + 1, names + at, (count - at) * sizeof(*names));
    names[at] = *entry;
    wallet->names = names;
    wallet->name_count = count + 1;
}

int node_wallet_create(struct node *node, const char *name, struct trust_entry *out,
                       struct hm_error *error)
{
    pthread_mutex_lock(&node->wallet.names_lock);
    int rc = trust_identity_create(node->keystore, name, out, error);
    if (rc == 0)
        node_names_add(&node->wallet, out);
    pthread_mutex_unlock(&node->wallet.names_lock);
    return rc;
}

int node_wallet_names(struct node *node, struct hm_arena *arena, struct trust_entry **out,
                      size_t *count, struct hm_error *error)
{
    struct node_wallet *wallet = &node->wallet;

    pthread_mutex_lock(&wallet->names_lock);
    int rc = node_names_load(node, error);
    if (rc == 0) {
        struct trust_entry *copy = hm_arena_alloc(arena, (wallet->name_count + 1) * sizeof(*copy));

        if (copy == NULL) {
            rc = hm_fail(error, HM_ENOMEM, "no memory for %zu accounts", wallet->name_count);
        } else {
            memcpy(copy, wallet->names, wallet->name_count * sizeof(*copy));
            *out = copy;
            *count = wallet->name_count;
        }
    }
    pthread_mutex_unlock(&wallet->names_lock);
    return rc;
}

int node_wallet_name_of(struct node *node, const uint8_t id[WIRE_ID_BYTES],
                        char name[TRUST_NAME_MAX + 1], struct hm_error *error)
{
    struct node_wallet *wallet = &node->wallet;
    size_t at = 0;

    pthread_mutex_lock(&wallet->names_lock);
    int rc = node_names_load(node, error);
    while (rc == 0 && at < wallet->name_count &&
           memcmp(wallet->names[at].account, id, WIRE_ID_BYTES) != 0)
        at++;
    if (rc == 0 && at == wallet->name_count)
        rc = hm_fail(error, HM_ENOTFOUND, "this node's keystore has no keys of that account");
    if (rc == 0)
        memcpy(name, wallet->names[at].name, TRUST_NAME_MAX + 1);
    pthread_mutex_unlock(&wallet->names_lock);
    return rc;
}

/* --- accounts in use ---------------------------------------------------------------------------------------- */

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

/* --- sessions ----------------------------------------------------------------------------------------------- */

#define NODE_EXTRA_OPS_MAX 8
/* Everything a session key may sign: all but the grant of another. */
#define NODE_SESSION_SCOPE \
    (LEDGER_SCOPE_ALL & ~(UINT64_C(1) << HYPERMESH__OPERATION__OP_SESSION_GRANT))

/* Does the ledger know the key? It may have been revoked there. */
static bool node_session_known(struct node *node, const struct trust_identity *identity,
                               const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_view *view;
    Hypermesh__Account *account;
    bool known = false;

    hm_arena_init(&arena, 0);
    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return true; /* not known to be gone */
    if (ledger_view_account(view, trust_identity_account(identity), &arena, &account, NULL) != 0)
        known = true;
    for (size_t i = 0; !known && i < account->n_sessions; i++)
        known = hm_slice_equal(wire_slice(account->sessions[i]->key),
                               hm_slice_of(key, CRYPTO_ED25519_PUBLIC_BYTES));
    ledger_view_close(view);
    return known;
}

/* A session that lasts margin_ms from now at least. Under the account's lock. */
static bool node_session_lasts(struct node *node, const struct node_account *account,
                               uint64_t margin_ms)
{
    struct trust_session session;

    return trust_session_current(account->identity, hm_wall_ms(node->options.clock), margin_ms,
                                 &session) == 0 &&
           node_session_known(node, account->identity, session.public_key);
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
    if (!node_session_lasts(node, account, 0) ||
        trust_session_current(account->identity, 0, 0, &session) != 0)
        rc = HM_ENOTFOUND;
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

/* Puts the session that is on the ledger to use. */
static int node_session_adopt(struct node_account *account, struct hm_error *error)
{
    pthread_mutex_lock(&account->lock);
    int rc = trust_session_adopt(account->identity, error);
    account->granted = rc != 0;
    pthread_mutex_unlock(&account->lock);
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

static int node_account_session(struct node *node, struct node_account *account,
                                Hypermesh__Operation *const *extra, size_t extra_count,
                                struct hm_error *error)
{
    bool done = false;
    int rc = 0;

    pthread_mutex_lock(&account->lock);
    while (account->opening)
        pthread_cond_wait(&account->idle, &account->lock);
    if (!node_session_lasts(node, account, NODE_SESSION_MARGIN_MS)) {
        account->opening = true;
        pthread_mutex_unlock(&account->lock);
        rc = node_session_open(node, account, extra, extra_count, &done, error);
        pthread_mutex_lock(&account->lock);
        account->opening = false;
        pthread_cond_broadcast(&account->idle);
        if (rc != 0 && node_session_lasts(node, account, 0))
            rc = 0; /* the old one will do for now */
    }
    pthread_mutex_unlock(&account->lock);
    if (rc == 0 && !done && extra_count > 0)
        rc = node_account_submit(node, account, false, extra, extra_count, NULL, error);
    return rc;
}

int node_wallet_open_session(struct node *node, const char *name,
                             Hypermesh__Operation *const *extra, size_t extra_count,
                             struct hm_error *error)
{
    struct node_account *account;
    int rc = node_account_get(node, name, &account, error);

    return rc != 0 ? rc : node_account_session(node, account, extra, extra_count, error);
}

int node_wallet_ready(struct node *node, struct hm_error *error)
{
    int rc = node_wallet_open_session(node, NODE_OPERATOR, NULL, 0, error);

    return rc != 0 ? hm_error_prefix(error, rc, "account '%s'", NODE_OPERATOR) : 0;
}

int node_wallet_submit(struct node *node, const char *name, Hypermesh__Operation *const *ops,
                       size_t count, struct engine_receipt *receipt, struct hm_error *error)
{
    struct node_account *account;
    int rc = node_wallet_ready(node, error);

    if (rc == 0)
        rc = node_account_get(node, name, &account, error);
    if (rc == 0 && strcmp(name, NODE_OPERATOR) != 0)
        rc = node_account_session(node, account, NULL, 0, error);
    if (rc == 0)
        rc = node_account_submit(node, account, false, ops, count, receipt, error);
    return rc;
}
