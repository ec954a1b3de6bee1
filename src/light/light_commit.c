/* Commits: what validators signed, and whether that is enough. */
#include "light_private.h"

size_t light_vote_bytes(const Hypermesh__Abci__Commit *commit,
                        const Hypermesh__Abci__CommitSig *entry, const char *chain_id,
                        uint8_t out[LIGHT_VOTE_MAX_BYTES])
{
    Hypermesh__Abci__CanonicalVote vote = HYPERMESH__ABCI__CANONICAL_VOTE__INIT;
    size_t size, prefix;

    vote.type = HYPERMESH__ABCI__SIGNED_TYPE__PRECOMMIT;
    vote.height = commit->height;
    vote.round = commit->round;
    if (entry->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT)
        vote.block_id = commit->block_id;
    vote.timestamp = entry->timestamp;
    vote.chain_id = (char *)(uintptr_t)chain_id; /* protobuf-c has no const; packing only reads */
    size = hypermesh__abci__canonical_vote__get_packed_size(&vote);
    prefix = size < 0x80 ? 1 : 2;
    if (size >= 0x4000 || prefix + size > LIGHT_VOTE_MAX_BYTES)
        return 0;
    if (prefix == 1) {
        out[0] = (uint8_t)size;
    } else {
        out[0] = (uint8_t)(size | 0x80);
        out[1] = (uint8_t)(size >> 7);
    }
    return prefix + hypermesh__abci__canonical_vote__pack(&vote, out + prefix);
}

static int entry_refuse(struct hm_error *error, int code, size_t index, const char *what)
{
    return hm_fail(error, code, "entry %zu of the commit %s", index, what);
}

/* Who did not vote left nothing behind, but for the time that the engine writes there: 0001-01-01. */
static int absent_check(const Hypermesh__Abci__CommitSig *entry, size_t index,
                        struct hm_error *error)
{
    const Hypermesh__Abci__Timestamp *time = entry->timestamp;

    if (entry->validator_address.len != 0 || entry->signature.len != 0 ||
        (time != NULL && (time->seconds != LIGHT_TIME_MIN_SECONDS || time->nanos != 0)))
        return entry_refuse(error, HM_EPARSE, index,
                            "is of an absent validator and yet has an address, a time or a "
                            "signature");
    return 0;
}

/* A vote for the block or for nil, by this validator; good: it signed it. */
static int vote_check(const struct light_validator *validator, const char *chain_id,
                      const Hypermesh__Abci__Commit *commit, size_t index, bool *good,
                      struct hm_error *error)
{
    const Hypermesh__Abci__CommitSig *entry = commit->signatures[index];
    uint8_t bytes[LIGHT_VOTE_MAX_BYTES];
    size_t len;

    if (entry->signature.len != CRYPTO_ED25519_SIGNATURE_BYTES)
        return entry_refuse(error, HM_EPARSE, index, "has no signature of 64 bytes");
    if (!light_time_valid(entry->timestamp))
        return entry_refuse(error, HM_EPARSE, index, "has no proper time");
    if (entry->validator_address.len != LIGHT_ADDRESS_BYTES ||
        memcmp(entry->validator_address.data, validator->address, LIGHT_ADDRESS_BYTES) != 0)
        return entry_refuse(error, HM_EAUTH, index, "is not of the validator in that place");
    len = light_vote_bytes(commit, entry, chain_id, bytes);
    if (len == 0)
        return entry_refuse(error, HM_EPARSE, index, "signs more bytes than a vote has");
    *good = crypto_ed25519_verify(validator->public_key, bytes, len, entry->signature.data) == 0;
    return 0;
}

static int entry_check(const struct light_validator *validator, const char *chain_id,
                       const Hypermesh__Abci__Commit *commit, size_t index, bool *good,
                       struct hm_error *error)
{
    *good = true;
    switch (commit->signatures[index]->flag) {
    case HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT:
        return absent_check(commit->signatures[index], index, error);
    case HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT:
    case HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL:
        return vote_check(validator, chain_id, commit, index, good, error);
    default:
        return entry_refuse(error, HM_EPARSE, index, "says neither commit, nil nor absent");
    }
}

static int commit_check(const struct light_set *set, const char *chain_id, int64_t height,
                        const uint8_t block_hash[LIGHT_HASH_BYTES],
                        const Hypermesh__Abci__Commit *commit, struct hm_error *error)
{
    int rc = light_block_id_check(commit->block_id, "the commit", error);

    if (rc != 0)
        return rc;
    if (strlen(chain_id) > LIGHT_CHAIN_ID_MAX_BYTES)
        return hm_fail(error, HM_EPARSE, "the chain id has more than %d bytes",
                       LIGHT_CHAIN_ID_MAX_BYTES);
    if (commit->round < 0)
        return hm_fail(error, HM_EPARSE, "the commit's round is below 0");
    if (commit->height != height)
        return hm_fail(error, HM_EAUTH, "the commit is for height %lld, the block is number %lld",
                       (long long)commit->height, (long long)height);
    if (memcmp(commit->block_id->hash.data, block_hash, LIGHT_HASH_BYTES) != 0) {
        char wanted[LIGHT_SHORT_BYTES], found[LIGHT_SHORT_BYTES];

        light_short(block_hash, wanted);
        light_short(commit->block_id->hash.data, found);
        return hm_fail(error, HM_EAUTH, "the commit is for block %s, the header's hash is %s",
                       found, wanted);
    }
    if (commit->n_signatures != set->count)
        return hm_fail(error, HM_EPARSE, "the commit has %zu entries for %zu validators",
                       commit->n_signatures, set->count);
    return 0;
}

static int power_check(const struct light_set *set, int64_t power, size_t wrong, size_t first,
                       struct hm_error *error)
{
    if (power * 3 > set->power * 2) /* at most 3/8 of what an int64_t holds */
        return 0;
    if (wrong > 0)
        return hm_fail(error, HM_EAUTH,
                       "validators with power %lld of %lld signed the block, more than two thirds "
                       "are needed: entry %zu of the commit has a wrong signature, %zu have in all",
                       (long long)power, (long long)set->power, first, wrong);
    return hm_fail(error, HM_EAUTH,
                   "validators with power %lld of %lld signed the block, more than two thirds are "
                   "needed",
                   (long long)power, (long long)set->power);
}

int light_commit_verify(const struct light_set *set, const char *chain_id, int64_t height,
                        const uint8_t block_hash[LIGHT_HASH_BYTES],
                        const Hypermesh__Abci__Commit *commit, bool *voted, int64_t *signed_power,
                        struct hm_error *error)
{
    int64_t power = 0;
    size_t wrong = 0, first = 0;
    int rc = commit_check(set, chain_id, height, block_hash, commit, error);

    for (size_t i = 0; i < set->count && rc == 0; i++) {
        bool good, counts;

        rc = entry_check(&set->list[i], chain_id, commit, i, &good, error);
        counts = rc == 0 && good &&
                 commit->signatures[i]->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
        if (voted != NULL)
            voted[i] = counts;
        power += counts ? set->list[i].power : 0;
        if (!good && wrong++ == 0)
            first = i;
    }
    if (rc == 0)
        rc = power_check(set, power, wrong, first, error);
    if (rc == 0 && signed_power != NULL)
        *signed_power = power;
    return rc;
}
