#include "cluster_ledger.h"

#include <stdio.h>

#include "cluster_witness.h"
#include "engine_app.h"
#include "ledger_fixture.h"
#include "store.h"

#define TXS_MAX     CLUSTER_TXS_MAX
#define WAIT_MAX_MS 90000 /* a transaction that is in no block by then never will be */
#define DAY_MS      UINT64_C(86400000)
#define GARBAGE_MAX 200
#define BASE_HEIGHT 3

struct ledger_world;

struct seat {
    struct ledger_world *world;
    unsigned node;
    struct store *store;
    struct ledger *ledger; /* NULL: not running */
    struct engine_app *app;
    struct engine_options options;
    struct engine_cometbft_options cometbft;
    uint64_t nudged; /* the height that this node has asked for */
};

struct made {
    uint8_t item[32], digest[32]; /* hash of the batch; the transaction in it */
    unsigned person;
    uint64_t at_ms;
    bool told, answered; /* a client knows what became of it; and that it is done */
};

struct ledger_world {
    struct cluster_genesis genesis;
    struct store *store; /* what all its nodes begin with: the chain before, with its validators */
    struct ledger *ledger;
    struct hm_buf app_state;
    struct seat *seats[CLUSTER_NODES_MAX];
    bool clocks_differ;
    struct witness_link link;
    uint64_t judged, linked; /* the height of the newest view that was looked at; the newest link */
    struct made made[TXS_MAX];
    size_t count;
    bool registered[FIXTURE_PEOPLE];
};

/* People, plot and the chain before the cluster: the same for all worlds. */
static struct {
    bool ready;
    struct fixture fixture;
    struct ledger *ledger; /* the fixture's own */
    uint8_t presence[FIXTURE_PEOPLE][32];
    struct cluster_ledger_counts counts;
    const char *wrong; /* with what validators saw */
} base;

/* --- worlds ------------------------------------------------------------------------------------------- */

static void params(Hypermesh__Params *out)
{
    out->work_base_bits = 1;
    out->session_max_ms = UINT64_C(300) * DAY_MS;
    out->unbond_delay_ms = 60000;
    out->max_lease_ms = 600000;
    out->validator_bond = out->power_unit;
    out->vdf_blocks = 10;
    out->vdf_steps = 300;
}

static void base_make(void)
{
    const struct fixture_options options = {.params = params};

    if (base.ready)
        return;
    if (fixture_init(&base.fixture, &options) != 0) {
        (void)fprintf(stderr, "cluster_ledger: %s\n", base.fixture.error.text);
        abort();
    }
    fixture_resync(&base.fixture);
    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++)
        memcpy(base.presence[i], base.fixture.people[i].presence, 32);
    base.ledger = base.fixture.ledger;
    fixture_forget(&base.fixture);
    base.ready = true;
}

void cluster_ledger_end(void)
{
    if (!base.ready)
        return;
    base.fixture.ledger = base.ledger;
    fixture_release(&base.fixture);
    base.ready = false;
}

const char *cluster_ledger_wrong(void)
{
    return base.wrong;
}

const struct cluster_ledger_counts *cluster_ledger_counted(void)
{
    return &base.counts;
}

static int table_copy(struct store_txn *from, struct store_txn *to, unsigned table,
                      struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice key, value;
    int status = store_cursor_open(from, table, &cursor, error);

    if (status != 0)
        return status;
    while (status == 0 && store_cursor_next(cursor, &key, &value) == 0)
        status = store_put(to, table, key, value, error);
    store_cursor_close(cursor);
    return status;
}

static int store_copy(struct store *from, struct store *to, struct hm_error *error)
{
    struct store_txn *reader, *writer;
    int status = store_begin_read(from, &reader, error);

    if (status != 0)
        return status;
    status = store_begin_write(to, &writer, error);
    for (unsigned table = 0; table < LEDGER_TABLE_COUNT && status == 0; table++)
        status = table_copy(reader, writer, table, error);
    store_abort(reader);
    return status != 0 ? status : store_commit(writer, error);
}

/* Each person operates one node's validator: the last block of the one node that the chain had. */
static int validators_declare(struct ledger_world *world)
{
    struct fixture *f = &base.fixture;
    struct hm_slice txs[CLUSTER_NODES_MAX];
    struct ledger_info info;
    int status = ledger_info(world->ledger, &info, &f->error);

    f->next_ms = info.time_ms + FIXTURE_BLOCK_MS;
    for (unsigned i = 0; i < world->genesis.count && status == 0; i++) {
        Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE);
        uint8_t digest[32], proof[64];
        ledger_validator_digest(info.chain_hash, f->people[i].id, digest);
        crypto_ed25519_sign(&world->genesis.validator[i].signer, digest, sizeof digest, proof);
        op->validator_declare->key = fixture_keep(f, world->genesis.validator[i].key, 32);
        op->validator_declare->proof = fixture_keep(f, proof, sizeof proof);
        op->validator_declare->bond = (uint64_t)world->genesis.validator[i].power * FIXTURE_HYPER;
        txs[i] = fixture_tx(f, (enum fixture_role)i, &op, 1);
    }
    if (status == 0)
        status = fixture_block_txs(f, txs, world->genesis.count);
    for (size_t i = 0; status == 0 && i < f->record->n_results; i++)
        if (f->record->results[i]->code != 0)
            status = hm_fail(&f->error, HM_EINTERNAL, "%s", f->record->results[i]->text);
    return status;
}

static int world_fill(struct ledger_world *world)
{
    struct fixture *f = &base.fixture;
    HM_CLEANUP(hm_buf) struct hm_buf state = {0};
    int status = store_open_memory(fixture_store_options(), &world->store, &f->error);

    if (status == 0)
        status = store_copy(f->store, world->store, &f->error);
    if (status == 0)
        status = ledger_open(world->store, &world->ledger, &f->error);
    f->ledger = world->ledger;
    if (status == 0)
        status = validators_declare(world);
    fixture_forget(f);
    f->ledger = base.ledger;
    if (status == 0)
        status = engine_cometbft_app_state(world->ledger, &state, &f->error);
    if (status == 0 && (hm_buf_append_str(&world->app_state, "\"") != 0 ||
                        hm_base64_encode(state.data, state.len, &world->app_state) != 0 ||
                        hm_buf_append_str(&world->app_state, "\"") != 0))
        status = HM_ENOMEM;
    return status;
}

static void world_end(void *ctx)
{
    struct ledger_world *world = ctx;

    ledger_close(world->ledger);
    store_close(world->store);
    hm_buf_release(&world->app_state);
    hm_free(world);
}

static int world_begin(const struct cluster_genesis *genesis, void **out)
{
    struct ledger_world *world = hm_calloc(1, sizeof *world);
    int status;

    if (world == NULL)
        return HM_ENOMEM;
    world->genesis = *genesis;
    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++)
        memcpy(base.fixture.people[i].presence, base.presence[i], 32);
    status = world_fill(world);
    if (status != 0) {
        (void)fprintf(stderr, "cluster_ledger: %s\n", base.fixture.error.text);
        world_end(world);
        return status;
    }
    *out = world;
    return 0;
}

static struct hm_slice app_state(void *world)
{
    return hm_buf_slice(&((struct ledger_world *)world)->app_state);
}

/* --- what nodes see of each other ------------------------------------------------------------------------ */

#define CLOCKS_AGREE_MS 1000

static void scene_fill(struct ledger_world *world, struct witness_scene *scene)
{
    uint64_t least = UINT64_MAX, most = 0;

    *scene = (struct witness_scene){.count = CLUSTER_NODES_MAX};
    crypto_hash(FIXTURE_CHAIN, strlen(FIXTURE_CHAIN), scene->chain_hash);
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        const struct seat *seat = world->seats[i];
        if (i < world->genesis.count)
            (void)!engine_config_address(world->genesis.validator[i].key, scene->address[i], NULL);
        if (seat == NULL)
            continue;
        scene->up[i] = seat->app != NULL;
        scene->clock_ms[i] = hm_wall_ms(seat->options.clock);
        least = scene->clock_ms[i] < least ? scene->clock_ms[i] : least;
        most = scene->clock_ms[i] > most ? scene->clock_ms[i] : most;
    }
    world->clocks_differ = world->clocks_differ || most - least > CLOCKS_AGREE_MS;
}

static int witness(void *ctx, struct hm_buf *out)
{
    const struct seat *seat = ctx;
    struct witness_scene scene;

    scene_fill(seat->world, &scene);
    return witness_say(&scene, seat->node, false, out);
}

static int make_lie(void *ctx, unsigned node, struct hm_buf *out)
{
    struct witness_scene scene;

    scene_fill(ctx, &scene);
    return witness_say(&scene, node, true, out);
}

/* After a block: the view that it made is one that may be; a link that is due is computed by every second node. */
static void look(struct seat *seat)
{
    struct ledger_world *world = seat->world;
    bool lies[CLUSTER_NODES_MAX] = {false};
    Hypermesh__WitnessView *seen;
    Hypermesh__VdfLink *link;
    struct ledger_view *view;
    struct hm_arena arena;

    for (unsigned i = 0; i < world->genesis.count; i++)
        lies[i] = world->genesis.validator[i].lies;
    if (ledger_view_open(seat->ledger, &view, NULL) != 0)
        return;
    hm_arena_init(&arena, 0);
    if (ledger_view_witness(view, &arena, &seen, NULL) == 0 && seen->height > world->judged) {
        const char *wrong = witness_judge(seen, lies, !world->clocks_differ, &base.counts.witness);
        world->judged = seen->height;
        base.wrong = base.wrong != NULL ? base.wrong : wrong;
    }
    if (ledger_view_vdf(view, &arena, &link, NULL) == 0 && link->index > world->linked) {
        base.counts.witness.links += link->index - world->linked;
        world->linked = link->index;
    }
    if (seat->node % 2 == 0 && witness_link_make(view, &world->link) &&
        engine_app_offer_vdf(seat->app, world->link.index, hm_slice_of(world->link.output, 256),
                             hm_slice_of(world->link.proof, 256), NULL) != 0)
        base.wrong = "a link is not taken";
    ledger_view_close(view);
    hm_arena_release(&arena);
}

/* --- one node's application ------------------------------------------------------------------------------ */

static int seat_new(void *world, unsigned node, const struct hm_clock *clock, void **out)
{
    struct seat *seat = hm_calloc(1, sizeof *seat);
    struct hm_error error = {0};

    if (seat == NULL)
        return HM_ENOMEM;
    if (store_open_memory(fixture_store_options(), &seat->store, &error) != 0 ||
        store_copy(((struct ledger_world *)world)->store, seat->store, &error) != 0) {
        (void)fprintf(stderr, "cluster_ledger: %s\n", error.text);
        return HM_EIO;
    }
    seat->world = world;
    seat->node = node;
    seat->options.clock = clock;
    seat->cometbft.witness = witness;
    seat->cometbft.witness_ctx = seat;
    seat->world->seats[node] = seat;
    *out = seat;
    return 0;
}

static void stop(void *ctx)
{
    struct seat *seat = ctx;

    engine_app_close(seat->app);
    seat->app = NULL;
    ledger_close(seat->ledger);
    seat->ledger = NULL;
}

static void seat_free(void *ctx)
{
    struct seat *seat = ctx;

    stop(seat);
    store_close(seat->store);
    seat->world->seats[seat->node] = NULL;
    hm_free(seat);
}

static void on_start(void *ctx, const char *version)
{
    (void)ctx;
    (void)version;
}

static void on_chain(void *ctx, const struct ledger_info *info)
{
    (void)ctx;
    (void)info;
}

static void on_failure(void *ctx, const struct hm_error *error)
{
    const struct seat *seat = ctx;

    (void)fprintf(stderr, "cluster_ledger: node %u: %s\n", seat->node, error->text);
}

/* What this node's clients hear. */
static void on_commit(void *ctx, const struct engine_app_commit *commit)
{
    struct ledger_world *world = ((struct seat *)ctx)->world;

    look(ctx);
    for (size_t i = 0; i < commit->record->n_results; i++) {
        const Hypermesh__TxResult *result = commit->record->results[i];
        for (size_t k = 0; k < world->count; k++) {
            struct made *made = &world->made[k];
            if (made->told || result->digest.len != 32 ||
                memcmp(made->digest, result->digest.data, 32) != 0)
                continue;
            made->told = true;
            made->answered = result->code == 0;
            base.counts.good += result->code == 0;
            base.counts.failed += result->code != 0;
        }
    }
}

static int start(void *ctx, struct abci_handlers *out, struct hm_error *error)
{
    struct seat *seat = ctx;
    struct engine_app_options options = {.engine = &seat->options,
                                         .cometbft = &seat->cometbft,
                                         .on_start = on_start,
                                         .on_chain = on_chain,
                                         .on_commit = on_commit,
                                         .on_failure = on_failure,
                                         .ctx = seat};
    int status = ledger_open(seat->store, &seat->ledger, error);

    if (status != 0)
        return status;
    seat->options.ledger = seat->ledger;
    seat->nudged = 0;
    status = engine_app_open(&options, &seat->app, error);
    if (status == 0)
        *out = seat->app->handlers;
    return status;
}

static bool has(void *ctx, struct hm_slice item)
{
    struct seat *seat = ctx;
    struct ledger_view *view;
    struct hm_arena arena;
    Hypermesh__TxResult *result;
    const struct made *made = NULL;
    uint8_t hash[32];
    bool found;

    crypto_hash(item.data, item.len, hash);
    for (size_t i = 0; i < seat->world->count; i++)
        if (memcmp(seat->world->made[i].item, hash, 32) == 0)
            made = &seat->world->made[i];
    if (made == NULL || !made->answered)
        return true; /* nobody was told that it is done */
    if (ledger_view_open(seat->ledger, &view, NULL) != 0)
        return false;
    hm_arena_init(&arena, 0);
    found = ledger_view_tx(view, made->digest, &arena, NULL, NULL, &result, NULL) == 0 &&
            result->code == 0;
    ledger_view_close(view);
    hm_arena_release(&arena);
    return found;
}

/* --- clients ------------------------------------------------------------------------------------------- */

/* Whoever is furthest answers clients; nobody runs: what was before the cluster. */
static struct ledger *ledger_best(const struct ledger_world *world)
{
    struct ledger *best = world->ledger;
    struct ledger_info info;
    uint64_t height = 0;

    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        if (world->seats[i] == NULL || world->seats[i]->ledger == NULL ||
            ledger_info(world->seats[i]->ledger, &info, NULL) != 0 || info.height <= height)
            continue;
        height = info.height;
        best = world->seats[i]->ledger;
    }
    return best;
}

static bool is_known(struct ledger *ledger, const uint8_t digest[32])
{
    struct ledger_view *view;
    struct hm_arena arena;
    bool known;

    if (ledger_view_open(ledger, &view, NULL) != 0)
        return false;
    hm_arena_init(&arena, 0);
    known = ledger_view_tx(view, digest, &arena, NULL, NULL, NULL, NULL) == 0;
    ledger_view_close(view);
    hm_arena_release(&arena);
    return known;
}

/* A person none of whose transactions is under way; the state says what it signs next. Else anybody: then one follows the
 * other, and which comes first is open. */
static enum fixture_role person_pick(const struct ledger_world *world, const struct hm_random *dice,
                                     uint64_t now_ms)
{
    unsigned first = (unsigned)(hm_random_u64(dice) % POOR);

    for (unsigned i = 0; i < POOR; i++) {
        unsigned person = (first + i) % POOR;
        bool waits = false;
        for (size_t k = 0; k < world->count; k++)
            waits = waits || (world->made[k].person == person &&
                              world->made[k].at_ms + WAIT_MAX_MS > now_ms &&
                              !is_known(base.fixture.ledger, world->made[k].digest));
        if (waits)
            continue;
        memcpy(base.fixture.people[person].presence,
               fixture_account(&base.fixture, (enum fixture_role)person)->presence.data, 32);
        return (enum fixture_role)person;
    }
    return (enum fixture_role)first;
}

static Hypermesh__Operation *operation(struct ledger_world *world, const struct hm_random *dice,
                                       enum fixture_role who)
{
    struct fixture *f = &base.fixture;
    enum fixture_role other = (enum fixture_role)(hm_random_u64(dice) % POOR);
    uint64_t amount = 1 + hm_random_u64(dice) % FIXTURE_HYPER;
    uint8_t asset[1][32];

    switch (hm_random_u64(dice) % 10) {
    case 0:
        return op_bond(f, amount);
    case 1:
        return op_unbond(f, amount);
    case 2:
    case 3:
        if (!world->registered[who]) {
            world->registered[who] = true;
            return op_register(f, "cpu", 1000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
        }
        __attribute__((fallthrough));
    case 4:
        if (world->registered[other] && other != who) {
            fixture_asset_id(f, other, "cpu", asset[0]);
            return op_allocate(f, (const uint8_t(*)[32])asset, 1, 100000,
                               10000 + hm_random_u64(dice) % 300000);
        }
        __attribute__((fallthrough));
    default:
        return op_transfer(f, other, amount);
    }
}

/* Checking signatures is most of a run's work, and no two nodes' checks differ: every second node believes at once. */
static void some_believe(const struct ledger_world *world, struct hm_slice tx, struct hm_slice item)
{
    Hypermesh__Batch *batch = hypermesh__batch__unpack(NULL, item.len, item.data);

    for (unsigned i = 1; i < CLUSTER_NODES_MAX && batch != NULL; i += 2) {
        if (world->seats[i] == NULL || world->seats[i]->ledger == NULL)
            continue;
        ledger_note_tx(world->seats[i]->ledger, tx);
        ledger_note_batch(world->seats[i]->ledger, hm_slice_of(batch->head.data, batch->head.len),
                          hm_slice_of(batch->signature.data, batch->signature.len));
    }
    if (batch != NULL)
        hypermesh__batch__free_unpacked(batch, NULL);
}

static int make_tx(void *ctx, const struct hm_random *dice, uint64_t now_ms, struct hm_buf *out)
{
    struct ledger_world *world = ctx;
    struct fixture *f = &base.fixture;
    struct made *made = &world->made[world->count];
    Hypermesh__Operation *op;
    struct hm_slice tx, item;

    if (world->count == TXS_MAX)
        return HM_ELIMIT;
    f->ledger = ledger_best(world);
    f->next_ms = now_ms;
    made->person = person_pick(world, dice, now_ms);
    op = operation(world, dice, (enum fixture_role)made->person);
    tx = fixture_tx(f, (enum fixture_role)made->person, &op, 1);
    item = fixture_batch(f, &tx, 1);
    some_believe(world, tx, item);
    fixture_tx_digest(tx, made->digest);
    crypto_hash(item.data, item.len, made->item);
    made->at_ms = now_ms;
    world->count++;
    base.counts.made++;
    if (hm_buf_append(out, item.data, item.len) != 0)
        return HM_ENOMEM;
    fixture_forget(f);
    f->ledger = base.ledger;
    return 0;
}

static int make_update(void *world, const uint8_t key[32], int64_t power, uint64_t now_ms,
                       struct hm_buf *out)
{
    (void)world;
    (void)key;
    (void)power;
    (void)now_ms;
    (void)out;
    return 1;
}

/* A note that would do, but for what it says that validators saw, or a link that nobody computed. */
static int make_false_note(struct ledger_world *world, const struct hm_random *dice,
                           struct hm_buf *out)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    Hypermesh__WitnessVote vote = HYPERMESH__WITNESS_VOTE__INIT, *votes[] = {&vote};
    Hypermesh__VdfLink link = HYPERMESH__VDF_LINK__INIT;
    uint8_t address[20], bytes[256];
    struct ledger_info info;

    if (ledger_info(ledger_best(world), &info, NULL) != 0)
        return HM_EINTERNAL;
    (void)dice->fill(dice->ctx, bytes, sizeof bytes);
    note.time_ms = info.time_ms + 1 + hm_random_u64(dice) % 1000;
    (void)!engine_config_address(world->genesis.validator[0].key, address, NULL);
    vote.address = wire_bytes(address, sizeof address);
    vote.extension = wire_bytes(bytes, hm_random_u64(dice) % 100);
    vote.signature = wire_bytes(bytes, 64);
    link.index = world->link.index + hm_random_u64(dice) % 2;
    link.steps = 300;
    link.input = wire_bytes(world->link.input, 32);
    link.output = link.proof = wire_bytes(bytes, sizeof bytes);
    if (hm_random_u64(dice) % 2) {
        note.votes = votes;
        note.n_votes = 1;
    } else {
        note.vdf = &link;
    }
    return ledger_note_pack(&note, out, NULL);
}

/* Bytes of chance, a note of tomorrow, a note's beginning, a request for a block where a note should be. */
static int make_nonsense(void *world, const struct hm_random *dice, struct hm_buf *out)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    uint8_t bytes[GARBAGE_MAX] = {0};

    (void)dice->fill(dice->ctx, bytes, sizeof bytes);
    switch (hm_random_u64(dice) % 6) {
    case 4:
    case 5:
        return make_false_note(world, dice, out);
    case 0:
        note.time_ms = FIXTURE_START_MS + 30 * DAY_MS;
        return ledger_note_pack(&note, out, NULL);
    case 1:
        bytes[0] = 0xf1;
        return hm_buf_append(out, bytes, 1 + hm_random_u64(dice) % (GARBAGE_MAX - 1));
    case 2:
        hm_put_be64(bytes, 1);
        hm_put_be64(bytes + 8, 1);
        return ledger_note_request(bytes, out, NULL);
    default:
        bytes[0] = 0x0a;
        return hm_buf_append(out, bytes, 1 + hm_random_u64(dice) % (GARBAGE_MAX - 1));
    }
}

/* Once a height, as the real pool asks. */
static bool nudge(void *ctx, uint64_t now_ms, struct hm_buf *out)
{
    struct seat *seat = ctx;
    struct ledger_info info;
    uint8_t nonce[LEDGER_NOTE_NONCE_BYTES];

    if (ledger_info(seat->ledger, &info, NULL) != 0 || info.next_due_ms == 0 ||
        info.next_due_ms > now_ms || seat->nudged > info.height)
        return false;
    seat->nudged = info.height + 1;
    hm_put_be64(nonce, seat->nudged);
    hm_put_be64(nonce + 8, seat->node);
    return ledger_note_request(nonce, out, NULL) == 0;
}

const struct cluster_kind *cluster_ledger_kind(void)
{
    static const struct cluster_kind kind = {
        .name = "ledger",
        .base = BASE_HEIGHT,
        .start_ms = FIXTURE_START_MS + 120000,
        .chain_id = FIXTURE_CHAIN,
        .step_txs = 2,
        .recheck = true,
        .may_refuse = true,
        .small_block_bytes = 8192,
        .world_begin = world_begin,
        .world_end = world_end,
        .app_state = app_state,
        .seat_new = seat_new,
        .seat_free = seat_free,
        .start = start,
        .stop = stop,
        .make_tx = make_tx,
        .make_update = make_update,
        .make_nonsense = make_nonsense,
        .make_lie = make_lie,
        .has = has,
        .nudge = nudge,
    };

    base_make();
    return &kind;
}
