#include "kv_world.h"

#include <stdio.h>
#include <stdlib.h>

#define TXS_MAX 8 /* a block */
#define OPS_MAX 4 /* a transaction */

struct world_tx {
    unsigned who;
    Hypermesh__Operation *ops[OPS_MAX];
    size_t count;
};

struct world {
    struct fixture *f;
    struct kv_model *model;
    struct kv_model *saved;
    struct world_tx txs[TXS_MAX];
    size_t tx_count;
    uint64_t draw; /* for what is looked at after a block; follows from the commands */
    uint64_t before; /* revision before the block */
    unsigned who; /* acts in the command */
    struct kv_world_counts *counts;
    char *why;
    size_t why_size;
};

void kv_world_params(Hypermesh__Params *params)
{
    params->work_base_bits = 1;
    params->session_max_ms = UINT64_C(300) * 24 * 3600000;
    params->base_fee_initial = 1;
    params->base_fee_minimum = 1;
    params->time_window_ms = 24 * 3600000;
}

static bool differ(struct world *world, const char *what, const char *more)
{
    struct ledger_info info = {0};

    (void)ledger_info(world->f->ledger, &info, NULL);
    (void)snprintf(world->why, world->why_size, "block %llu: %s%s%s",
                   (unsigned long long)info.height, what, *more ? ": " : "", more);
    return false;
}

static uint64_t draw(struct world *world, uint64_t limit)
{
    world->draw = world->draw * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (world->draw >> 33) % limit;
}

/* --- commands --- */

struct bytes {
    const uint8_t *data;
    size_t len;
    size_t at;
};

static unsigned next(struct bytes *bytes)
{
    return bytes->at < bytes->len ? bytes->data[bytes->at++] : 0;
}

static const struct {
    const char *text;
    size_t len;
} keys[] = {
    {"a", 1},    {"a\0", 2},      {"a\0\xff", 3},   {"a\x01", 2}, {"aa", 2},
    {"ab", 2},   {"a\xff", 2},    {"a\xff\xff", 3}, {"b", 1},     {"b/", 2},
    {"b/1", 3},  {"b0", 2},       {"c", 1},         {"\0", 1},    {"\0\0", 2},
    {"\xff", 1}, {"\xff\xff", 2}, {"zz", 2},        {"a\0\1", 3}, {"", 0},
};
#define KEY_LONG HM_COUNT_OF(keys) /* as long as a key may be */
#define KEY_OVER (HM_COUNT_OF(keys) + 1)
#define KEY_ALL  (HM_COUNT_OF(keys) + 2)

static ProtobufCBinaryData key_of(struct world *world, unsigned number)
{
    uint8_t room[LEDGER_KV_KEY_MAX_BYTES + 1];

    number %= KEY_ALL;
    if (number < HM_COUNT_OF(keys))
        return fixture_keep(world->f, keys[number].text, keys[number].len);
    memset(room, 'k', sizeof room);
    memset(room, 0, number == KEY_LONG ? 24 : 25); /* the most, and one too many */
    return fixture_keep(world->f, room, LEDGER_KV_KEY_MAX_BYTES);
}

/* Mostly keys that are there and may be touched. */
static ProtobufCBinaryData key_draw(struct world *world, struct bytes *bytes)
{
    unsigned byte = next(bytes);

    return key_of(world, byte < 200 ? byte % 9 : byte);
}

static ProtobufCBinaryData end_draw(struct world *world, struct bytes *bytes)
{
    unsigned byte = next(bytes);

    if (byte < 60)
        return (ProtobufCBinaryData){0};
    if (byte < 90)
        return fixture_keep(world->f, "", 1);
    return key_of(world, byte < 210 ? byte % 10 : byte);
}

static ProtobufCBinaryData value_draw(struct world *world, struct bytes *bytes)
{
    static const char *const values[] = {"", "x", "y", "xx", "a longer value, to be told apart"};
    const char *value = values[next(bytes) % HM_COUNT_OF(values)];

    return fixture_keep(world->f, value, strlen(value));
}

/* One that was granted, mostly to who asks and not over. */
static uint64_t lease_known(struct world *world, unsigned byte)
{
    const struct kv_model *model = world->model;

    if (model->lease_count == 0)
        return byte;
    for (size_t i = 0; i < model->lease_count && byte % 4 != 0; i++) {
        const struct kv_model_lease *lease = &model->leases[(byte + i) % model->lease_count];

        if (lease->alive && lease->owner == world->who)
            return lease->id;
    }
    return model->leases[byte % model->lease_count].id;
}

static uint64_t lease_draw(struct world *world, struct bytes *bytes)
{
    unsigned byte = next(bytes);

    if (byte < 128)
        return 0;
    return byte < 240 ? lease_known(world, byte) : byte;
}

static Hypermesh__KvPut *put_draw(struct world *world, struct bytes *bytes)
{
    Hypermesh__KvPut *put = kv_put(world->f, NULL, NULL, 0);
    unsigned flags;

    put->key = key_draw(world, bytes);
    put->value = value_draw(world, bytes);
    put->lease = lease_draw(world, bytes);
    flags = next(bytes);
    put->ignore_value = flags % 16 == 1;
    put->ignore_lease = flags % 16 == 2 || flags % 64 == 17;
    if (put->ignore_value && flags < 240)
        put->value.len = 0;
    if (put->ignore_lease && flags < 240)
        put->lease = 0;
    return put;
}

static void compare_draw(struct world *world, struct bytes *bytes, Hypermesh__KvTxn *txn)
{
    Hypermesh__KvCompare *compare = kv_compare(world->f, txn,
                                               HYPERMESH__KV_COMPARE_TARGET__KV_VERSION,
                                               HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL, NULL);
    unsigned byte = next(bytes);

    compare->target = (Hypermesh__KvCompareTarget)(byte % 5);
    compare->result = (Hypermesh__KvCompareResult)(byte / 5 % 4);
    compare->key = key_draw(world, bytes);
    if (byte / 20 % 3 == 0)
        compare->range_end = end_draw(world, bytes);
    byte = next(bytes);
    compare->number = byte % 4;
    if (compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_MOD ||
        compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_CREATE)
        compare->number = (int64_t)world->model->revision - byte % 8;
    if (compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_LEASE)
        compare->number = (int64_t)lease_draw(world, bytes);
    if (compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_VALUE)
        compare->value = value_draw(world, bytes);
}

static Hypermesh__KvTxn *txn_draw(struct world *world, struct bytes *bytes, unsigned depth)
{
    Hypermesh__KvTxn *txn = kv_txn(world->f);
    unsigned shape = next(bytes);
    unsigned ops = 1 + shape / 4 % 4;

    for (unsigned i = 0; i < shape % 3; i++)
        compare_draw(world, bytes, txn);
    for (unsigned i = 0; i < ops; i++) {
        unsigned kind = next(bytes);
        bool success = kind / 8 % 3 != 0;
        Hypermesh__KvTxnOp *op;
        Hypermesh__KvRange *range;

        switch (kind % 8) {
        case 0:
        case 1:
        case 2:
            op = kv_then(world->f, txn, success);
            op->op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
            op->put = put_draw(world, bytes);
            break;
        case 3:
        case 4:
            kv_then_delete(world->f, txn, success, NULL, NULL);
            op = success ? txn->success[txn->n_success - 1] : txn->failure[txn->n_failure - 1];
            op->delete_->key = key_draw(world, bytes);
            op->delete_->range_end = end_draw(world, bytes);
            break;
        case 5:
        case 6:
            range = kv_then_range(world->f, txn, success, NULL, NULL);
            range->key = key_draw(world, bytes);
            range->range_end = end_draw(world, bytes);
            range->limit = kind / 64 == 1 ? 2 : 0;
            range->keys_only = kind / 64 == 2;
            range->count_only = kind / 64 == 3;
            break;
        default:
            if (depth < LEDGER_KV_TXN_DEPTH_MAX + 1)
                kv_then_txn(world->f, txn, success, txn_draw(world, bytes, depth + 1));
            break;
        }
    }
    return txn;
}

static Hypermesh__Operation *op_draw(struct world *world, struct bytes *bytes)
{
    static const uint64_t ttls[] = {1000,   3000,    30000, 600000,
                                    600000, 3600000, 999,   LEDGER_KV_TTL_MAX_MS + 1};
    struct fixture *f = world->f;
    unsigned kind = next(bytes) % 32;
    Hypermesh__Operation *op;
    unsigned byte;

    switch (kind) {
    default:
        op = op_kv_put(f, NULL, NULL, 0);
        op->kv_put = put_draw(world, bytes);
        return op;
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
        op = op_kv_delete(f, NULL, NULL);
        op->kv_delete->key = key_draw(world, bytes);
        op->kv_delete->range_end = end_draw(world, bytes);
        return op;
    case 19:
    case 20:
    case 21:
    case 22:
    case 23:
    case 24:
        return op_kv_txn(f, txn_draw(world, bytes, 1));
    case 25:
    case 26:
    case 27:
        byte = next(bytes);
        return op_kv_grant(f, byte < 200 ? byte % 5 : UINT64_MAX - byte,
                           ttls[next(bytes) % HM_COUNT_OF(ttls)]);
    case 13:
    case 28:
        return op_kv_revoke(f, lease_known(world, next(bytes)));
    case 29:
        return op_kv_keep_alive(f, lease_known(world, next(bytes)));
    case 30:
    case 31:
        return op_kv_compact(f, world->model->revision + 1 - next(bytes) % 12);
    }
}

/* --- after a block --- */

static struct ledger_view *view_open(struct world *world)
{
    struct ledger_view *view;

    if (ledger_view_open(world->f->ledger, &view, NULL))
        abort();
    return view;
}

static const struct hm_slice all_first = {(const uint8_t *)"", 1};

/* Every key at one revision, and a range of them with a limit. */
static bool state_check(struct world *world, struct ledger_view *view, uint64_t revision)
{
    const struct kv_model *model = world->model;
    ProtobufCBinaryData low = key_of(world, (unsigned)draw(world, HM_COUNT_OF(keys) - 1));
    ProtobufCBinaryData high = key_of(world, (unsigned)draw(world, HM_COUNT_OF(keys) - 1));
    struct ledger_kv_query query = {.key = all_first, .range_end = all_first, .revision = revision};
    size_t order[KV_MODEL_KEYS];
    size_t keys_known = kv_model_sorted(model, order);
    Hypermesh__KvPair **pairs;
    struct hm_error error = {0};
    uint64_t total;
    uint64_t in = 0;
    size_t count;
    size_t given = 0;
    bool more;
    int rc;

    if (draw(world, 2)) {
        query.key = wire_slice(low);
        query.range_end = draw(world, 3) ? wire_slice(high) : (struct hm_slice){0};
        query.limit = draw(world, 4);
        query.keys_only = draw(world, 4) == 0;
        query.count_only = draw(world, 8) == 0;
    }
    rc = ledger_view_kv_range(view, &query, &world->f->arena, &pairs, &count, &total, &more,
                              &error);
    if (revision && (revision < model->compacted || revision > model->revision))
        return rc == HM_ERANGE || differ(world, "a revision that is not there is read", "");
    if (rc)
        return differ(world, "a range cannot be read", error.text);
    for (size_t i = 0; i < keys_known; i++) {
        struct kv_model_entry entry = kv_model_at(model, order[i],
                                                  revision ? revision : model->revision);

        if (!entry.present || !kv_model_in(model, order[i], query.key, query.range_end))
            continue;
        in++;
        if (query.count_only || (query.limit && given == query.limit))
            continue;
        if (given == count ||
            !hm_slice_equal(wire_slice(pairs[given]->key), kv_model_key(model, order[i])) ||
            !kv_model_same(pairs[given]->entry, &entry, query.keys_only))
            return differ(world, "a key at a revision", "");
        given++;
    }
    if (given != count || in != total || more != (!query.count_only && in > given))
        return differ(world, "how many keys there are at a revision", "");
    return true;
}

static bool event_check(struct world *world, const struct kv_model_event *wanted,
                        const Hypermesh__KvEvent *event, const Hypermesh__KvEntry *previous)
{
    const struct kv_model *model = world->model;
    struct kv_model_entry before = {0};

    if (event->revision != wanted->revision || event->sub != wanted->sub ||
        event->deleted == wanted->after.present ||
        !hm_slice_equal(wire_slice(event->key), kv_model_key(model, wanted->key)))
        return differ(world, "a change in a watch", "");
    if (wanted->after.present && !kv_model_same(event->entry, &wanted->after, false))
        return differ(world, "the entry in a watch", "");
    if (event->revision <= model->compacted)
        return !previous || differ(world, "a previous entry that is compacted", "");
    for (size_t i = 0; i < model->event_count && &model->events[i] != wanted; i++) {
        if (model->events[i].key == wanted->key)
            before = model->events[i].after;
    }
    if (before.present != (previous != NULL) ||
        (previous && !kv_model_same(previous, &before, false)))
        return differ(world, "the previous entry in a watch", "");
    return true;
}

/* A watch from a revision to the end, in steps: everything once, in order. */
static bool watch_check(struct world *world, struct ledger_view *view)
{
    const struct kv_model *model = world->model;
    bool all = draw(world, 2);
    struct hm_slice first = all ? all_first : wire_slice(key_of(world, (unsigned)draw(world, 12)));
    struct hm_slice end = all ? all_first
                              : wire_slice(key_of(world, (unsigned)draw(world, HM_COUNT_OF(keys))));
    uint64_t start = draw(world, model->revision + 3);
    uint64_t from = start;
    size_t limit = 1 + draw(world, 6);
    uint32_t sub = 0;
    size_t at = 0;

    for (;;) {
        Hypermesh__KvEntry **previous;
        Hypermesh__KvEvent **events;
        struct hm_error error = {0};
        size_t count;
        int rc = ledger_view_kv_changes(view, first, end, from, sub, limit, &world->f->arena,
                                        &events, &previous, &count, &from, &sub, &error);

        if (start < model->compacted)
            return rc == HM_ERANGE || differ(world, "a watch of what is compacted", "");
        if (rc)
            return differ(world, "a watch", error.text);
        for (size_t i = 0; i < count; i++, at++) {
            while (at < model->event_count &&
                   (model->events[at].revision < start ||
                    !kv_model_in(model, model->events[at].key, first, end)))
                at++;
            if (at == model->event_count)
                return differ(world, "a watch gives what never happened", "");
            if (!event_check(world, &model->events[at], events[i], previous[i]))
                return false;
            world->counts->changes++;
        }
        if (from > model->revision)
            break;
    }
    while (at < model->event_count && (model->events[at].revision < start ||
                                       !kv_model_in(model, model->events[at].key, first, end)))
        at++;
    return at == model->event_count || differ(world, "a watch has a gap", "");
}

static bool leases_check(struct world *world, struct ledger_view *view)
{
    const struct kv_model *model = world->model;
    uint64_t alive = 0;
    uint64_t keys_now = 0;
    Hypermesh__KvState *state;

    for (size_t i = 0; i < model->lease_count; i++) {
        const struct kv_model_lease *lease = &model->leases[i];
        Hypermesh__KvLease *found;
        struct hm_slice *held;
        uint64_t attached = 0;
        size_t count;

        if (!lease->alive)
            continue;
        alive++;
        for (size_t k = 0; k < model->key_count; k++)
            attached += model->now[k].present && model->now[k].lease == lease->id;
        if (ledger_view_kv_lease(view, lease->id, &world->f->arena, &found, NULL) ||
            ledger_view_kv_lease_keys(view, lease->id, (struct hm_slice){0}, LEDGER_PAGE_MAX,
                                      &world->f->arena, &held, &count, NULL))
            return differ(world, "a lease is not there", "");
        if (found->expires_ms != lease->expires_ms || found->ttl_ms != lease->ttl_ms ||
            found->keys != attached || count != attached ||
            memcmp(found->owner.data, world->f->people[lease->owner].id, 32) != 0)
            return differ(world, "a lease", "");
    }
    for (size_t k = 0; k < model->key_count; k++)
        keys_now += model->now[k].present;
    if (ledger_view_kv_state(view, &world->f->arena, &state, NULL))
        abort();
    if (state->leases != alive || state->keys != keys_now || state->revision != model->revision ||
        state->compacted != model->compacted)
        return differ(world, "the totals", "");
    return true;
}

/* What no revision needs any more is gone from the tables, and nothing else is. */
static bool swept_check(struct world *world)
{
    struct store_stats stats;
    size_t kept = kv_model_lines_kept(world->model);

    if (store_stats(world->f->store, &stats, NULL))
        abort();
    return (stats.entries[LEDGER_TABLE_KV_LOG] == kept &&
            stats.entries[LEDGER_TABLE_KV_PAST] == kept) ||
           differ(world, "how much history is kept", "");
}

static bool views_check(struct world *world)
{
    struct ledger_view *view = view_open(world);
    bool good = leases_check(world, view) && state_check(world, view, 0);

    for (unsigned i = 0; good && i < 3; i++)
        good = state_check(world, view, draw(world, world->model->revision + 3)) &&
               watch_check(world, view);
    ledger_view_close(view);
    return good && swept_check(world);
}

/* --- blocks --- */

static void model_save(const struct kv_model *from, struct kv_model *to)
{
    *to = *from; /* the events are shared: they are only added to, and their number goes back */
}

static bool tx_check(struct world *world, const struct world_tx *tx,
                     const Hypermesh__TxResult *result)
{
    const char *differs = NULL;
    const char *rule = "";
    size_t i;

    model_save(world->model, world->saved);
    for (i = 0; i < tx->count && !*rule; i++) {
        const Hypermesh__KvAnswer *answer = result->code == 0 && i < result->n_kv ? result->kv[i]
                                                                                  : NULL;

        rule = kv_model_apply(world->model, tx->who, tx->ops[i], answer, &differs);
    }
    if (strcmp(rule, result->rule) != 0 || (*rule != '\0') != (result->code != 0)) {
        (void)snprintf(world->why, world->why_size, "the model says \"%s\", the ledger \"%s\" (%s)",
                       rule, result->rule, result->text);
        return false;
    }
    if (*rule) {
        model_save(world->saved, world->model);
        world->counts->refused++;
        return result->op == i - 1 || differ(world, "which operation failed", "");
    }
    if (differs)
        return differ(world, "an answer", differs);
    if (result->n_kv != tx->count)
        return differ(world, "the number of answers", "");
    world->counts->good++;
    for (i = 0; i < tx->count; i++) {
        world->counts->of_kind[tx->ops[i]->op_case]++;
        world->counts->compactions += tx->ops[i]->op_case == HYPERMESH__OPERATION__OP_KV_COMPACT;
    }
    return true;
}

static size_t leases_alive(const struct kv_model *model)
{
    size_t alive = 0;

    for (size_t i = 0; i < model->lease_count; i++)
        alive += model->leases[i].alive;
    return alive;
}

static bool block_end(struct world *world, unsigned jump)
{
    static const uint64_t jumps[] = {0, 0, 0, 0, 500, 1500, 4000, 90000};
    struct fixture *f = world->f;
    struct hm_slice txs[TXS_MAX];
    size_t alive = leases_alive(world->model);
    bool good = true;
    int rc;

    f->next_ms += jumps[jump % HM_COUNT_OF(jumps)];
    world->before = world->model->revision;
    for (size_t i = 0; i < world->tx_count; i++)
        txs[i] = fixture_tx(f, (enum fixture_role)world->txs[i].who, world->txs[i].ops,
                            world->txs[i].count);
    kv_model_begin(world->model, f->next_ms);
    world->counts->expired += alive - leases_alive(world->model);
    rc = world->tx_count > 0 ? fixture_block_txs(f, txs, world->tx_count)
                             : fixture_block(f, NULL, 0);
    if (rc)
        return differ(world, "a block failed", f->error.text);
    for (size_t i = 0; good && i < world->tx_count; i++)
        good = tx_check(world, &world->txs[i], f->record->results[i]);
    if (good &&
        (f->record->kv_before != world->before || f->record->kv_after != world->model->revision))
        good = differ(world, "the revisions of a block", "");
    good = good && views_check(world);
    world->counts->blocks++;
    world->tx_count = 0;
    fixture_forget(f);
    return good;
}

static bool command_run(struct world *world, const uint8_t *command)
{
    struct bytes bytes = {command, KV_COMMAND_BYTES, 0};
    unsigned control = next(&bytes);
    unsigned who = next(&bytes) % 4;
    struct world_tx *last = world->tx_count ? &world->txs[world->tx_count - 1] : NULL;

    for (size_t i = 0; i < sizeof world->draw; i++)
        world->draw = world->draw * 31 + command[i];
    who = who == 3 ? BOB : who; /* who may everything acts most */
    if (!last || last->count == OPS_MAX || control % 4 != 0) {
        last = &world->txs[world->tx_count++];
        last->count = 0;
        last->who = who;
    }
    world->who = last->who;
    last->ops[last->count++] = op_draw(world, &bytes);
    if (control / 4 % 3 == 0 || world->tx_count == TXS_MAX)
        return block_end(world, control / 16);
    return true;
}

static bool chain_replay(struct world *world)
{
    struct hm_error error = {0};
    struct ledger *scratch;
    struct store *store;
    int rc;

    if (store_open_memory(fixture_store_options(), &store, NULL) ||
        ledger_open(store, &scratch, NULL))
        abort();
    rc = ledger_replay(world->f->ledger, scratch, NULL, NULL, NULL, NULL, &error);
    ledger_close(scratch);
    store_close(store);
    world->counts->replays++;
    return rc == 0 || differ(world, "replay", error.text);
}

bool kv_world_run(struct fixture *fixture, const uint8_t *commands, size_t count, bool replay,
                  struct kv_world_counts *counts, char *why, size_t why_size)
{
    struct kv_model *models = calloc(2, sizeof *models);
    struct world world = {.f = fixture, .counts = counts, .why = why, .why_size = why_size};
    bool good = true;

    if (!models || fixture_restart(fixture))
        abort();
    world.model = &models[0];
    world.saved = &models[1];
    kv_model_init(world.model);
    for (size_t i = 0; good && i < count && i < KV_COMMANDS_MAX; i++)
        good = command_run(&world, commands + i * KV_COMMAND_BYTES);
    if (good && world.tx_count > 0)
        good = block_end(&world, 0);
    if (good && replay)
        good = chain_replay(&world);
    kv_model_release(world.model);
    free(models);
    return good;
}

void kv_world_print(const uint8_t *commands, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char hex[2 * KV_COMMAND_BYTES + 1];

        hm_hex_encode(commands + i * KV_COMMAND_BYTES, KV_COMMAND_BYTES, hex);
        (void)fprintf(stderr, "  %s\n", hex);
    }
}
