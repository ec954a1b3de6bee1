/* Which votes a proposer puts into its note. */
#include <stdlib.h>

#include "ledger_witness.h"

/* Of a note's bytes, left to its time, its link and the votes' own tags and lengths. */
#define NOTE_SPARE_BYTES ((size_t)2 * 1024)
#define VOTE_SPARE_BYTES ((size_t)16)

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for what validators saw");
}

struct choice {
    const Hypermesh__WitnessVote *vote; /* NULL: none of this member */
    const struct ledger_member *member;
};

static int choice_by_power(const void *a, const void *b)
{
    const struct choice *left = a;
    const struct choice *right = b;

    if (left->member->power != right->member->power)
        return left->member->power < right->member->power ? 1 : -1;
    return memcmp(left->member->address, right->member->address, LEDGER_VALIDATOR_ADDRESS_BYTES);
}

static int choice_by_address(const void *a, const void *b)
{
    const struct choice *left = a;
    const struct choice *right = b;

    return memcmp(left->member->address, right->member->address, LEDGER_VALIDATOR_ADDRESS_BYTES);
}

static const struct ledger_member *member_of(const struct ledger_members *members,
                                             ProtobufCBinaryData address)
{
    if (address.len != LEDGER_VALIDATOR_ADDRESS_BYTES)
        return NULL;
    for (size_t i = 0; i < members->count; i++) {
        if (memcmp(members->list[i].address, address.data, LEDGER_VALIDATOR_ADDRESS_BYTES) == 0)
            return &members->list[i];
    }
    return NULL;
}

/* Those of the votes that are good, one a member; *count of them. */
static int choices_find(struct ledger_witness_jury *jury, const struct ledger_members *members,
                        const Hypermesh__WitnessVote *const *votes, size_t votes_count,
                        struct choice *out, size_t *count, struct hm_error *error)
{
    *count = 0;
    for (size_t i = 0; i < votes_count && *count < LEDGER_WITNESS_VOTES_MAX; i++) {
        const struct ledger_member *member = member_of(members, votes[i]->address);
        struct ledger_witness_voter voter;
        bool again = false;
        int rc;

        for (size_t k = 0; k < *count; k++)
            again = again || out[k].member == member;
        if (!member || again)
            continue;
        rc = ledger_witness_vote(jury, votes[i], member, &voter, NULL);
        if (hm_error_is_fatal(rc))
            return rc == HM_ENOMEM ? no_memory(error) : rc;
        if (rc == 0)
            out[(*count)++] = (struct choice){.vote = votes[i], .member = member};
    }
    return 0;
}

/* The strongest that fit, and their power. */
static size_t choices_fit(struct choice *choices, size_t count, uint64_t *power)
{
    size_t room = LEDGER_NOTE_MAX_BYTES - NOTE_SPARE_BYTES;
    size_t kept = 0;

    *power = 0;
    qsort(choices, count, sizeof *choices, choice_by_power);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = choices[i].vote->extension.len + LEDGER_VALIDATOR_ADDRESS_BYTES +
                       CRYPTO_ED25519_SIGNATURE_BYTES + VOTE_SPARE_BYTES;

        if (bytes > room)
            continue;
        room -= bytes;
        *power += choices[i].member->power;
        choices[kept++] = choices[i];
    }
    qsort(choices, kept, sizeof *choices, choice_by_address);
    return kept;
}

static int choices_put(const struct choice *choices, size_t count, struct hm_arena *arena,
                       Hypermesh__BlockNote *note, struct hm_error *error)
{
    Hypermesh__WitnessVote **list = hm_arena_alloc(arena, (count + 1) * sizeof *list);
    Hypermesh__WitnessVote *copies = hm_arena_alloc(arena, (count + 1) * sizeof *copies);

    if (!list || !copies)
        return no_memory(error);
    for (size_t i = 0; i < count; i++) {
        copies[i] = *choices[i].vote;
        list[i] = &copies[i];
    }
    note->votes = list;
    note->n_votes = count;
    return 0;
}

static int choose(struct ledger_witness_jury *jury, const struct ledger_members *members,
                  const Hypermesh__WitnessVote *const *votes, size_t count,
                  Hypermesh__BlockNote *note, struct hm_error *error)
{
    size_t most = count < LEDGER_WITNESS_VOTES_MAX ? count : LEDGER_WITNESS_VOTES_MAX;
    struct choice *choices = hm_arena_alloc(jury->arena, (most + 1) * sizeof *choices);
    uint64_t power;
    size_t good;
    int rc;

    if (!choices)
        return no_memory(error);
    rc = choices_find(jury, members, votes, count, choices, &good, error);
    if (rc)
        return rc;
    good = choices_fit(choices, good, &power);
    if (!ledger_witness_enough(power, ledger_witness_power(members)))
        return 0;
    return choices_put(choices, good, jury->arena, note, error);
}

int ledger_witness_choose(struct ledger *ledger, const Hypermesh__WitnessVote *const *votes,
                          size_t count, uint32_t round, struct hm_slice next_set,
                          struct hm_arena *arena, Hypermesh__BlockNote *note,
                          struct hm_error *error)
{
    struct ledger_members members = {0};
    struct ledger_info info;
    struct store_txn *txn;
    int rc = ledger_info(ledger, &info, error);

    if (rc == 0)
        rc = store_begin_read(ledger->store, &txn, error);
    if (rc)
        return rc;
    rc = ledger_witness_voters(ledger, txn, info.height + 1, next_set, arena, &members, error);
    store_abort(txn);
    if (rc == 0 && members.count > 0) {
        struct ledger_witness_jury jury = {
            .ledger = ledger, .info = &info, .height = info.height, .round = round, .arena = arena};

        rc = choose(&jury, &members, votes, count, note, error);
        hm_buf_release(&jury.bytes);
    }
    return rc;
}
