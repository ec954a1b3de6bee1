#include "cluster_script.h"

#include <inttypes.h>

#include "crypto.h"

struct script_world {
    unsigned durable_every, snapshot_every;
    bool optimistic;
    uint64_t txs; /* made so far */
};

struct seat {
    struct script_world *world;
    struct script_disk disk;
    struct script_app *app;
    const struct hm_clock *clock;
    unsigned node;
};

static enum script_mutant present; /* of the kind in use */

static int world_begin(const struct cluster_genesis *genesis, void **out)
{
    struct script_world *world = hm_calloc(1, sizeof *world);
    struct hm_random_seeded state;
    struct hm_random dice = hm_random_seeded_source(&state, genesis->seed ^ 0x5c);

    if (world == NULL)
        return HM_ENOMEM;
    world->durable_every = (unsigned)(hm_random_u64(&dice) % 5);
    world->snapshot_every = (unsigned)(hm_random_u64(&dice) % 6);
    world->optimistic = hm_random_u64(&dice) % 2 == 0;
    *out = world;
    return 0;
}

static struct hm_slice app_state(void *world)
{
    (void)world;
    return hm_slice_str("{}");
}

static int seat_new(void *world, unsigned node, const struct hm_clock *clock, void **out)
{
    struct seat *seat = hm_calloc(1, sizeof *seat);

    if (seat == NULL)
        return HM_ENOMEM;
    seat->world = world;
    seat->clock = clock;
    seat->node = node;
    *out = seat;
    return 0;
}

static void stop(void *ctx)
{
    struct seat *seat = ctx;

    script_app_close(seat->app);
    seat->app = NULL;
}

static void seat_free(void *ctx)
{
    struct seat *seat = ctx;

    stop(seat);
    script_disk_release(&seat->disk);
    hm_free(seat);
}

static int start(void *ctx, struct abci_handlers *out, struct hm_error *error)
{
    struct seat *seat = ctx;
    struct script_options options = {.node = seat->node,
                                     .clock = seat->clock,
                                     .durable_every = seat->world->durable_every,
                                     .snapshot_every = seat->world->snapshot_every,
                                     .optimistic = seat->world->optimistic,
                                     .forgets = true,
                                     .mutant = present};
    int status = script_app_open(&seat->disk, &options, &seat->app, error);

    if (status == 0)
        script_app_handlers(seat->app, out);
    return status;
}

static int make_tx(void *ctx, const struct hm_random *dice, uint64_t now_ms, struct hm_buf *out)
{
    struct script_world *world = ctx;

    (void)now_ms;
    return hm_buf_printf(out, "add:%" PRIu64 ":%0*" PRIu64, world->txs++,
                         (int)(1 + hm_random_u64(dice) % 200), hm_random_u64(dice));
}

static int make_update(void *ctx, const uint8_t key[32], int64_t power, uint64_t now_ms,
                       struct hm_buf *out)
{
    char hex[65];

    (void)ctx;
    (void)now_ms;
    hm_hex_encode(key, 32, hex);
    return hm_buf_printf(out, "val:%s:%" PRId64, hex, power);
}

static int make_nonsense(void *ctx, const struct hm_random *dice, struct hm_buf *out)
{
    static const char *const words[] = {"", "add", "sub:1", "val:00:1", "\xff\xff\xff\xff\xff"};

    (void)ctx;
    return hm_buf_append_str(out, words[hm_random_u64(dice) % HM_COUNT_OF(words)]);
}

/* Asked as a client would. */
static bool has(void *ctx, struct hm_slice tx)
{
    struct seat *seat = ctx;
    struct abci_handlers handlers;
    Hypermesh__Abci__RequestQuery request = HYPERMESH__ABCI__REQUEST_QUERY__INIT;
    Hypermesh__Abci__ResponseQuery answer = HYPERMESH__ABCI__RESPONSE_QUERY__INIT;
    char path[] = "/has";
    struct hm_arena arena;
    bool found;

    hm_arena_init(&arena, 0);
    script_app_handlers(seat->app, &handlers);
    request.path = path;
    request.data = (ProtobufCBinaryData){tx.len, (uint8_t *)(uintptr_t)tx.data};
    answer.code = 1;
    found = handlers.query(handlers.ctx, &request, &arena, &answer, NULL) == 0 && answer.code == 0;
    hm_arena_release(&arena);
    return found;
}

const struct cluster_kind *cluster_script_kind(enum script_mutant mutant)
{
    static const struct cluster_kind kind = {
        .name = "script",
        .step_txs = 4,
        .small_block_bytes = 600,
        .world_begin = world_begin,
        .world_end = hm_free,
        .app_state = app_state,
        .seat_new = seat_new,
        .seat_free = seat_free,
        .start = start,
        .stop = stop,
        .make_tx = make_tx,
        .make_update = make_update,
        .make_nonsense = make_nonsense,
        .has = has,
    };

    present = mutant;
    return &kind;
}
