/* session_grant, session_revoke, space_commit: what an account says about its keys and its node. */
#include "ledger_challenge.h"
#include "ledger_facts.h"
#include "ledger_op.h"

static Hypermesh__Session *session_find(const Hypermesh__Account *account, ProtobufCBinaryData key)
{
    for (size_t i = 0; i < account->n_sessions; i++) {
        if (ledger_id_equal(account->sessions[i]->key, key))
            return account->sessions[i];
    }
    return NULL;
}

uint64_t ledger_scope_taken(struct ledger *ledger)
{
    uint64_t era = 0;

    if (ledger->stake_known || (ledger_era(ledger, &era, NULL) == 0 && era > 0))
        return LEDGER_SCOPE_ALL;
    return LEDGER_SCOPE_OLD;
}

static int grant_check(const struct ledger_act *act, const Hypermesh__SessionGrant *grant,
                       struct hm_error *error)
{
    uint64_t now = act->scope->block->time_ms;
    uint64_t most = now + act->params->session_max_ms;
    uint64_t taken = act->scope->block->scope;

    if (grant->session_key.len != CRYPTO_ED25519_PUBLIC_BYTES)
        return ledger_refuse(error, LEDGER_RULE_SESSION_KEY,
                             "session_key has %zu bytes, must have %d", grant->session_key.len,
                             CRYPTO_ED25519_PUBLIC_BYTES);
    if (grant->scope == 0 || (grant->scope & ~taken))
        return ledger_refuse(error, LEDGER_RULE_SESSION_SCOPE,
                             "scope %#llx must name operations that exist (bits of %#llx)",
                             (unsigned long long)grant->scope, (unsigned long long)taken);
    if (grant->expires_ms <= now || grant->expires_ms > most)
        return ledger_refuse(
            error, LEDGER_RULE_SESSION_EXPIRY,
            "expires_ms %llu must lie after block time %llu and at most %llu ms after "
            "it",
            (unsigned long long)grant->expires_ms, (unsigned long long)now,
            (unsigned long long)act->params->session_max_ms);
    return 0;
}

/* Room for one more at the end of the account's list. */
static int session_append(struct ledger_act *act, Hypermesh__Session **out, struct hm_error *error)
{
    Hypermesh__Account *account = act->signer;
    Hypermesh__Session *session;
    void *list;
    void *memory;
    int rc;

    if (account->n_sessions >= act->params->max_sessions)
        return ledger_refuse(error, LEDGER_RULE_SESSION_COUNT,
                             "the account has %zu sessions, at most %u are allowed; revoke one",
                             account->n_sessions, act->params->max_sessions);
    rc = ledger_scope_alloc(act->scope, (account->n_sessions + 1) * sizeof session, &list, error);
    if (rc)
        return rc;
    rc = ledger_scope_alloc(act->scope, sizeof *session, &memory, error);
    if (rc)
        return rc;
    session = memory;
    *session = (Hypermesh__Session)HYPERMESH__SESSION__INIT;
    if (account->n_sessions > 0)
        memcpy(list, account->sessions, account->n_sessions * sizeof session);
    account->sessions = list;
    account->sessions[account->n_sessions++] = session;
    *out = session;
    return 0;
}

int ledger_op_session_grant(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error)
{
    const Hypermesh__SessionGrant *grant = op->session_grant;
    Hypermesh__Session *session;
    int rc = grant_check(act, grant, error);

    if (rc)
        return rc;
    session = session_find(act->signer, grant->session_key);
    if (!session) {
        rc = session_append(act, &session, error);
        if (rc)
            return rc;
    }
    session->key = grant->session_key;
    session->scope = grant->scope;
    session->expires_ms = grant->expires_ms;
    return 0;
}

int ledger_op_session_revoke(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    Hypermesh__Account *account = act->signer;
    size_t kept = 0;

    if (!session_find(account, op->session_revoke->session_key))
        return ledger_refuse(error, LEDGER_RULE_SESSION_UNKNOWN,
                             "the account has no such session; it may have expired");
    for (size_t i = 0; i < account->n_sessions; i++) {
        if (!ledger_id_equal(account->sessions[i]->key, op->session_revoke->session_key))
            account->sessions[kept++] = account->sessions[i];
    }
    account->n_sessions = kept;
    return 0;
}

int ledger_op_space_commit(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error)
{
    const Hypermesh__SpaceCommit *commit = op->space_commit;
    uint8_t challenge[CRYPTO_HASH_BYTES];
    int rc = ledger_text_check(commit->endpoint, LEDGER_ENDPOINT_MAX_BYTES, "endpoint", error);

    if (rc)
        return rc;
    if (!commit->plot || commit->plot->root.len != CRYPTO_HASH_BYTES)
        return ledger_refuse(error, LEDGER_RULE_SPACE_PLOT, "space: the plot's root is missing");
    rc = ledger_refuse_as(error, LEDGER_RULE_SPACE_PLOT,
                          proof_plot_check(commit->plot, act->params->plot_min_labels, error));
    if (rc)
        return rc;
    proof_plot_challenge(act->body->account.data, commit->plot, challenge);
    rc = proof_space_verify(act->body->account.data, commit->plot, challenge, commit->openings,
                            commit->n_openings, act->params->plot_commit_openings, true, error);
    rc = ledger_refuse_as(error, LEDGER_RULE_SPACE_OPENINGS, rc);
    if (rc == 0)
        rc = ledger_challenge_plot_free(act, error);
    if (rc)
        return rc;
    /* Borrowed from the transaction, which lives as long as the scope. */
    act->signer->plot = commit->plot;
    act->signer->endpoint = commit->endpoint;
    return 0;
}
