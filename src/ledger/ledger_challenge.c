#include "ledger_challenge.h"

#include "ledger_validator.h"

static int broken(struct hm_error *error)
{
    return hm_fail(error, HM_EINTERNAL, "an open challenge is not what its node waits for");
}

int ledger_challenge_list(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                          bool open, struct hm_error *error)
{
    const uint8_t *parties[] = {challenge->challenger.data, challenge->node.data, ledger_everybody};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(parties); i++) {
        rc = ledger_scope_list(scope, LEDGER_INDEX_CHALLENGE, parties[i], challenge->id.data, open,
                               error);
        if (rc == 0 && open && parties[i] != ledger_everybody)
            rc = ledger_scope_list(scope, LEDGER_INDEX_CHALLENGE_ALL, parties[i],
                                   challenge->id.data, true, error);
    }
    return rc;
}

/* --- how one ends --- */

/* A result waits no more: there may be another challenge of it. */
static int result_end(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                      Hypermesh__NodeMarks *marks, struct hm_error *error)
{
    Hypermesh__Lease *lease;
    int rc = ledger_scope_lease(scope, challenge->lease, &lease, error);

    if (rc)
        return rc == HM_ENOTFOUND ? broken(error) : rc;
    if (marks->open_results == 0 || !ledger_id_equal(lease->challenge, challenge->id))
        return broken(error);
    lease->challenge = (ProtobufCBinaryData){0};
    marks->open_results--;
    marks->open--;
    return 0;
}

/* Takes the challenge from what waits for the node's answer. */
static int marks_end(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                     Hypermesh__NodeMarks *marks, struct hm_error *error)
{
    const ProtobufCBinaryData id = challenge->id;
    size_t kept = 0;

    if (!marks || marks->open == 0 || marks->n_waiting + marks->open_results != marks->open)
        return broken(error);
    if (challenge->lease.len > 0)
        return result_end(scope, challenge, marks, error);
    for (size_t i = 0; i < marks->n_waiting; i++) {
        if (!ledger_id_equal(marks->waiting[i], id))
            marks->waiting[kept++] = marks->waiting[i];
    }
    if (kept + 1 != marks->n_waiting)
        return broken(error);
    marks->n_waiting = kept;
    marks->open--;
    return 0;
}

static int parties_open(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                        Hypermesh__Account **node, Hypermesh__Account **challenger,
                        struct hm_error *error)
{
    int rc;

    if (challenge->state != HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
        return hm_fail(error, HM_EINTERNAL, "a challenge that is not open is to end");
    rc = ledger_scope_account(scope, challenge->node, node, error);
    if (rc == 0)
        rc = ledger_scope_account(scope, challenge->challenger, challenger, error);
    return rc ? rc : marks_end(scope, challenge, (*node)->marks, error);
}

static int challenge_close(struct ledger_scope *scope, Hypermesh__Challenge *challenge,
                           Hypermesh__ChallengeState state, struct hm_error *error)
{
    challenge->state = state;
    challenge->ended_ms = scope->block->time_ms;
    return ledger_challenge_list(scope, challenge, false, error);
}

int ledger_challenge_pass(struct ledger_scope *scope, Hypermesh__Challenge *challenge,
                          struct hm_error *error)
{
    Hypermesh__Account *node;
    Hypermesh__Account *challenger;
    uint64_t burnt;
    int rc = parties_open(scope, challenge, &node, &challenger, error);

    if (rc)
        return rc;
    /* A part is burnt: who has a challenger of his own would get his deposits back again and again. */
    if (!hm_muldiv_u64(challenge->deposit, scope->block->params->challenge_burn_ppm, LEDGER_PPM,
                       &burnt))
        return hm_fail(error, HM_EINTERNAL, "a part of a deposit does not fit");
    rc = ledger_money_deposit_give(scope, challenger, node, challenge->deposit, burnt, error);
    if (rc)
        return rc;
    node->marks->answered++;
    return challenge_close(scope, challenge, HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED, error);
}

/* What the claim is worth from now on. */
static int claim_drop(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                      Hypermesh__Account *node, struct hm_error *error)
{
    Hypermesh__Lease *lease;
    int rc;

    if (challenge->lease.len == 0) {
        /* It could not be replaced meanwhile, but another challenge may have taken it already. */
        node->plot = NULL;
        return 0;
    }
    rc = ledger_scope_lease(scope, challenge->lease, &lease, error);
    if (rc == 0)
        lease->refuted = true;
    return rc;
}

int ledger_challenge_fail(struct ledger_scope *scope, Hypermesh__Challenge *challenge,
                          Hypermesh__ChallengeState state, const char *reason,
                          struct hm_error *error)
{
    const Hypermesh__Params *params = scope->block->params;
    Hypermesh__Account *node;
    Hypermesh__Account *challenger;
    uint64_t slashed;
    uint64_t paid;
    bool plotted;
    void *text;
    int rc = parties_open(scope, challenge, &node, &challenger, error);

    if (rc)
        return rc;
    /* Whoever challenged the same plot beside: a validator's stake pays for one loss once. */
    plotted = challenge->lease.len == 0 && node->plot != NULL;
    /* Parts of a whole: they fit. */
    if (!hm_muldiv_u64(ledger_money_at_stake(node), params->challenge_slash_ppm, LEDGER_PPM,
                       &slashed) ||
        !hm_muldiv_u64(slashed, params->challenge_pay_ppm, LEDGER_PPM, &paid))
        return hm_fail(error, HM_EINTERNAL, "a part of a bond does not fit");
    rc = ledger_money_slash(scope, node, challenger, slashed, paid, error);
    if (rc == 0)
        rc = ledger_money_deposit_give(scope, challenger, challenger, challenge->deposit, 0, error);
    if (rc == 0)
        rc = claim_drop(scope, challenge, node, error);
    if (rc == 0 && plotted)
        rc = ledger_slash_plot(scope, challenge->node, challenge->opened_ms, error);
    if (rc == 0)
        rc = ledger_scope_alloc(scope, strlen(reason) + 1, &text, error);
    if (rc)
        return rc;
    memcpy(text, reason, strlen(reason) + 1);
    challenge->reason = text;
    challenge->slashed = slashed;
    challenge->paid = paid;
    node->marks->failed++;
    node->marks->last_failed_ms = scope->block->time_ms;
    if (!hm_add_u64(node->marks->slashed, slashed, &node->marks->slashed))
        node->marks->slashed = UINT64_MAX;
    return challenge_close(scope, challenge, state, error);
}

int ledger_challenge_silence(struct ledger_scope *scope, ProtobufCBinaryData id,
                             struct hm_error *error)
{
    Hypermesh__Challenge *challenge;
    int rc = ledger_scope_challenge(scope, id, &challenge, error);

    return rc ? rc
              : ledger_challenge_fail(scope, challenge,
                                      HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT,
                                      "no answer came in time", error);
}

/* --- what a challenged node may not do --- */

int ledger_challenge_bond_free(const struct ledger_act *act, uint64_t amount,
                               struct hm_error *error)
{
    const Hypermesh__Account *account = act->signer;
    uint64_t open = account->marks ? account->marks->open : 0;
    uint64_t whole = ledger_money_at_stake(account);
    uint64_t needed;

    if (open == 0 || amount > account->bonded)
        return 0;
    if (!hm_muldiv_u64(whole, act->params->challenge_slash_ppm, LEDGER_PPM, &needed) ||
        !hm_mul_u64(needed, open, &needed) || needed > whole)
        needed = whole;
    if (account->bonded - amount >= needed)
        return 0;
    return ledger_refuse(error, LEDGER_RULE_BOND_CHALLENGED,
                         "%llu challenges wait for the account's answer, so %llu HYPER base units "
                         "must stay bonded until they have ended",
                         (unsigned long long)open, (unsigned long long)needed);
}

int ledger_challenge_plot_free(const struct ledger_act *act, struct hm_error *error)
{
    const Hypermesh__NodeMarks *marks = act->signer->marks;

    return marks && marks->n_waiting > 0
               ? ledger_refuse(error, LEDGER_RULE_SPACE_CHALLENGED,
                               "the plot is challenged: answer first, or wait until the "
                               "challenge has ended")
               : 0;
}

/* --- what is asked --- */

int ledger_challenge_indices(const Hypermesh__Challenge *challenge, const Hypermesh__Params *params,
                             struct hm_arena *arena, uint64_t **indices, size_t *count,
                             struct hm_error *error)
{
    uint64_t *list;

    if (!challenge->plot || challenge->seed.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EINVAL,
                       "the challenge is of a result; it asks for no positions of a plot");
    list = hm_arena_alloc(arena, params->challenge_openings * sizeof *list);
    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory for the positions of a challenge");
    proof_space_positions(challenge->seed.data, challenge->plot->labels, list,
                          params->challenge_openings);
    *indices = list;
    *count = params->challenge_openings;
    return 0;
}
