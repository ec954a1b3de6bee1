#include "ledger_kv_do.h"

#include <stdlib.h>

#define KV_REVISION_FIRST UINT64_C(1) /* before any change, as etcd counts */
#define KV_DUE_SWEEP_MS   UINT64_C(1) /* long ago: the next block is due at once */

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the key-value store");
}

/* --- a block's life --- */

int ledger_kv_totals_read(struct store_txn *txn, struct ledger_kv_totals *out,
                          struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_KV_STATE;
    struct hm_arena arena;
    Hypermesh__KvState *state;
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    if (rc == HM_ENOTFOUND) {
        *out = (struct ledger_kv_totals){.revision = KV_REVISION_FIRST};
        return 0;
    }
    if (rc)
        return hm_fail(error, rc, "the state table could not be read");
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = WIRE_UNPACK(hypermesh__kv_state, bytes, LEDGER_STATE_MAX_BYTES, &arena, &state, error);
    if (rc && rc != HM_ENOMEM)
        rc = hm_fail(error, HM_ECORRUPT, "the state of the key-value store is damaged");
    if (rc == 0)
        *out = (struct ledger_kv_totals){.revision = state->revision,
                                         .compacted = state->compacted,
                                         .keys = state->keys,
                                         .leases = state->leases,
                                         .swept = state->swept};
    hm_arena_release(&arena);
    return rc;
}

int ledger_kv_begin(struct ledger_block *block, struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;
    int rc = ledger_kv_totals_read(block->txn, &kv->now, error);

    if (rc)
        return rc;
    kv->before = kv->now;
    kv->rules = block->ledger->kv_rules;
    ledger_kv_keep(block);
    return 0;
}

void ledger_kv_op_end(struct ledger_block *block)
{
    struct ledger_kv *kv = &block->kv;

    kv->now.revision += kv->sub > 0;
    kv->sub = 0;
}

void ledger_kv_keep(struct ledger_block *block)
{
    struct ledger_kv *kv = &block->kv;

    kv->undo_count = 0;
    kv->kept = (struct ledger_kv_mark){.totals = kv->now,
                                       .rules = kv->rules,
                                       .lines = kv->line_count,
                                       .answer_bytes = kv->answer_bytes};
}

void ledger_kv_take_back(struct ledger_block *block)
{
    struct ledger_kv *kv = &block->kv;

    while (kv->undo_count > 0)
        ledger_overlay_take_back(&kv->undos[--kv->undo_count]);
    kv->now = kv->kept.totals;
    kv->rules = kv->kept.rules;
    kv->line_count = kv->kept.lines;
    kv->answer_bytes = kv->kept.answer_bytes;
    kv->sub = 0;
}

static int log_write(struct ledger_block *block, const struct ledger_kv_line *line,
                     struct hm_error *error)
{
    uint8_t log[LEDGER_KV_LOG_KEY_BYTES];

    return store_append(block->txn, LEDGER_TABLE_KV_LOG,
                        ledger_kv_log_key(line->revision, line->sub, log), line->event, error);
}

static int past_write(struct ledger_block *block, const struct ledger_kv_line *line,
                      struct hm_error *error)
{
    struct ledger_kv_past_key past;

    ledger_kv_past_begin(line->key, &past);
    return store_put(block->txn, LEDGER_TABLE_KV_PAST,
                     ledger_kv_past_line(&past, line->revision, line->sub), (struct hm_slice){0},
                     error);
}

/* By key, then by age: the table's own order. */
static int past_order(const void *a, const void *b)
{
    const struct ledger_kv_line *left = *(const struct ledger_kv_line *const *)a;
    const struct ledger_kv_line *right = *(const struct ledger_kv_line *const *)b;
    int order = hm_slice_compare(left->key, right->key);

    return order ? order : (left > right) - (left < right);
}

static int lines_write(struct ledger_block *block, struct hm_error *error)
{
    const struct ledger_kv *kv = &block->kv;
    const struct ledger_kv_line **order = hm_arena_alloc(&block->arena,
                                                         (kv->line_count + 1) * sizeof *order);
    int rc = 0;

    if (!order)
        return no_memory(error);
    for (size_t i = 0; rc == 0 && i < kv->line_count; i++) {
        order[i] = &kv->lines[i];
        rc = log_write(block, order[i], error);
    }
    qsort(order, kv->line_count, sizeof *order, past_order);
    for (size_t i = 0; rc == 0 && i < kv->line_count; i++)
        rc = past_write(block, order[i], error);
    return rc;
}

/* While history waits to be swept a block is due. */
static int sweep_due(struct ledger_block *block, struct hm_error *error)
{
    const struct ledger_kv_totals *now = &block->kv.now;
    const uint8_t thing = LEDGER_KEY_KV_STATE;
    uint8_t key[LEDGER_KEY_DUE_MAX_BYTES];
    struct hm_slice due = ledger_key_due(KV_DUE_SWEEP_MS, hm_slice_of(&thing, 1), key);

    return now->swept < now->compacted
               ? ledger_overlay_put(&block->overlay, due, (struct hm_slice){0}, error)
               : ledger_overlay_delete(&block->overlay, due, error);
}

static int totals_write(struct ledger_block *block, struct hm_error *error)
{
    const struct ledger_kv_totals *now = &block->kv.now;
    Hypermesh__KvState state = HYPERMESH__KV_STATE__INIT;
    const uint8_t key = LEDGER_KEY_KV_STATE;

    state.revision = now->revision;
    state.compacted = now->compacted;
    state.keys = now->keys;
    state.leases = now->leases;
    state.swept = now->swept;
    hm_buf_clear(&block->pack);
    if (wire_pack(&state.base, &block->pack))
        return no_memory(error);
    return ledger_overlay_put(&block->overlay, hm_slice_of(&key, 1), hm_buf_slice(&block->pack),
                              error);
}

int ledger_kv_write(struct ledger_block *block, struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;
    int rc = lines_write(block, error);

    if (rc == 0 && block->engine)
        rc = ledger_kv_sweep_own(block, error);
    else if (rc == 0 && kv->now.swept < kv->now.compacted)
        rc = ledger_kv_sweep(block, error);
    if (rc == 0 && (kv->now.swept != kv->before.swept || kv->now.swept < kv->now.compacted))
        rc = sweep_due(block, error);
    if (rc == 0 && memcmp(&kv->now, &kv->before, sizeof kv->now) != 0)
        rc = totals_write(block, error);
    return rc;
}

int ledger_kv_finish(struct ledger_block *block, struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;

    return kv->rules == block->ledger->kv_rules
               ? 0
               : ledger_kv_rules_load(block->txn, &kv->rules_next, error);
}

/* --- one key --- */

int ledger_kv_look(struct ledger_block *block, struct hm_slice key, struct ledger_kv_now *out,
                   struct hm_error *error)
{
    uint8_t state_key[LEDGER_KEY_KV_BYTES];
    struct hm_slice bytes;
    int rc = ledger_overlay_peek(&block->overlay, ledger_key_kv(LEDGER_KEY_KV, key, state_key),
                                 &bytes, error);

    if (rc == HM_ENOTFOUND) {
        *out = (struct ledger_kv_now){0};
        return 0;
    }
    if (rc == 0 && ledger_kv_entry_read(bytes, &out->entry))
        rc = hm_fail(error, HM_ECORRUPT, "a stored entry of the key-value store is damaged");
    if (rc == 0)
        out->present = true;
    return rc;
}

static int undo_room(struct ledger_block *block, struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;
    size_t cap = kv->undo_cap ? kv->undo_cap * 2 : 16;
    struct ledger_overlay_undo *list;

    if (kv->undo_count < kv->undo_cap)
        return 0;
    list = hm_arena_alloc(&block->arena, cap * sizeof *list);
    if (!list)
        return no_memory(error);
    if (kv->undo_count > 0)
        memcpy(list, kv->undos, kv->undo_count * sizeof *list);
    kv->undos = list;
    kv->undo_cap = cap;
    return 0;
}

/* Writes the state so that it can be taken back. */
static int state_set(struct ledger_block *block, struct hm_slice key, bool present,
                     const struct hm_slice *value, struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;
    int rc = undo_room(block, error);

    if (rc == 0)
        rc = ledger_overlay_set(&block->overlay, key, present, value, &kv->undos[kv->undo_count],
                                error);
    if (rc == 0)
        kv->undo_count++;
    return rc;
}

int ledger_kv_state_drop(struct ledger_block *block, struct hm_slice key, struct hm_error *error)
{
    return state_set(block, key, true, NULL, error);
}

static int line_add(struct ledger_block *block, const struct ledger_kv_line *line,
                    struct hm_error *error)
{
    struct ledger_kv *kv = &block->kv;

    if (kv->line_count == kv->line_cap) {
        size_t cap = kv->line_cap ? kv->line_cap * 2 : 64;
        struct ledger_kv_line *list = hm_arena_alloc(&block->arena, cap * sizeof *list);

        if (!list)
            return no_memory(error);
        if (kv->line_count > 0)
            memcpy(list, kv->lines, kv->line_count * sizeof *list);
        kv->lines = list;
        kv->line_cap = cap;
    }
    kv->lines[kv->line_count++] = *line;
    block->overlay.held += LEDGER_ENTRY_BYTES + line->event.len;
    return 0;
}

/* The key goes with the lease, or no longer does. */
static int lease_hold(struct ledger_scope *scope, uint64_t id, struct hm_slice key, bool hold,
                      struct hm_error *error)
{
    const struct hm_slice nothing = {0};
    uint8_t held[LEDGER_KEY_KV_HELD_BYTES];
    struct ledger_object *object;
    Hypermesh__KvLease *lease;
    int rc = ledger_kv_lease_open(scope, id, &object, error);

    if (rc)
        return rc;
    lease = (Hypermesh__KvLease *)object->message;
    if (!lease)
        return hm_fail(error, HM_ECORRUPT, "a key goes with a lease that is not there");
    if (hold && lease->keys >= LEDGER_KV_DELETE_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_FULL,
                             "lease %llu holds %d keys already, no more are allowed",
                             (unsigned long long)id, LEDGER_KV_DELETE_MAX);
    if (!hold && lease->keys == 0)
        return hm_fail(error, HM_ECORRUPT, "a lease's count of keys is wrong");
    lease->keys += hold ? 1 : (uint64_t)-1;
    return state_set(scope->block, ledger_key_kv_held(id, key, held), !hold, hold ? &nothing : NULL,
                     error);
}

static int leases_follow(struct ledger_scope *scope, struct hm_slice key, uint64_t from,
                         uint64_t to, uint64_t ending, struct hm_error *error)
{
    int rc = 0;

    if (from == to)
        return 0;
    if (from && from != ending)
        rc = lease_hold(scope, from, key, false, error);
    if (rc == 0 && to) {
        rc = ledger_scope_work(scope, LEDGER_KV_WORK_ATTACH, error);
        if (rc == 0)
            rc = lease_hold(scope, to, key, true, error);
    }
    return rc;
}

int ledger_kv_change(struct ledger_scope *scope, struct hm_slice key,
                     const struct ledger_kv_now *was, const struct ledger_kv_entry *to,
                     uint64_t ending, struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    struct ledger_kv *kv = &block->kv;
    uint64_t revision = kv->now.revision + 1;
    uint64_t lease_was = was->present ? was->entry.lease : 0;
    struct ledger_kv_event event = {
        .revision = revision, .sub = kv->sub, .key = key, .deleted = !to, .height = block->height};
    struct ledger_kv_line line = {.revision = revision, .sub = kv->sub};
    uint8_t state_key[LEDGER_KEY_KV_BYTES];
    struct hm_slice entry;
    int rc;

    if (to) {
        event.entry = *to;
        event.entry.mod_revision = revision;
        event.entry.create_revision = was->present ? was->entry.create_revision : revision;
        event.entry.version = was->present ? was->entry.version + 1 : 1;
    }
    if (ledger_kv_event_write(&event, &block->arena, &line.event, &line.key, &entry))
        return no_memory(error);
    rc = state_set(block, ledger_key_kv(LEDGER_KEY_KV, key, state_key), was->present,
                   to ? &entry : NULL, error);
    if (rc == 0)
        rc = line_add(block, &line, error);
    if (rc == 0)
        rc = leases_follow(scope, line.key, lease_was, to ? to->lease : 0, ending, error);
    if (rc)
        return rc;
    kv->sub++;
    kv->now.keys += (uint64_t)(to != NULL) - (uint64_t)was->present;
    return 0;
}

/* --- ranges --- */

int ledger_kv_range_next(struct ledger_scope *scope, struct ledger_overlay_range *range,
                         struct hm_slice *key, struct hm_slice *value, struct hm_error *error)
{
    uint64_t passed = range->passed;
    int rc = ledger_overlay_range_next(range, key, value, error);

    passed = range->passed - passed;
    if (passed > 0 && (rc == 0 || rc == HM_ENOTFOUND)) {
        int refused = ledger_scope_work(scope, passed * LEDGER_KV_WORK_READ, error);

        if (refused)
            return refused;
    }
    return rc;
}

int ledger_kv_walk(struct ledger_scope *scope, const struct ledger_kv_span *span,
                   ledger_kv_visit visit, void *ctx, struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    uint8_t room[2][LEDGER_KEY_KV_BYTES + 1];
    struct ledger_overlay_range range;
    struct ledger_kv_now now;
    struct hm_slice start;
    struct hm_slice value;
    struct hm_slice end;
    struct hm_slice key;
    int rc;

    if (span->one) {
        rc = ledger_kv_look(block, span->first, &now, error);
        if (rc == 0 && now.present)
            rc = visit(ctx, span->first, &now.entry, error);
        return rc == HM_ECANCELLED ? 0 : rc;
    }
    ledger_kv_span_bounds(span, room[0], room[1], &start, &end);
    rc = ledger_overlay_range_open(&block->overlay, start, end, &range, error);
    if (rc)
        return rc;
    while ((rc = ledger_kv_range_next(scope, &range, &key, &value, error)) == 0) {
        if (ledger_kv_entry_read(value, &now.entry))
            rc = hm_fail(error, HM_ECORRUPT, "a stored entry of the key-value store is damaged");
        else
            rc = visit(ctx, hm_slice_of(key.data + 1, key.len - 1), &now.entry, error);
        if (rc)
            break;
    }
    ledger_overlay_range_close(&range);
    return rc == HM_ENOTFOUND || rc == HM_ECANCELLED ? 0 : rc;
}

struct key_list {
    struct ledger_scope *scope;
    uint64_t most;
    struct hm_slice *list;
    size_t count;
    size_t cap;
};

static int key_collect(void *ctx, struct hm_slice key, const struct ledger_kv_entry *entry,
                       struct hm_error *error)
{
    struct key_list *keys = ctx;
    void *copy;
    int rc = ledger_scope_work(keys->scope, LEDGER_KV_WORK_DELETE, error);

    (void)entry;
    if (rc)
        return rc;
    if (keys->count == keys->most)
        return ledger_refuse(error, LEDGER_RULE_KV_DELETE,
                             "more than %d keys at once; delete the range in parts",
                             LEDGER_KV_DELETE_MAX);
    if (keys->count == keys->cap) {
        size_t cap = keys->cap ? keys->cap * 2 : 16;

        rc = ledger_scope_alloc(keys->scope, cap * sizeof *keys->list, &copy, error);
        if (rc)
            return rc;
        if (keys->count > 0)
            memcpy(copy, keys->list, keys->count * sizeof *keys->list);
        keys->list = copy;
        keys->cap = cap;
    }
    rc = ledger_scope_alloc(keys->scope, key.len, &copy, error);
    if (rc)
        return rc;
    memcpy(copy, key.data, key.len);
    keys->list[keys->count++] = hm_slice_of(copy, key.len);
    return 0;
}

int ledger_kv_delete(struct ledger_scope *scope, const struct ledger_kv_span *span, uint64_t most,
                     uint64_t *deleted, struct hm_error *error)
{
    struct key_list keys = {.scope = scope, .most = most};
    int rc = ledger_kv_walk(scope, span, key_collect, &keys, error);

    for (size_t i = 0; rc == 0 && i < keys.count; i++) {
        struct ledger_kv_now now;

        rc = ledger_kv_look(scope->block, keys.list[i], &now, error);
        if (rc == 0)
            rc = ledger_kv_change(scope, keys.list[i], &now, NULL, 0, error);
    }
    if (rc == 0)
        *deleted = keys.count;
    return rc;
}

/* --- permissions, answers --- */

int ledger_kv_may(struct ledger_act *act, const struct ledger_kv_span *span, bool write,
                  struct hm_error *error)
{
    struct ledger_kv_rule_source source = ledger_kv_rules_source(act->scope->block->kv.rules);
    size_t steps;
    int rc = ledger_kv_admit(&source, wire_slice(act->body->account), span, write, &steps, error);

    if (rc || steps <= 1)
        return rc;
    return ledger_scope_work(act->scope, (steps - 1) * LEDGER_KV_WORK_RULE, error);
}

/* The set of rules outlives the transaction. */
static int rule_keep(struct ledger_block *block, const Hypermesh__KvRule *rule,
                     Hypermesh__KvRule **out, struct hm_error *error)
{
    hm_buf_clear(&block->pack);
    if (wire_pack(&rule->base, &block->pack))
        return no_memory(error);
    return WIRE_UNPACK(hypermesh__kv_rule, hm_buf_slice(&block->pack), LEDGER_STATE_MAX_BYTES,
                       &block->arena, out, error);
}

int ledger_kv_rule_put(struct ledger_scope *scope, const Hypermesh__KvRule *rule,
                       struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    const struct ledger_kv_rules *old = block->kv.rules;
    bool remove = rule->owner.len == 0;
    uint8_t key[LEDGER_KEY_KV_BYTES];
    struct ledger_kv_rules *rules;
    struct ledger_object *object;
    Hypermesh__KvRule *kept;
    int rc = ledger_scope_open(scope,
                               ledger_key_kv(LEDGER_KEY_KV_RULE, wire_slice(rule->prefix), key),
                               &hypermesh__kv_rule__descriptor, &object, error);

    if (rc)
        return rc;
    if (remove && !object->message)
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_UNKNOWN,
                             "there is no rule at exactly this prefix");
    if (!object->message && old->count >= LEDGER_KV_RULES_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_COUNT,
                             "the chain has %zu rules, no more are allowed", old->count);
    rc = rule_keep(block, rule, &kept, error);
    if (rc == 0)
        rc = ledger_kv_rules_change(old, kept, remove, &block->arena, &rules, error);
    if (rc)
        return rc;
    block->overlay.held += rules->count * (sizeof(void *) + sizeof(uint32_t)) + LEDGER_ENTRY_BYTES;
    block->kv.rules = rules;
    object->message = remove ? NULL : &kept->base;
    return 0;
}

Hypermesh__KvAnswer *ledger_kv_answer(struct ledger_block *block)
{
    Hypermesh__KvAnswer *answer = hm_arena_alloc(&block->arena, sizeof *answer);

    if (answer)
        *answer = (Hypermesh__KvAnswer)HYPERMESH__KV_ANSWER__INIT;
    return answer;
}
