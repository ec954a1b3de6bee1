#include "engine_rounds.h"

#include <inttypes.h>
#include <stdio.h>

struct rounds_validator {
    uint8_t address[ENGINE_ADDRESS_BYTES];
    uint64_t power;
    uint64_t height; /* the last that counted */
    unsigned nil, voted; /* heights in a row; one of them is 0 */
    bool told; /* that it votes nil */
    bool ever; /* told before, at told_ms */
    uint64_t told_ms;
};

struct engine_rounds {
    uint8_t own[ENGINE_ADDRESS_BYTES];
    pthread_mutex_t lock; /* guards everything below */
    struct rounds_validator *validators; /* in the engine's order */
    size_t count;
    size_t voters; /* of the last commit; count, or too many */
    uint64_t power; /* of all */
    struct engine_watch_lines lines;
    bool late_ever; /* told of a late block, at late_ms */
    uint64_t late_ms;
};

int engine_rounds_new(const uint8_t own[ENGINE_ADDRESS_BYTES], struct engine_rounds **out,
                      struct hm_error *error)
{
    struct engine_rounds *rounds = hm_calloc(1, sizeof(*rounds));

    if (rounds == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to watch the engine's rounds");
    memcpy(rounds->own, own, ENGINE_ADDRESS_BYTES);
    pthread_mutex_init(&rounds->lock, NULL);
    *out = rounds;
    return 0;
}

void engine_rounds_free(struct engine_rounds *rounds)
{
    if (rounds == NULL)
        return;
    pthread_mutex_destroy(&rounds->lock);
    hm_free(rounds->validators);
    hm_free(rounds);
}

/* --- who votes ------------------------------------------------------------------------------------------------- */

static bool rounds_same(const struct rounds_validator *validator,
                        const Hypermesh__Abci__Validator *said)
{
    return said != NULL &&
           hm_slice_equal(hm_slice_of(validator->address, ENGINE_ADDRESS_BYTES),
                          wire_slice(said->address)) &&
           said->power >= 0 && validator->power == (uint64_t)said->power;
}

static bool rounds_knows(const struct engine_rounds *rounds,
                         const Hypermesh__Abci__CommitInfo *commit)
{
    bool same = rounds->count == commit->n_votes;

    for (size_t i = 0; same && i < rounds->count; i++)
        same = rounds_same(&rounds->validators[i], commit->votes[i]->validator);
    return same;
}

/* Who stays keeps what was counted. */
static void rounds_take(const struct engine_rounds *rounds, const Hypermesh__Abci__Validator *said,
                        struct rounds_validator *out)
{
    if (said == NULL || said->address.len != ENGINE_ADDRESS_BYTES || said->power < 0)
        return;
    for (size_t i = 0; i < rounds->count; i++)
        if (memcmp(rounds->validators[i].address, said->address.data, ENGINE_ADDRESS_BYTES) == 0)
            *out = rounds->validators[i];
    memcpy(out->address, said->address.data, ENGINE_ADDRESS_BYTES);
    out->power = (uint64_t)said->power;
}

static void rounds_renew(struct engine_rounds *rounds, const Hypermesh__Abci__CommitInfo *commit)
{
    struct rounds_validator *list = hm_calloc(commit->n_votes, sizeof(*list));

    for (size_t i = 0; list != NULL && i < commit->n_votes; i++)
        rounds_take(rounds, commit->votes[i]->validator, &list[i]);
    hm_free(rounds->validators);
    rounds->validators = list;
    rounds->count = list != NULL ? commit->n_votes : 0;
    rounds->power = 0;
    for (size_t i = 0; i < rounds->count; i++)
        rounds->power += list[i].power;
}

void engine_rounds_set(struct engine_rounds *rounds, const Hypermesh__Abci__CommitInfo *commit)
{
    if (rounds == NULL || commit == NULL || commit->n_votes == 0)
        return;
    pthread_mutex_lock(&rounds->lock);
    rounds->voters = commit->n_votes;
    if (rounds->voters <= ENGINE_ROUNDS_VALIDATORS_MAX && !rounds_knows(rounds, commit))
        rounds_renew(rounds, commit);
    pthread_mutex_unlock(&rounds->lock);
}

size_t engine_rounds_validators(struct engine_rounds *rounds)
{
    pthread_mutex_lock(&rounds->lock);
    size_t voters = rounds->voters;
    pthread_mutex_unlock(&rounds->lock);
    return voters;
}

/* --- who votes nil ----------------------------------------------------------------------------------------------- */

static bool rounds_starts(const uint8_t start[ENGINE_ROUNDS_START_BYTES], const uint8_t *with)
{
    return memcmp(start, with, ENGINE_ROUNDS_START_BYTES) == 0;
}

/* Are they the validators that are known, in this order, and did more than two thirds of the power prevote for one block? A set changes two
 * blocks before its commit is seen: nobody is blamed then. */
static bool rounds_agree(const struct engine_rounds *rounds,
                         const struct engine_rounds_state *state)
{
    uint64_t power = 0;

    if (!state->has_valid || state->count != rounds->count)
        return false;
    for (size_t i = 0; i < state->count; i++) {
        const struct engine_rounds_vote *vote = &state->prevotes[i];

        if (!vote->there)
            continue;
        if (!rounds_starts(vote->validator, rounds->validators[i].address))
            return false;
        if (rounds_starts(vote->block, state->valid))
            power += rounds->validators[i].power;
    }
    return power * 3 > rounds->power * 2; /* ENGINE_POWER_TOTAL_MAX leaves room */
}

static void rounds_count(struct rounds_validator *validator, const struct engine_rounds_vote *vote,
                         const struct engine_rounds_state *state)
{
    static const uint8_t none[ENGINE_ROUNDS_START_BYTES];

    if (!vote->there || validator->height == state->height)
        return;
    validator->height = state->height;
    validator->nil = rounds_starts(vote->block, none) ? validator->nil + 1 : 0;
    validator->voted = rounds_starts(vote->block, state->valid) ? validator->voted + 1 : 0;
}

static const char *rounds_own(const struct engine_rounds *rounds, const uint8_t *address)
{
    return memcmp(address, rounds->own, ENGINE_ADDRESS_BYTES) == 0 ? " (this node's)" : "";
}

static void rounds_tell(struct engine_rounds *rounds, struct rounds_validator *validator,
                        uint64_t now_ms)
{
    bool again = validator->told && validator->voted >= ENGINE_ROUNDS_HEIGHTS;
    bool gone = !validator->told && validator->nil >= ENGINE_ROUNDS_HEIGHTS &&
                (!validator->ever || now_ms - validator->told_ms >= ENGINE_WATCH_AGAIN_MS);
    char address[2 * ENGINE_ADDRESS_BYTES + 1];

    if ((!again && !gone) || !engine_watch_has_room(&rounds->lines, now_ms))
        return;
    rounds->lines.told++;
    hm_hex_encode(validator->address, ENGINE_ADDRESS_BYTES, address);
    if (again) {
        hm_log(HM_LOG_WARN, "engine",
               "validator %s%s prevotes as the others again: for the last %u blocks looked at, up "
               "to block %" PRIu64,
               address, rounds_own(rounds, validator->address), validator->voted,
               validator->height);
    } else {
        hm_log(HM_LOG_WARN, "engine",
               "validator %s%s prevotes nil for what the others accept: for the last %u blocks "
               "looked at, up to block %" PRIu64
               " (it refuses them, or they come too late: see its log, its clock and its links)",
               address, rounds_own(rounds, validator->address), validator->nil, validator->height);
        validator->ever = true;
        validator->told_ms = now_ms;
    }
    validator->told = gone;
}

void engine_rounds_see(struct engine_rounds *rounds, const struct engine_rounds_state *state,
                       uint64_t now_ms)
{
    pthread_mutex_lock(&rounds->lock);
    if (rounds_agree(rounds, state)) {
        for (size_t i = 0; i < rounds->count; i++) {
            rounds_count(&rounds->validators[i], &state->prevotes[i], state);
            rounds_tell(rounds, &rounds->validators[i], now_ms);
        }
    }
    pthread_mutex_unlock(&rounds->lock);
}

/* --- what a late block waits for ----------------------------------------------------------------------------------- */

static void rounds_tell_late(const struct engine_rounds *rounds,
                             const struct engine_rounds_state *state, uint64_t late_ms)
{
    char address[2 * ENGINE_ADDRESS_BYTES + 1], what[192];

    hm_hex_encode(state->proposer, ENGINE_ADDRESS_BYTES, address);
    if (state->step == ENGINE_ROUNDS_PROPOSE)
        snprintf(what, sizeof(what), "the proposal of validator %s%s", address,
                 rounds_own(rounds, state->proposer));
    else if (state->step <= ENGINE_ROUNDS_PREVOTE_WAIT)
        snprintf(what, sizeof(what), "prevotes: %zu of %zu are here", state->prevoted,
                 state->count);
    else if (state->step <= ENGINE_ROUNDS_PRECOMMIT_WAIT)
        snprintf(what, sizeof(what), "precommits: %zu of %zu are here", state->precommitted,
                 state->count);
    else
        snprintf(what, sizeof(what), "parts of itself");
    hm_log(HM_LOG_WARN, "engine",
           "block %" PRIu64 " waits in round %" PRIu32 " for %s; no block for %" PRIu64
           " ms, and something is to go into it",
           state->height, state->round, what, late_ms);
}

/* The longer it takes, the less often. */
void engine_rounds_late(struct engine_rounds *rounds, const struct engine_rounds_state *state,
                        uint64_t late_ms, uint64_t now_ms)
{
    uint64_t rest_ms = late_ms > ENGINE_ROUNDS_LATE_AGAIN_MS ? late_ms
                                                             : ENGINE_ROUNDS_LATE_AGAIN_MS;

    if (state->step < ENGINE_ROUNDS_PROPOSE)
        return;
    pthread_mutex_lock(&rounds->lock);
    if (!rounds->late_ever || now_ms - rounds->late_ms >= rest_ms) {
        rounds_tell_late(rounds, state, late_ms);
        rounds->late_ever = true;
        rounds->late_ms = now_ms;
    }
    pthread_mutex_unlock(&rounds->lock);
}
