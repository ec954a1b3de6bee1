/* Acts of the keystore's accounts: their names, and those in use. */
#include "node_wallet.h"

#include <stdio.h>

#define NODE_WALLET_ACCOUNTS_MAX 1024

void node_wallet_init(struct node_wallet *wallet)
{
    pthread_mutex_init(&wallet->lock, NULL);
    pthread_mutex_init(&wallet->names_lock, NULL);
    wallet->accounts = wallet->operator= NULL;
    atomic_init(&wallet->share_ops, 1);
}

void node_wallet_release(struct node_wallet *wallet)
{
    struct node_account *account = wallet->accounts;

    while (account != NULL) {
        struct node_account *next = account->next;

        trust_identity_free(account->identity);
        pthread_cond_destroy(&account->opened);
        pthread_mutex_destroy(&account->lock);
        pthread_mutex_destroy(&account->keys);
        hm_free(account);
        account = next;
    }
    wallet->accounts = wallet->operator= NULL;
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
    struct trust_session session;

    if (account == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an account");
    int rc = trust_identity_open(node->keystore, name, &account->identity, error);
    if (rc != 0) {
        hm_free(account);
        return rc;
    }
    snprintf(account->name, sizeof(account->name), "%s", name);
    memcpy(account->id, trust_identity_account(account->identity), WIRE_ID_BYTES);
    atomic_init(&account->session_until_ms,
                trust_session_current(account->identity, 0, 0, &session) == 0 ? session.expires_ms
                                                                              : 0);
    account->last = &account->first;
    pthread_mutex_init(&account->keys, NULL);
    pthread_mutex_init(&account->lock, NULL);
    pthread_cond_init(&account->opened, NULL);
    account->next = node->wallet.accounts;
    node->wallet.accounts = account;
    *out = account;
    return 0;
}

int node_account_get(struct node *node, const char *name, struct node_account **out,
                     struct hm_error *error)
{
    struct node_account *account;
    size_t count = 0;
    int rc = 0;

    pthread_mutex_lock(&node->wallet.lock);
    for (account = node->wallet.accounts; account != NULL; account = account->next, count++)
        if (strcmp(account->name, name) == 0)
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

struct node_account *node_account_find(struct node *node, const char *name)
{
    struct node_account *account;

    pthread_mutex_lock(&node->wallet.lock);
    account = node->wallet.accounts;
    while (account != NULL && strcmp(account->name, name) != 0)
        account = account->next;
    pthread_mutex_unlock(&node->wallet.lock);
    return account;
}

int node_wallet_begin(struct node *node, struct hm_error *error)
{
    return node_account_get(node, NODE_OPERATOR, &node->wallet.operator, error);
}

int node_wallet_resolve(struct node *node, const char *name_or_id, uint8_t id[WIRE_ID_BYTES],
                        struct hm_error *error)
{
    struct node_account *account;

    if (strncmp(name_or_id, "hm1", 3) == 0)
        return wire_account_parse(name_or_id, id, error);
    int rc = node_account_get(node, name_or_id, &account, error);
    if (rc == 0)
        memcpy(id, account->id, WIRE_ID_BYTES);
    return rc;
}

/* --- acts --------------------------------------------------------------------------------------------------- */

/* A revoked key signs nothing any more: the next act opens another session. */
static void node_account_heed(struct node_account *account, Hypermesh__Operation *const *ops,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->op_case == HYPERMESH__OPERATION__OP_SESSION_REVOKE)
            node_session_forget(account, wire_slice(ops[i]->session_revoke->session_key));
}

static int node_account_act(struct node *node, struct node_account *account,
                            Hypermesh__Operation *const *ops, size_t count,
                            struct engine_receipt *receipt, struct hm_error *error)
{
    int rc = node_session_ensure(node, account, NULL, 0, NULL, error);

    if (rc == 0)
        rc = node_account_submit(node, account, false, ops, count, receipt, error);
    return rc;
}

/* Looks at both, and forgets each that the ledger does not know. */
static bool node_sessions_are_gone(struct node *node, struct node_account *account)
{
    bool own = node_session_forget_unknown(node, account);
    bool operators = node_session_forget_unknown(node, node->wallet.operator);

    return own || operators;
}

int node_wallet_submit(struct node *node, const char *name, Hypermesh__Operation *const *ops,
                       size_t count, struct engine_receipt *receipt, struct hm_error *error)
{
    struct node_account *account;
    int rc = node_account_get(node, name, &account, error);

    if (rc == 0)
        rc = node_wallet_ready(node, error);
    if (rc != 0)
        return rc;
    rc = node_account_act(node, account, ops, count, receipt, error);
    /* Somebody else may have revoked the session, this account's or the one that signs batches. */
    if (rc == HM_EPROOF_STAKE && node_sessions_are_gone(node, account)) {
        rc = node_wallet_ready(node, error);
        if (rc == 0)
            rc = node_account_act(node, account, ops, count, receipt, error);
    }
    if (rc == 0)
        node_account_heed(account, ops, count);
    return rc;
}
