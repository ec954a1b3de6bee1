/* From trust to a height: one step where the validators allow it, else by halves. */
#include "light_private.h"

/* Each one pushed lies halfway between trust and the one below it: an int64_t halves no oftener. */
#define PATH_DEPTH_MAX 64

struct path {
    const struct light_source *source;
    struct light_trust
        pivots[PATH_DEPTH_MAX]; /* fetched and checked, not yet trusted; the nearest last */
    size_t depth;
    unsigned fetches;
};

static void path_release(struct path *path)
{
    for (size_t i = 0; i < path->depth; i++)
        light_trust_release(&path->pivots[i]);
    path->depth = 0;
}

/* Asks for one block and checks all of it that can be checked alone. */
static int pivot_fetch(const struct light_source *source, int64_t height, struct light_trust *pivot,
                       struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *message = NULL;
    int rc;

    hm_arena_init(&pivot->arena, LIGHT_BLOCK_MAX_MEMORY);
    rc = source->fetch(source->ctx, height, &pivot->arena, &message, error);
    if (rc == 0 && message == NULL)
        rc = hm_fail(error, HM_EINTERNAL, "the source gave nothing and no error");
    if (rc == 0)
        rc = light_block_check(message, &pivot->arena, &pivot->block, error);
    if (rc == 0 && light_header(&pivot->block)->height != height)
        rc = hm_fail(error, HM_EAUTH, "the source gave the block of height %lld instead",
                     (long long)light_header(&pivot->block)->height);
    return rc;
}

static int path_push(struct path *path, int64_t height, struct hm_error *error)
{
    struct light_trust pivot = {0};
    int rc;

    if (path->fetches == LIGHT_PATH_FETCHES_MAX || path->depth == PATH_DEPTH_MAX)
        return hm_fail(
            error, HM_ELIMIT,
            "the validators changed too often since the trusted block: more than %d blocks "
            "would be needed; get a newer HEIGHT:HASH from somebody who runs a node",
            LIGHT_PATH_FETCHES_MAX);
    path->fetches++;
    rc = pivot_fetch(path->source, height, &pivot, error);
    if (rc != 0) {
        light_trust_release(&pivot);
        return hm_error_prefix(error, rc, "block %lld", (long long)height);
    }
    path->pivots[path->depth++] = pivot;
    return 0;
}

/* Trust moves to the nearest pivot, which leaves the path. */
static void path_pop(struct path *path, struct light_trust *trust)
{
    light_trust_release(trust);
    *trust = path->pivots[--path->depth];
}

static int path_walk(struct path *path, const struct light_trust *from, struct light_trust *at,
                     uint64_t now_ms, const struct light_rules *rules, struct hm_error *error)
{
    while (path->depth > 0) {
        const struct light_trust *now = at->block.message != NULL ? at : from;
        const struct light_block *next = &path->pivots[path->depth - 1].block;
        enum light_outcome outcome = LIGHT_TOO_FAR;
        int64_t low = light_header(&now->block)->height, high = light_header(next)->height;
        int rc = light_step(now, next, now_ms, rules, &outcome, error);

        if (rc == 0 && outcome == LIGHT_TOO_FAR)
            rc = path_push(path, low + (high - low) / 2, error);
        else if (rc == 0)
            path_pop(path, at);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int light_verify_path(struct light_trust *trust, int64_t height, uint64_t now_ms,
                      const struct light_rules *rules, const struct light_source *source,
                      struct hm_error *error)
{
    HM_CLEANUP(path) struct path path = {.source = source};
    HM_CLEANUP(light_trust) struct light_trust at = {0};
    struct hm_error reason = {0}; /* "too far" is no error once a block between was found */
    int64_t from;
    int rc;

    if (trust->block.message == NULL)
        return hm_fail(error, HM_EINVAL, "nothing is trusted yet: begin with HEIGHT:HASH");
    from = light_header(&trust->block)->height;
    if (height == from)
        return 0;
    if (height < from)
        return hm_fail(error, HM_ERANGE,
                       "block %lld lies before the trusted block %lld: trust an earlier one",
                       (long long)height, (long long)from);
    rc = path_push(&path, height, &reason);
    if (rc == 0)
        rc = path_walk(&path, trust, &at, now_ms, rules, &reason);
    if (rc != 0) {
        if (error != NULL)
            *error = reason;
        return rc;
    }
    light_trust_release(trust);
    *trust = at;
    memset(&at, 0, sizeof(at));
    return 0;
}
