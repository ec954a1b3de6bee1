#include "engine_watch.h"

#include <inttypes.h>

struct watch_validator {
    uint8_t address[ENGINE_ADDRESS_BYTES];
    unsigned missed, signed_; /* in a row; one of them is 0 */
    bool nil; /* its vote for the last one that it missed was there, but for no block */
    bool told; /* that it does not sign */
    bool ever; /* told before, at told_ms */
    uint64_t told_ms;
    unsigned extensions; /* unreadable, since the last line on them */
    bool extension_ever; /* told before, at extension_ms */
    uint64_t extension_ms;
};

struct engine_watch {
    uint8_t own[ENGINE_ADDRESS_BYTES];
    struct watch_validator *validators; /* in the engine's order */
    size_t count;
    uint64_t height;
    struct engine_watch_lines lines;
    unsigned rounds; /* blocks of more than one, since the last line on them */
    bool round_ever; /* there was one, at round_ms */
    uint64_t round_ms;
};

int engine_watch_new(const uint8_t own[ENGINE_ADDRESS_BYTES], struct engine_watch **out,
                     struct hm_error *error)
{
    struct engine_watch *watch = hm_calloc(1, sizeof(*watch));

    if (watch == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to watch who signs");
    memcpy(watch->own, own, ENGINE_ADDRESS_BYTES);
    *out = watch;
    return 0;
}

void engine_watch_free(struct engine_watch *watch)
{
    if (watch == NULL)
        return;
    hm_free(watch->validators);
    hm_free(watch);
}

/* --- who there is -------------------------------------------------------------------------------------------- */

static struct hm_slice watch_address(const Hypermesh__Abci__VoteInfo *vote)
{
    return vote->validator != NULL ? wire_slice(vote->validator->address) : (struct hm_slice){0};
}

static bool watch_is(const struct watch_validator *validator, struct hm_slice address)
{
    return hm_slice_equal(hm_slice_of(validator->address, ENGINE_ADDRESS_BYTES), address);
}

static bool watch_knows(const struct engine_watch *watch, const Hypermesh__Abci__CommitInfo *commit)
{
    bool same = watch->count == commit->n_votes;

    for (size_t i = 0; same && i < watch->count; i++)
        same = watch_is(&watch->validators[i], watch_address(commit->votes[i]));
    return same;
}

/* The set has changed: who stays keeps what was counted. Who came or left shifts the others by little, so that each is looked for
 * from behind the one before. */
static int watch_renew(struct engine_watch *watch, const Hypermesh__Abci__CommitInfo *commit)
{
    struct watch_validator *list = hm_calloc(commit->n_votes + 1, sizeof(*list));
    size_t at = 0;

    if (list == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < commit->n_votes; i++) {
        struct hm_slice address = watch_address(commit->votes[i]);
        size_t seen = 0;

        while (seen < watch->count &&
               !watch_is(&watch->validators[(at + seen) % watch->count], address))
            seen++;
        if (seen < watch->count) {
            at = (at + seen) % watch->count;
            list[i] = watch->validators[at++];
        } else if (address.len == ENGINE_ADDRESS_BYTES) {
            memcpy(list[i].address, address.data, ENGINE_ADDRESS_BYTES);
        }
    }
    hm_free(watch->validators);
    watch->validators = list;
    watch->count = commit->n_votes;
    return 0;
}

static void watch_count(struct watch_validator *validator, Hypermesh__Abci__BlockIdFlag flag)
{
    bool did = flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;

    validator->signed_ = did ? validator->signed_ + 1 : 0;
    validator->missed = did ? 0 : validator->missed + 1;
    validator->nil = flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL;
}

/* --- what is told -------------------------------------------------------------------------------------------- */

bool engine_watch_has_room(struct engine_watch_lines *lines, uint64_t now_ms)
{
    if (lines->second != now_ms / 1000)
        lines->told = 0;
    lines->second = now_ms / 1000;
    return lines->told < ENGINE_WATCH_LINES_PER_S;
}

static void watch_tell(struct engine_watch *watch, struct watch_validator *validator,
                       uint64_t now_ms)
{
    bool again = validator->told && validator->signed_ >= ENGINE_WATCH_BLOCKS;
    bool gone = !validator->told && validator->missed >= ENGINE_WATCH_BLOCKS &&
                (!validator->ever || now_ms - validator->told_ms >= ENGINE_WATCH_AGAIN_MS);
    const char *own = memcmp(validator->address, watch->own, ENGINE_ADDRESS_BYTES) == 0
                          ? " (this node's)"
                          : "";
    char address[2 * ENGINE_ADDRESS_BYTES + 1];

    if ((!again && !gone) || !engine_watch_has_room(&watch->lines, now_ms))
        return;
    watch->lines.told++;
    hm_hex_encode(validator->address, ENGINE_ADDRESS_BYTES, address);
    if (again) {
        hm_log(HM_LOG_WARN, "engine",
               "validator %s%s signs again: the last %u blocks, up to block %" PRIu64, address, own,
               validator->signed_, watch->height);
    } else {
        hm_log(HM_LOG_WARN, "engine",
               "validator %s%s has not signed the last %u blocks, up to block %" PRIu64 ": %s",
               address, own, validator->missed, watch->height,
               validator->nil ? "it votes, but for no block"
                              : "it is not there, or its votes come too late");
        validator->ever = true;
        validator->told_ms = now_ms;
    }
    validator->told = gone;
}

static void watch_tell_round(struct engine_watch *watch, int32_t round, uint64_t now_ms)
{
    watch->rounds++;
    if (watch->round_ever && now_ms - watch->round_ms < ENGINE_WATCH_ROUND_MS)
        return;
    hm_log(HM_LOG_WARN, "engine",
           "block %" PRIu64 " was decided in round %d, not 0: a proposal or votes did not come in "
           "time, or were refused (blocks like this since the last such line: %u)",
           watch->height, round, watch->rounds);
    watch->rounds = 0;
    watch->round_ever = true;
    watch->round_ms = now_ms;
}

void engine_watch_commit(struct engine_watch *watch, uint64_t height,
                         const Hypermesh__Abci__CommitInfo *commit, bool old, uint64_t now_ms)
{
    if (commit == NULL || commit->n_votes == 0 || height <= watch->height)
        return;
    if (!watch_knows(watch, commit) && watch_renew(watch, commit) != 0)
        return;
    watch->height = height;
    for (size_t i = 0; i < watch->count; i++) {
        watch_count(&watch->validators[i], commit->votes[i]->flag);
        if (!old)
            watch_tell(watch, &watch->validators[i], now_ms);
    }
    if (!old && commit->round > 0)
        watch_tell_round(watch, commit->round, now_ms);
}

void engine_watch_extension(struct engine_watch *watch, uint64_t height, struct hm_slice address,
                            size_t bytes, const char *why, uint64_t now_ms)
{
    struct watch_validator *validator = watch->validators;
    const struct watch_validator *end = validator + watch->count;
    char text[2 * ENGINE_ADDRESS_BYTES + 1];

    while (validator != end && !watch_is(validator, address))
        validator++;
    if (validator == end)
        return;
    validator->extensions++;
    if ((validator->extension_ever && now_ms - validator->extension_ms < ENGINE_WATCH_AGAIN_MS) ||
        !engine_watch_has_room(&watch->lines, now_ms))
        return;
    watch->lines.told++;
    hm_hex_encode(validator->address, ENGINE_ADDRESS_BYTES, text);
    hm_log(HM_LOG_WARN, "engine",
           "validator %s sent a vote extension that is none with its vote for block %" PRIu64
           " (%zu bytes; since the last such line: %u), which is left out: %s",
           text, height, bytes, validator->extensions, why);
    validator->extensions = 0;
    validator->extension_ever = true;
    validator->extension_ms = now_ms;
}
