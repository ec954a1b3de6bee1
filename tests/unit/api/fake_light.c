#include <time.h>

#include "fake_parts.h"

#define POLL_NS 1000000

static uint64_t height_of(struct fake *fake)
{
    uint64_t height;

    (void)pthread_mutex_lock(&fake->lock);
    height = FAKE_BLOCKS + fake->more_blocks;
    (void)pthread_mutex_unlock(&fake->lock);
    return height;
}

static int fake_fresh(void *ctx, struct api_fresh *out, struct hm_error *error)
{
    struct fake *fake = ctx;
    bool ready;

    (void)pthread_mutex_lock(&fake->lock);
    ready = fake->ready;
    (void)pthread_mutex_unlock(&fake->lock);
    if (!ready)
        return hm_fail(error, HM_EBUSY, "the plot is being built");
    *out = (struct api_fresh){.height = height_of(fake), .time_ms = 1700000000000};
    return 0;
}

static int fake_wait_height(void *ctx, uint64_t height, bool ask, unsigned timeout_ms,
                            struct hm_error *error)
{
    const struct timespec nap = {.tv_nsec = POLL_NS};
    struct fake *fake = ctx;

    if (ask && height_of(fake) < height) {
        (void)pthread_mutex_lock(&fake->lock);
        fake->asked++;
        if (fake->makes_blocks)
            fake->more_blocks++;
        (void)pthread_mutex_unlock(&fake->lock);
    }
    for (unsigned i = 0; height_of(fake) < height; i++) {
        if (i >= timeout_ms)
            return hm_fail(error, HM_ETIMEOUT, "not yet");
        (void)nanosleep(&nap, NULL);
    }
    return 0;
}

static int fake_light_block(void *ctx, uint64_t height, struct hm_arena *arena,
                            Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *block = hm_arena_alloc(arena, sizeof(*block));
    Hypermesh__Abci__SignedHeader *both = hm_arena_alloc(arena, sizeof(*both));
    Hypermesh__Abci__Header *header = hm_arena_alloc(arena, sizeof(*header));
    struct fake *fake = ctx;
    uint64_t newest = height_of(fake);

    if (fake->no_light)
        return hm_fail(error, HM_EUNSUPPORTED, "nobody else signs its blocks");
    if (height > newest)
        return hm_fail(error, HM_ENOTFOUND, "there is no such block");
    hypermesh__abci__light_block__init(block);
    hypermesh__abci__signed_header__init(both);
    hypermesh__abci__header__init(header);
    header->height = (int64_t)(height > 0 ? height : newest);
    both->header = header;
    block->signed_header = both;
    *out = block;
    return 0;
}

void fake_light_fill(struct api_backend *backend)
{
    backend->fresh = fake_fresh;
    backend->wait_height = fake_wait_height;
    backend->light_block = fake_light_block;
}
