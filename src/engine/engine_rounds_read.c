/* The engine's answer about the round under way. Its own words, and validators' addresses and votes in them, which it has checked;
 * read strictly all the same: what does not look as v0.38 writes it is not taken. */
#include <string.h>

#include "engine_rounds.h"

#define ROUNDS_NO_VOTE    "nil-Vote" /* the engine's word for a vote that is not there */
#define ROUNDS_PREVOTE    "/SIGNED_MSG_TYPE_PREVOTE(Prevote) "
#define ROUNDS_STEP_MAX   ENGINE_ROUNDS_COMMIT
#define ROUNDS_DIGITS_MAX 20

/* --- parts of a text; each returns what is behind it, or NULL, which it takes, too ------------------------------------ */

static const char *read_words(const char *at, const char *words)
{
    size_t len = strlen(words);

    return at != NULL && strncmp(at, words, len) == 0 ? at + len : NULL;
}

static const char *read_number(const char *at, uint64_t *out)
{
    char digits[ROUNDS_DIGITS_MAX + 1];
    size_t len = at != NULL ? strspn(at, "0123456789") : 0;

    if (len == 0 || len > ROUNDS_DIGITS_MAX)
        return NULL;
    while (len > 1 && at[0] == '0') { /* a vote's round has two digits at least */
        at++;
        len--;
    }
    memcpy(digits, at, len);
    digits[len] = '\0';
    return hm_u64_parse(digits, out, NULL) == 0 ? at + len : NULL;
}

static const char *read_start(const char *at, uint8_t out[ENGINE_ROUNDS_START_BYTES])
{
    const size_t len = (size_t)2 * ENGINE_ROUNDS_START_BYTES;

    return at != NULL && strnlen(at, len) == len &&
                   hm_hex_decode(at, len, out, ENGINE_ROUNDS_START_BYTES, NULL) == 0
               ? at + len
               : NULL;
}

/* --- votes -------------------------------------------------------------------------------------------------------------- */

/* "Vote{0:7823970AFE12 100/00/SIGNED_MSG_TYPE_PREVOTE(Prevote) 86BF736BEFEB FDAD3E96BE9D ...": validator, height, round, block. */
static bool read_vote(const char *text, size_t index, const struct engine_rounds_state *state,
                      struct engine_rounds_vote *out)
{
    uint64_t number = 0, height = 0, round = 0;
    const char *at = read_number(read_words(text, "Vote{"), &number);

    at = read_start(read_words(at, ":"), out->validator);
    at = read_number(read_words(at, " "), &height);
    at = read_number(read_words(at, "/"), &round);
    at = read_start(read_words(at, ROUNDS_PREVOTE), out->block);
    out->there = read_words(at, " ") != NULL;
    return out->there && number == index && height == state->height && round == state->round;
}

static int read_prevotes(const json_t *votes, struct engine_rounds_state *out,
                         struct hm_error *error)
{
    out->count = json_array_size(votes); /* 0, too, where there is no list */
    if (out->count == 0)
        return hm_fail(error, HM_EPARSE, "the engine's round: no validators");
    if (out->count > ENGINE_ROUNDS_VALIDATORS_MAX)
        return hm_fail(error, HM_ELIMIT,
                       "the engine's round has %zu validators, at most %d are looked at",
                       out->count, ENGINE_ROUNDS_VALIDATORS_MAX);
    for (size_t i = 0; i < out->count; i++) {
        const char *text = json_string_value(json_array_get(votes, i));

        out->prevotes[i] = (struct engine_rounds_vote){0};
        if (text != NULL && strcmp(text, ROUNDS_NO_VOTE) == 0)
            continue;
        if (text == NULL || !read_vote(text, i, out, &out->prevotes[i]))
            return hm_fail(error, HM_EPARSE, "the engine's round: vote %zu is none", i);
        out->prevoted++;
    }
    return 0;
}

static int read_precommits(const json_t *votes, struct engine_rounds_state *out,
                           struct hm_error *error)
{
    if (json_array_size(votes) != out->count)
        return hm_fail(error, HM_EPARSE,
                       "the engine's round: as many votes of each kind were expected");
    for (size_t i = 0; i < out->count; i++) {
        const char *text = json_string_value(json_array_get(votes, i));

        if (text == NULL)
            return hm_fail(error, HM_EPARSE, "the engine's round: vote %zu is none", i);
        out->precommitted += strcmp(text, ROUNDS_NO_VOTE) != 0;
    }
    return 0;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------ */

/* "100/0/6" */
static bool read_place(const char *text, struct engine_rounds_state *out)
{
    uint64_t round = 0, step = 0;
    const char *at = read_number(text, &out->height);

    at = read_number(read_words(at, "/"), &round);
    at = read_number(read_words(at, "/"), &step);
    out->round = (uint32_t)round;
    out->step = (unsigned)step;
    return at != NULL && *at == '\0' && out->height > 0 && round < INT32_MAX && step > 0 &&
           step <= ROUNDS_STEP_MAX;
}

int engine_rounds_read(const json_t *result, struct engine_rounds_state *out,
                       struct hm_error *error)
{
    const json_t *state = json_object_get(result, "round_state");
    const char *valid = engine_rpc_text(state, "valid_block_hash");
    const char *proposer = engine_rpc_text(json_object_get(state, "proposer"), "address");

    out->prevoted = out->precommitted = 0;
    if (!read_place(engine_rpc_text(state, "height/round/step"), out))
        return hm_fail(error, HM_EPARSE, "the engine's round: no height, round and step");
    if (hm_hex_decode(proposer, strlen(proposer), out->proposer, ENGINE_ADDRESS_BYTES, NULL) != 0)
        return hm_fail(error, HM_EPARSE, "the engine's round: the proposer has no address");
    out->has_valid = valid[0] != '\0';
    if (out->has_valid && read_start(valid, out->valid) == NULL)
        return hm_fail(error, HM_EPARSE, "the engine's round: a block's hash is none");
    const json_t *votes = json_array_get(json_object_get(state, "height_vote_set"), out->round);
    int rc = read_prevotes(json_object_get(votes, "prevotes"), out, error);
    return rc == 0 ? read_precommits(json_object_get(votes, "precommits"), out, error) : rc;
}
