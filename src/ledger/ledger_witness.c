/* What validators see of each other: whose votes a note may hold, and what comes of them.
 *
 * A vote for block H-1 carries an extension that the engine signs; the note of block H holds extensions of more than two
 * thirds of the power. Nothing here is believed because the proposer says it: each is verified with the key of a validator of
 * the set that voted. */
#include "ledger_witness.h"

#include "ledger_facts.h"
#include "ledger_view.h"

#define VOTE_CONTEXT  "hypermesh 1 seen witness vote"
#define PROOF_CONTEXT "hypermesh 1 seen witness proof"

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for what validators saw");
}

/* --- who votes --- */

int ledger_single_read(struct store_txn *txn, uint8_t key,
                       const ProtobufCMessageDescriptor *descriptor, const char *what,
                       struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    if (rc == HM_ENOTFOUND)
        return rc;
    if (rc)
        return hm_fail(error, rc, "the state table could not be read");
    rc = wire_unpack(descriptor, bytes, LEDGER_STATE_MAX_BYTES, arena, out, error);
    if (rc && rc != HM_ENOMEM)
        return hm_fail(error, HM_ECORRUPT, "the stored %s is damaged", what);
    return rc;
}

/* The set whose votes the block at height holds, by address; empty: not known. */
int ledger_witness_voters(struct ledger *ledger, struct store_txn *txn, uint64_t height,
                          struct hm_slice next_set, struct hm_arena *arena,
                          struct ledger_members *out, struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc = ledger_single_read(txn, LEDGER_KEY_ENGINE, &hypermesh__engine_state__descriptor,
                                "set of validators", arena, &message, error);

    *out = (struct ledger_members){0};
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = ledger_members_voting(txn, ledger->params, (Hypermesh__EngineState *)message, height,
                               next_set, arena, out, error);
    if (rc == 0)
        ledger_members_sort(out, false);
    return rc;
}

uint64_t ledger_witness_power(const struct ledger_members *members)
{
    uint64_t power = 0;

    for (size_t i = 0; i < members->count; i++)
        power += members->list[i].power; /* in all at most LEDGER_POWER_TOTAL_MAX */
    return power;
}

bool ledger_witness_enough(uint64_t power, uint64_t total)
{
    return power * 3 > total * 2;
}

/* --- one vote --- */

/* Verified before, or good now: then it is remembered. */
static bool signature_good(struct ledger *ledger, const char *context,
                           const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES], struct hm_slice message,
                           const uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_of(key, CRYPTO_ED25519_PUBLIC_BYTES),
                                     hm_slice_of(signature, CRYPTO_ED25519_SIGNATURE_BYTES),
                                     message};
    uint8_t seen[CRYPTO_HASH_BYTES];

    crypto_hash_parts(context, parts, HM_COUNT_OF(parts), seen);
    if (ledger_seen_has(&ledger->seen, seen))
        return true;
    if (crypto_ed25519_verify(key, message.data, message.len, signature))
        return false;
    ledger_seen_add(&ledger->seen, seen);
    return true;
}

/* Is the node that the validator says is its own? */
static int said_bound(struct ledger_witness_jury *jury, const Hypermesh__VoteWitness *said,
                      const struct ledger_member *member, bool *bound, struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint8_t node[LEDGER_VALIDATOR_ADDRESS_BYTES];
    int rc;

    *bound = false;
    if (said->key.len == 0)
        return 0;
    rc = ledger_validator_address(said->key.data, node, error); /* ids of nodes are made alike */
    if (rc)
        return rc;
    ledger_witness_digest(jury->info->chain_hash, member->address, digest);
    *bound = hm_slice_equal(wire_slice(said->node), hm_slice_of(node, sizeof node)) &&
             signature_good(jury->ledger, PROOF_CONTEXT, said->key.data,
                            hm_slice_of(digest, sizeof digest), said->proof.data);
    return 0;
}

int ledger_witness_vote(struct ledger_witness_jury *jury, const Hypermesh__WitnessVote *vote,
                        const struct ledger_member *member, struct ledger_witness_voter *out,
                        struct hm_error *error)
{
    Hypermesh__VoteWitness *said;
    bool bound;
    int rc;

    if (vote->signature.len != CRYPTO_ED25519_SIGNATURE_BYTES)
        return hm_fail(error, HM_EINVAL, "a vote's signature must have 64 bytes");
    rc = ledger_witness_said(wire_slice(vote->extension), jury->arena, &said, error);
    if (rc)
        return rc;
    hm_buf_clear(&jury->bytes);
    if (ledger_witness_sign_bytes(jury->info->engine_chain, jury->height, jury->round,
                                  wire_slice(vote->extension), &jury->bytes))
        return no_memory(error);
    if (!signature_good(jury->ledger, VOTE_CONTEXT, member->key, hm_buf_slice(&jury->bytes),
                        vote->signature.data))
        return hm_fail(error, HM_EAUTH, "a vote's signature is not its validator's");
    rc = said_bound(jury, said, member, &bound, error);
    if (rc == 0)
        *out = (struct ledger_witness_voter){.member = member, .said = said, .bound = bound};
    return rc;
}

/* --- a note's votes --- */

static int view_stored(struct store_txn *txn, struct hm_arena *arena, Hypermesh__WitnessView **out,
                       struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc = ledger_single_read(txn, LEDGER_KEY_WITNESS, &hypermesh__witness_view__descriptor,
                                "view of the validators", arena, &message, error);

    if (rc == 0)
        *out = (Hypermesh__WitnessView *)message;
    return rc;
}

/* *due: so long after the last ones that new votes are taken. */
static int votes_due(struct store_txn *txn, uint64_t time_ms, struct hm_arena *arena, bool *due,
                     struct hm_error *error)
{
    Hypermesh__WitnessView *view;
    int rc = view_stored(txn, arena, &view, error);

    if (rc == HM_ENOTFOUND) {
        *due = true;
        return 0;
    }
    if (rc == 0)
        *due = time_ms >= view->time_ms && time_ms - view->time_ms >= LEDGER_WITNESS_EVERY_MS;
    return rc;
}

/* Both are by address: each vote is looked for after the member of the one before. */
static int votes_match(struct ledger_witness_jury *jury, const Hypermesh__BlockNote *note,
                       const struct ledger_members *members, struct ledger_witness_votes *out,
                       struct hm_error *error)
{
    size_t at = 0;

    for (size_t i = 0; i < note->n_votes; i++) {
        const Hypermesh__WitnessVote *vote = note->votes[i];
        int rc;

        if (vote->address.len != LEDGER_VALIDATOR_ADDRESS_BYTES)
            return hm_fail(error, HM_EINVAL, "vote %zu: an address has 20 bytes", i);
        while (at < members->count && memcmp(members->list[at].address, vote->address.data,
                                             LEDGER_VALIDATOR_ADDRESS_BYTES) < 0)
            at++;
        if (at == members->count || memcmp(members->list[at].address, vote->address.data,
                                           LEDGER_VALIDATOR_ADDRESS_BYTES) != 0)
            return hm_fail(error, HM_EINVAL,
                           "vote %zu is of nobody who voted, or not in the order of addresses", i);
        rc = ledger_witness_vote(jury, vote, &members->list[at], &out->list[i], error);
        if (rc)
            return hm_error_prefix(error, rc, "vote %zu", i);
        out->power += members->list[at].power;
        at++;
    }
    out->count = note->n_votes;
    return 0;
}

static int votes_allowed(struct store_txn *txn, const struct ledger_witness_place *place,
                         const Hypermesh__BlockNote *note, struct hm_arena *arena,
                         struct hm_error *error)
{
    bool due;
    int rc;

    if (note->n_votes > LEDGER_WITNESS_VOTES_MAX)
        return hm_fail(error, HM_ELIMIT, "the note has %zu votes, at most %zu are allowed",
                       note->n_votes, LEDGER_WITNESS_VOTES_MAX);
    rc = votes_due(txn, place->time_ms, arena, &due, error);
    if (rc == 0 && !due)
        rc = hm_fail(error, HM_EINVAL, "the note has votes less than %llu ms after the last ones",
                     (unsigned long long)LEDGER_WITNESS_EVERY_MS);
    return rc;
}

static int votes_judge(struct ledger_witness_jury *jury, const struct ledger_members *members,
                       const Hypermesh__BlockNote *note, struct ledger_witness_votes *out,
                       struct hm_error *error)
{
    struct ledger_witness_votes votes = {.total = ledger_witness_power(members)};
    int rc;

    if (members->count == 0)
        return hm_fail(error, HM_EINVAL, "the note has votes of validators that are not known");
    votes.list = hm_arena_alloc(jury->arena, (note->n_votes + 1) * sizeof *votes.list);
    if (!votes.list)
        return no_memory(error);
    rc = votes_match(jury, note, members, &votes, error);
    if (rc == 0 && !ledger_witness_enough(votes.power, votes.total))
        rc = hm_fail(error, HM_EINVAL,
                     "the note's votes have not more than two thirds of the power");
    if (rc == 0)
        *out = votes;
    return rc;
}

int ledger_witness_read(struct ledger *ledger, struct store_txn *txn,
                        const struct ledger_witness_place *place, const Hypermesh__BlockNote *note,
                        struct hm_arena *arena, struct ledger_witness_votes *out,
                        struct hm_error *error)
{
    struct ledger_witness_jury jury = {.ledger = ledger,
                                       .info = &ledger->info,
                                       .height = place->height - 1,
                                       .round = place->facts->round,
                                       .arena = arena};
    struct ledger_members members;
    int rc;

    *out = (struct ledger_witness_votes){0};
    if (note->n_votes == 0)
        return 0;
    rc = votes_allowed(txn, place, note, arena, error);
    if (rc == 0)
        rc = ledger_witness_voters(ledger, txn, place->height,
                                   wire_slice(place->facts->next_validators_hash), arena, &members,
                                   error);
    if (rc == 0)
        rc = votes_judge(&jury, &members, note, out, error);
    hm_buf_release(&jury.bytes);
    return rc;
}

/* --- in a block --- */

/* HM_ENOTFOUND: nothing to take. */
static int end_block_view(struct ledger_block *block, const Hypermesh__BlockNote *note,
                          Hypermesh__WitnessView **out, struct hm_error *error)
{
    const struct ledger_witness_place place = {
        .height = block->height, .time_ms = block->time_ms, .facts = block->engine};
    struct ledger_witness_votes votes;
    struct hm_error why = {0};
    int rc = ledger_witness_read(block->ledger, block->txn, &place, note, &block->scratch, &votes,
                                 &why);

    if (hm_error_is_fatal(rc)) {
        if (error)
            *error = why;
        return rc;
    }
    if (rc || votes.count == 0)
        return HM_ENOTFOUND;
    return ledger_witness_view(&votes, block->height, block->time_ms, &block->scratch, out, error);
}

int ledger_witness_end_block(struct ledger_block *block, const Hypermesh__BlockNote *note,
                             struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_WITNESS;
    Hypermesh__WitnessView *view;
    int rc;

    if (!note || note->n_votes == 0 || !block->engine || block->weight == 0)
        return 0;
    rc = end_block_view(block, note, &view, error);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    hm_buf_clear(&block->pack);
    if (wire_pack(&view->base, &block->pack))
        return no_memory(error);
    return ledger_overlay_put(&block->overlay, hm_slice_of(&key, 1), hm_buf_slice(&block->pack),
                              error);
}

/* --- views --- */

bool ledger_witness_due(struct ledger *ledger, uint64_t time_ms)
{
    struct hm_arena arena;
    struct store_txn *txn;
    bool due = false;

    if (store_begin_read(ledger->store, &txn, NULL))
        return false;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    if (votes_due(txn, time_ms, &arena, &due, NULL))
        due = false;
    hm_arena_release(&arena);
    store_abort(txn);
    return due;
}

int ledger_view_witness(struct ledger_view *view, struct hm_arena *arena,
                        Hypermesh__WitnessView **out, struct hm_error *error)
{
    int rc = view_stored(view->txn, arena, out, error);

    return rc == HM_ENOTFOUND
               ? hm_fail(error, rc, "no validators have said yet what they see of each other")
               : rc;
}
