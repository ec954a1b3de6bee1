/* challenge_open, challenge_answer. */
#include "ledger_challenge.h"

/* --- opening --- */

/* A result can be challenged that this node settled, for some time, until it has been refuted. */
static int result_check(struct ledger_act *act, const Hypermesh__ChallengeOpen *what,
                        Hypermesh__Lease **out, struct hm_error *error)
{
    uint64_t now = act->scope->block->time_ms;
    Hypermesh__Lease *lease;
    int rc = ledger_scope_lease(act->scope, what->lease, &lease, error);

    if (rc)
        return rc;
    *out = lease;
    if (!ledger_id_equal(lease->provider, what->node))
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_PROVIDER,
                             "the lease is not one that this node settles");
    if (ledger_id_equal(lease->consumer, lease->provider))
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_OWN,
                             "the provider leased this from itself: nobody else was to get the "
                             "result");
    if (!lease->settlement || lease->settlement->result.len == 0)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_RESULT,
                             "the lease has not been settled with a result");
    if (lease->refuted)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_DECIDED,
                             "the result has been refuted already");
    if (now - lease->settled_ms > act->params->result_window_ms)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_WINDOW,
                             "the result was settled %llu ms ago, it may be challenged for %llu",
                             (unsigned long long)(now - lease->settled_ms),
                             (unsigned long long)act->params->result_window_ms);
    /* Whoever asked: the answer is the same, and everybody sees it. */
    if (lease->challenge.len > 0)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_TWICE,
                             "the result has an open challenge already");
    return 0;
}

static int space_check(struct ledger_act *act, const Hypermesh__Account *node,
                       struct hm_error *error)
{
    const Hypermesh__NodeMarks *marks = node->marks;

    if (!node->plot)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_PLOT,
                             "the account has committed no plot");
    if (marks && marks->n_waiting >= act->params->max_open_challenges)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_COUNT,
                             "%zu challenges of its space wait for the node's answer, at most %u "
                             "are allowed",
                             marks->n_waiting, act->params->max_open_challenges);
    for (size_t i = 0; marks && i < marks->n_waiting; i++) {
        Hypermesh__Challenge *other;
        int rc = ledger_scope_challenge(act->scope, marks->waiting[i], &other, error);

        if (rc)
            return rc;
        if (ledger_id_equal(other->challenger, act->body->account))
            return ledger_refuse(error, LEDGER_RULE_CHALLENGE_TWICE,
                                 "the account has an open challenge of this plot already");
    }
    return 0;
}

static int waiting_add(struct ledger_scope *scope, Hypermesh__NodeMarks *marks,
                       ProtobufCBinaryData id, struct hm_error *error)
{
    void *memory;
    int rc = ledger_scope_alloc(scope, (marks->n_waiting + 1) * sizeof *marks->waiting, &memory,
                                error);

    if (rc)
        return rc;
    if (marks->n_waiting > 0)
        memcpy(memory, marks->waiting, marks->n_waiting * sizeof *marks->waiting);
    marks->waiting = memory;
    marks->waiting[marks->n_waiting++] = id;
    marks->open++;
    return 0;
}

/* One more waits for the node's answer. Those of results are not listed with it: there is one a lease, so they
 * need no limit. lease NULL: of its space. */
static int marks_begin(struct ledger_scope *scope, Hypermesh__Account *node,
                       Hypermesh__Lease *lease, ProtobufCBinaryData id, struct hm_error *error)
{
    void *memory;
    int rc;

    if (!node->marks) {
        rc = ledger_scope_alloc(scope, sizeof *node->marks, &memory, error);
        if (rc)
            return rc;
        node->marks = memory;
        *node->marks = (Hypermesh__NodeMarks)HYPERMESH__NODE_MARKS__INIT;
    }
    if (!lease)
        return waiting_add(scope, node->marks, id, error);
    lease->challenge = id;
    node->marks->open_results++;
    node->marks->open++;
    return 0;
}

static int challenge_new(struct ledger_act *act, const Hypermesh__ChallengeOpen *what,
                         const Hypermesh__Account *node, Hypermesh__Challenge **out,
                         struct hm_error *error)
{
    const struct ledger_block *block = act->scope->block;
    uint8_t id[LEDGER_ID_BYTES];
    uint8_t seed[CRYPTO_HASH_BYTES];
    Hypermesh__Challenge *challenge;
    int rc;

    ledger_act_new_chain_id(act, "hypermesh 1 challenge id", id);
    rc = ledger_scope_challenge_new(act->scope, wire_bytes(id, sizeof id), &challenge, error);
    if (rc)
        return rc;
    challenge->challenger = act->body->account;
    challenge->node = what->node;
    challenge->lease = what->lease;
    challenge->state = HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN;
    challenge->deposit = act->params->challenge_deposit;
    challenge->opened_height = block->height;
    challenge->opened_ms = block->time_ms;
    challenge->due_ms = block->time_ms + act->params->challenge_window_ms;
    *out = challenge;
    if (what->lease.len > 0)
        return 0;
    /* Nobody knew the block's hash while he could still choose what to challenge. */
    crypto_hash_parts("hypermesh 1 challenge",
                      (struct hm_slice[]){hm_slice_of(block->hash, sizeof block->hash),
                                          hm_slice_of(id, sizeof id)},
                      2, seed);
    challenge->plot = node->plot;
    return ledger_scope_bytes(act->scope, seed, sizeof seed, &challenge->seed, error);
}

int ledger_op_challenge_open(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__ChallengeOpen *what = op->challenge_open;
    Hypermesh__Challenge *challenge;
    Hypermesh__Lease *lease = NULL;
    Hypermesh__Account *node;
    int rc = ledger_scope_account(act->scope, what->node, &node, error);

    if (rc)
        return rc;
    if (node == act->signer)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_SELF, "nobody challenges himself");
    rc = what->lease.len > 0 ? result_check(act, what, &lease, error)
                             : space_check(act, node, error);
    if (rc == 0)
        rc = ledger_money_deposit(act->scope, act->signer, act->params->challenge_deposit, error);
    if (rc == 0)
        rc = challenge_new(act, what, node, &challenge, error);
    if (rc == 0)
        rc = marks_begin(act->scope, node, lease, challenge->id, error);
    if (rc)
        return rc;
    act->created = challenge->id;
    return ledger_challenge_list(act->scope, challenge, true, error);
}

/* --- answering --- */

static int answer_form(const Hypermesh__Challenge *challenge,
                       const Hypermesh__ChallengeAnswer *what, struct hm_error *error)
{
    bool space = challenge->lease.len == 0;

    if (space ? what->job.len > 0 || what->manifest.len > 0 : what->n_openings > 0)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_FORM, "%s",
                             space ? "a challenge of space is answered with openings alone"
                                   : "a challenge of a result is answered with job and manifest "
                                     "alone");
    return 0;
}

static int space_judge(const struct ledger_act *act, const Hypermesh__Challenge *challenge,
                       const Hypermesh__ChallengeAnswer *what, struct hm_error *why)
{
    return proof_space_verify(challenge->node.data, challenge->plot, challenge->seed.data,
                              what->openings, what->n_openings, act->params->challenge_openings,
                              false, why);
}

static bool hashes_to(ProtobufCBinaryData hash, const uint8_t digest[CRYPTO_HASH_BYTES])
{
    return hm_slice_equal(wire_slice(hash), hm_slice_of(digest, CRYPTO_HASH_BYTES));
}

/* Do job and manifest hash to what allocate and settle said? */
static int result_judge(const Hypermesh__Lease *lease, const Hypermesh__ChallengeAnswer *what,
                        struct hm_error *why)
{
    const struct hm_slice manifest = wire_slice(what->manifest);
    uint8_t digest[CRYPTO_HASH_BYTES];

    crypto_hash_parts("hypermesh 1 job result", &manifest, 1, digest);
    if (!hashes_to(lease->settlement->result, digest))
        return hm_fail(why, HM_EINVAL, "the manifest is not what the result is the hash of");
    if (lease->job.len == 0 && what->job.len == 0)
        return 0;
    crypto_hash(what->job.data, what->job.len, digest);
    if (lease->job.len == 0 || !hashes_to(lease->job, digest))
        return hm_fail(why, HM_EINVAL, "the job is not the one that the lease was for");
    return 0;
}

int ledger_op_challenge_answer(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error)
{
    const Hypermesh__ChallengeAnswer *what = op->challenge_answer;
    Hypermesh__Challenge *challenge;
    Hypermesh__Lease *lease;
    struct hm_error why = {0};
    int rc = ledger_scope_challenge(act->scope, what->challenge, &challenge, error);
    int wrong;

    if (rc)
        return rc;
    if (!ledger_id_equal(challenge->node, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_NODE,
                             "the challenge is put to another account");
    if (challenge->state != HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_ENDED, "the challenge has ended");
    rc = answer_form(challenge, what, error);
    if (rc == 0 && challenge->lease.len > 0)
        rc = ledger_scope_lease(act->scope, challenge->lease, &lease, error);
    if (rc)
        return rc;
    wrong = challenge->lease.len > 0 ? result_judge(lease, what, &why)
                                     : space_judge(act, challenge, what, &why);
    if (wrong == 0)
        return ledger_challenge_pass(act->scope, challenge, error);
    if (hm_error_is_fatal(wrong)) {
        if (error)
            *error = why;
        return wrong;
    }
    /* The transaction is good: what it says is not. */
    return ledger_challenge_fail(act->scope, challenge,
                                 HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, why.text, error);
}
