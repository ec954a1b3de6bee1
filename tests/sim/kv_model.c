#include "kv_model.h"

#include <stdlib.h>

static struct hm_slice slice(const struct kv_model_bytes *bytes)
{
    return hm_slice_of(bytes->data, bytes->len);
}

struct hm_slice kv_model_key(const struct kv_model *model, size_t key)
{
    return slice(&model->keys[key]);
}

static void bytes_set(struct kv_model_bytes *out, struct hm_slice from)
{
    if (from.len > sizeof out->data)
        abort();
    if (from.len > 0)
        memcpy(out->data, from.data, from.len);
    out->len = from.len;
}

void kv_model_init(struct kv_model *model)
{
    memset(model, 0, sizeof *model);
    model->revision = 1;
    model->events = calloc(KV_MODEL_EVENTS, sizeof *model->events);
    if (!model->events)
        abort();
}

void kv_model_release(struct kv_model *model)
{
    free(model->events);
}

static size_t key_number(struct kv_model *model, struct hm_slice key)
{
    for (size_t i = 0; i < model->key_count; i++) {
        if (hm_slice_equal(slice(&model->keys[i]), key))
            return i;
    }
    if (model->key_count == KV_MODEL_KEYS)
        abort();
    bytes_set(&model->keys[model->key_count], key);
    return model->key_count++;
}

size_t kv_model_sorted(const struct kv_model *model, size_t out[KV_MODEL_KEYS])
{
    size_t count = 0;

    for (size_t i = 0; i < model->key_count; i++) {
        size_t at = count++;

        while (at > 0 &&
               hm_slice_compare(slice(&model->keys[out[at - 1]]), slice(&model->keys[i])) > 0) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = i;
    }
    return count;
}

bool kv_model_in_range(struct hm_slice key, struct hm_slice first, struct hm_slice end)
{
    if (end.len == 0)
        return hm_slice_equal(key, first);
    if (hm_slice_compare(key, first) < 0)
        return false;
    return (end.len == 1 && end.data[0] == 0) || hm_slice_compare(key, end) < 0;
}

bool kv_model_in(const struct kv_model *model, size_t key, struct hm_slice first,
                 struct hm_slice range_end)
{
    return kv_model_in_range(slice(&model->keys[key]), first, range_end);
}

struct kv_model_entry kv_model_at(const struct kv_model *model, size_t key, uint64_t revision)
{
    struct kv_model_entry entry = {0};

    for (size_t i = 0; i < model->event_count; i++) {
        if (model->events[i].key == key && model->events[i].revision <= revision)
            entry = model->events[i].after;
    }
    return entry;
}

size_t kv_model_lines_kept(const struct kv_model *model)
{
    size_t kept = 0;

    for (size_t i = 0; i < model->event_count; i++) {
        const struct kv_model_event *event = &model->events[i];
        bool replaced = false;

        for (size_t j = i + 1; j < model->event_count; j++)
            replaced = replaced || (model->events[j].key == event->key &&
                                    model->events[j].revision < model->compacted);
        kept += event->revision >= model->compacted || (!replaced && event->after.present);
    }
    return kept;
}

/* --- changes --- */

static void change(struct kv_model *model, size_t key, const struct kv_model_entry *to)
{
    struct kv_model_entry *now = &model->now[key];
    struct kv_model_entry next = {0};
    uint64_t revision = model->revision + 1;

    if (to) {
        next = *to;
        next.present = true;
        next.create = now->present ? now->create : revision;
        next.version = now->present ? now->version + 1 : 1;
        next.mod = revision;
    }
    *now = next;
    if (model->event_count == KV_MODEL_EVENTS)
        abort();
    model->events[model->event_count++] = (struct kv_model_event){
        .revision = revision, .sub = model->sub++, .key = key, .after = next};
}

static void op_end(struct kv_model *model)
{
    if (model->sub > 0)
        model->revision++;
    model->sub = 0;
}

static uint64_t range_delete(struct kv_model *model, struct hm_slice first, struct hm_slice end)
{
    size_t order[KV_MODEL_KEYS];
    size_t count = kv_model_sorted(model, order);
    uint64_t deleted = 0;

    for (size_t i = 0; i < count; i++) {
        if (model->now[order[i]].present && kv_model_in(model, order[i], first, end)) {
            change(model, order[i], NULL);
            deleted++;
        }
    }
    return deleted;
}

static struct kv_model_lease *lease_find(struct kv_model *model, uint64_t id)
{
    for (size_t i = 0; i < model->lease_count; i++) {
        if (model->leases[i].alive && model->leases[i].id == id)
            return &model->leases[i];
    }
    return NULL;
}

static uint64_t lease_end(struct kv_model *model, struct kv_model_lease *lease)
{
    size_t order[KV_MODEL_KEYS];
    size_t count = kv_model_sorted(model, order);
    uint64_t deleted = 0;

    for (size_t i = 0; i < count; i++) {
        if (model->now[order[i]].present && model->now[order[i]].lease == lease->id) {
            change(model, order[i], NULL);
            deleted++;
        }
    }
    lease->alive = false;
    op_end(model);
    return deleted;
}

/* By time, then by number: so the ledger's index sorts them. */
void kv_model_begin(struct kv_model *model, uint64_t time_ms)
{
    model->time_ms = time_ms;
    for (;;) {
        struct kv_model_lease *next = NULL;

        for (size_t i = 0; i < model->lease_count; i++) {
            struct kv_model_lease *lease = &model->leases[i];

            if (lease->alive && lease->expires_ms <= time_ms &&
                (!next || lease->expires_ms < next->expires_ms ||
                 (lease->expires_ms == next->expires_ms && lease->id < next->id)))
                next = lease;
        }
        if (!next)
            return;
        (void)lease_end(model, next);
    }
}

/* --- rules --- */

static const char *key_rule(struct hm_slice key)
{
    size_t zeros = 0;

    for (size_t i = 0; i < key.len; i++)
        zeros += key.data[i] == 0;
    return key.len == 0 || key.len > LEDGER_KV_KEY_MAX_BYTES ||
                   key.len + zeros > LEDGER_KV_KEY_ESCAPED_MAX_BYTES
               ? "kv.key"
               : "";
}

/* The fixture's rules: below b/ Bob writes, he and Carol read. */
static const char *may(unsigned who, struct hm_slice first, struct hm_slice end, bool write)
{
    struct hm_slice low = hm_slice_str("b/");
    struct hm_slice high = hm_slice_str("b0");
    bool meets;

    if (end.len == 0)
        meets = kv_model_in_range(first, low, high);
    else if (end.len == 1 && end.data[0] == 0)
        meets = hm_slice_compare(first, high) < 0;
    else
        meets = hm_slice_compare(first, high) < 0 && hm_slice_compare(end, low) > 0 &&
                hm_slice_compare(first, end) < 0;
    if (!meets || who == BOB || (who == CAROL && !write))
        return "";
    return write ? "kv.write" : "kv.read";
}

static const char *range_rule(unsigned who, ProtobufCBinaryData key, ProtobufCBinaryData end,
                              bool write)
{
    const char *rule = key_rule(wire_slice(key));
    bool special = end.len == 0 || (end.len == 1 && end.data[0] == 0);

    if (!*rule && !special)
        rule = key_rule(wire_slice(end));
    return *rule ? rule : may(who, wire_slice(key), wire_slice(end), write);
}

static const char *lease_rule(struct kv_model *model, unsigned who, uint64_t id)
{
    const struct kv_model_lease *lease = lease_find(model, id);

    if (!lease)
        return "kv.lease_unknown";
    return lease->owner == who ? "" : "kv.lease_owner";
}

static const char *put_form(unsigned who, const Hypermesh__KvPut *put)
{
    const char *rule = range_rule(who, put->key, (ProtobufCBinaryData){0}, true);

    if (strcmp(rule, "kv.key") == 0)
        return rule;
    if ((put->ignore_value && put->value.len) || (put->ignore_lease && put->lease))
        return "kv.flags";
    return rule;
}

static const char *put_possible(struct kv_model *model, unsigned who, const Hypermesh__KvPut *put)
{
    const char *rule = put->lease ? lease_rule(model, who, put->lease) : "";

    if (*rule || (!put->ignore_value && !put->ignore_lease))
        return rule;
    return model->now[key_number(model, wire_slice(put->key))].present ? "" : "kv.missing";
}

static void value_set(struct kv_model_entry *entry, ProtobufCBinaryData value)
{
    if (value.len > sizeof entry->value)
        abort();
    if (value.len > 0)
        memcpy(entry->value, value.data, value.len);
    entry->value_len = value.len;
}

static struct hm_slice value_of(const struct kv_model_entry *entry)
{
    return hm_slice_of(entry->value, entry->value_len);
}

static const char *put_do(struct kv_model *model, const Hypermesh__KvPut *put)
{
    size_t key = key_number(model, wire_slice(put->key));
    struct kv_model_entry to = {.lease = put->lease};

    value_set(&to, put->value);
    if ((put->ignore_value || put->ignore_lease) && !model->now[key].present)
        return "kv.missing";
    if (put->ignore_value)
        value_set(&to, wire_bytes(model->now[key].value, model->now[key].value_len));
    if (put->ignore_lease)
        to.lease = model->now[key].lease;
    change(model, key, &to);
    return "";
}

/* --- transactions --- */

static const char *txn_form(unsigned who, const Hypermesh__KvTxn *txn, unsigned depth,
                            size_t *compares, size_t *ops)
{
    const char *rule = "";

    if (depth > LEDGER_KV_TXN_DEPTH_MAX)
        return "kv.txn";
    for (size_t i = 0; !*rule && i < txn->n_compare; i++) {
        const Hypermesh__KvCompare *compare = txn->compare[i];

        if (++*compares > LEDGER_KV_TXN_OPS_MAX)
            return "kv.txn";
        if ((unsigned)compare->result > 3 || (unsigned)compare->target > 4)
            return "kv.txn_form";
        rule = range_rule(who, compare->key, compare->range_end, false);
    }
    for (size_t i = 0; !*rule && i < txn->n_success + txn->n_failure; i++) {
        const Hypermesh__KvTxnOp *op = i < txn->n_success ? txn->success[i]
                                                          : txn->failure[i - txn->n_success];

        if (++*ops > LEDGER_KV_TXN_OPS_MAX)
            return "kv.txn";
        if (op->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            rule = put_form(who, op->put);
        else if (op->op_case == HYPERMESH__KV_TXN_OP__OP_DELETE)
            rule = range_rule(who, op->delete_->key, op->delete_->range_end, true);
        else if (op->op_case == HYPERMESH__KV_TXN_OP__OP_RANGE)
            rule = range_rule(who, op->range->key, op->range->range_end, false);
        else if (op->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            rule = txn_form(who, op->txn, depth + 1, compares, ops);
        else
            rule = "kv.txn_form";
    }
    return rule;
}

static bool ordered(Hypermesh__KvCompareResult result, int order)
{
    switch (result) {
    case HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL:
        return order == 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_GREATER:
        return order > 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_LESS:
        return order < 0;
    default:
        return order != 0;
    }
}

static bool entry_holds(const Hypermesh__KvCompare *compare, const struct kv_model_entry *entry)
{
    uint64_t number = 0;

    switch (compare->target) {
    case HYPERMESH__KV_COMPARE_TARGET__KV_VALUE:
        return ordered(compare->result,
                       hm_slice_compare(value_of(entry), wire_slice(compare->value)));
    case HYPERMESH__KV_COMPARE_TARGET__KV_VERSION:
        number = entry->version;
        break;
    case HYPERMESH__KV_COMPARE_TARGET__KV_CREATE:
        number = entry->create;
        break;
    case HYPERMESH__KV_COMPARE_TARGET__KV_MOD:
        number = entry->mod;
        break;
    default:
        number = entry->lease;
        break;
    }
    return ordered(compare->result,
                   ((int64_t)number > compare->number) - ((int64_t)number < compare->number));
}

static bool compare_holds(const struct kv_model *model, const Hypermesh__KvCompare *compare)
{
    const struct kv_model_entry none = {0};
    bool any = false;

    for (size_t i = 0; i < model->key_count; i++) {
        if (!model->now[i].present ||
            !kv_model_in(model, i, wire_slice(compare->key), wire_slice(compare->range_end)))
            continue;
        any = true;
        if (!entry_holds(compare, &model->now[i]))
            return false;
    }
    return any || (compare->target != HYPERMESH__KV_COMPARE_TARGET__KV_VALUE &&
                   entry_holds(compare, &none));
}

/* Which branches: one answer a transaction, outer ones first. */
static const char *path(struct kv_model *model, unsigned who, const Hypermesh__KvTxn *txn,
                        bool *taken, size_t *count)
{
    const char *rule = "";
    bool holds = true;

    for (size_t i = 0; i < txn->n_compare; i++)
        holds = holds && compare_holds(model, txn->compare[i]);
    taken[(*count)++] = holds;
    for (size_t i = 0; !*rule && i < (holds ? txn->n_success : txn->n_failure); i++) {
        const Hypermesh__KvTxnOp *op = holds ? txn->success[i] : txn->failure[i];

        if (op->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            rule = path(model, who, op->txn, taken, count);
        else if (op->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            rule = put_possible(model, who, op->put);
    }
    return rule;
}

static void note(const char **differs, bool good, const char *what)
{
    if (!good && !*differs)
        *differs = what;
}

bool kv_model_same(const Hypermesh__KvEntry *a, const struct kv_model_entry *b, bool keys_only)
{
    return a->create_revision == b->create && a->mod_revision == b->mod &&
           a->version == b->version && a->lease == b->lease &&
           (keys_only ? a->value.len == 0 : hm_slice_equal(wire_slice(a->value), value_of(b)));
}

static void range_compare(const struct kv_model *model, const Hypermesh__KvRange *range,
                          const Hypermesh__KvAnswer *answer, const char **differs)
{
    uint64_t limit = range->limit ? range->limit : LEDGER_KV_RANGE_MAX;
    size_t order[KV_MODEL_KEYS];
    size_t count = kv_model_sorted(model, order);
    uint64_t in = 0;
    size_t pairs = 0;

    for (size_t i = 0; i < count; i++) {
        const struct kv_model_entry *entry = &model->now[order[i]];

        if (!entry->present ||
            !kv_model_in(model, order[i], wire_slice(range->key), wire_slice(range->range_end)))
            continue;
        in++;
        if (range->count_only || pairs == limit)
            continue;
        if (pairs == answer->n_pairs) {
            note(differs, false, "a range lacks a pair");
            return;
        }
        note(differs,
             hm_slice_equal(wire_slice(answer->pairs[pairs]->key), slice(&model->keys[order[i]])) &&
                 kv_model_same(answer->pairs[pairs]->entry, entry, range->keys_only),
             "a pair of a range");
        pairs++;
    }
    note(differs, pairs == answer->n_pairs, "a range has a pair too many");
    note(differs, in == answer->count, "a range's count");
    note(differs, answer->more == (!range->count_only && in > pairs), "a range's more");
}

/* answer may be NULL when the ledger refused. */
static const char *txn_do(struct kv_model *model, const Hypermesh__KvTxn *txn, const bool *taken,
                          size_t *at, const Hypermesh__KvAnswer *answer, const char **differs)
{
    bool holds = taken[(*at)++];
    size_t count = holds ? txn->n_success : txn->n_failure;
    const char *rule = "";

    if (answer) {
        note(differs, answer->succeeded == holds, "which branch is taken");
        note(differs, answer->n_answers == count, "the number of answers");
        if (answer->n_answers != count)
            answer = NULL;
    }
    for (size_t i = 0; !*rule && i < count; i++) {
        const Hypermesh__KvTxnOp *op = holds ? txn->success[i] : txn->failure[i];
        const Hypermesh__KvAnswer *inner = answer ? answer->answers[i] : NULL;
        uint64_t deleted;

        switch (op->op_case) {
        case HYPERMESH__KV_TXN_OP__OP_PUT:
            rule = put_do(model, op->put);
            break;
        case HYPERMESH__KV_TXN_OP__OP_DELETE:
            deleted = range_delete(model, wire_slice(op->delete_->key),
                                   wire_slice(op->delete_->range_end));
            if (inner)
                note(differs, inner->deleted == deleted, "how many keys were deleted");
            break;
        case HYPERMESH__KV_TXN_OP__OP_RANGE:
            if (inner)
                range_compare(model, op->range, inner, differs);
            break;
        default:
            rule = txn_do(model, op->txn, taken, at, inner, differs);
            break;
        }
        if (inner && !*rule)
            note(differs, inner->revision == model->revision + (model->sub > 0),
                 "the revision inside a transaction");
    }
    return rule;
}

static const char *txn_apply(struct kv_model *model, unsigned who, const Hypermesh__KvTxn *txn,
                             const Hypermesh__KvAnswer *answer, const char **differs)
{
    bool taken[LEDGER_KV_TXN_OPS_MAX + 1];
    size_t compares = 0;
    size_t ops = 0;
    size_t count = 0;
    size_t at = 0;
    const char *rule = txn_form(who, txn, 1, &compares, &ops);

    if (!*rule && kv_model_twice(txn))
        rule = "kv.txn_twice";
    if (!*rule)
        rule = path(model, who, txn, taken, &count);
    if (!*rule)
        rule = txn_do(model, txn, taken, &at, answer, differs);
    return rule;
}

/* --- operations --- */

static const char *grant(struct kv_model *model, unsigned who, const Hypermesh__KvLeaseGrant *op,
                         const Hypermesh__KvAnswer *answer, const char **differs)
{
    uint64_t id = op->lease;
    size_t slot = 0;

    if (op->ttl_ms < 1000 || op->ttl_ms > LEDGER_KV_TTL_MAX_MS)
        return "kv.lease_ttl";
    if (id > INT64_MAX)
        return "kv.lease_id";
    if (id && lease_find(model, id))
        return "kv.lease_taken";
    if (!id) /* the ledger picks one; if it refused, nobody can know which it would have been */
        id = answer ? answer->lease : UINT64_MAX;
    if (answer) {
        note(differs, answer->lease == id && id > 0 && id <= INT64_MAX && !lease_find(model, id),
             "the lease's id");
        note(differs, answer->ttl_ms == op->ttl_ms, "the lease's time to live");
    }
    while (slot < model->lease_count && model->leases[slot].alive)
        slot++;
    if (slot == KV_MODEL_LEASES)
        abort();
    model->lease_count += slot == model->lease_count;
    model->leases[slot] = (struct kv_model_lease){.alive = true,
                                                  .id = id,
                                                  .owner = who,
                                                  .ttl_ms = op->ttl_ms,
                                                  .expires_ms = model->time_ms + op->ttl_ms};
    return "";
}

static const char *compact(struct kv_model *model, unsigned who, uint64_t revision)
{
    if (who != BOB) /* the only one who may write below b/ */
        return "kv.compact";
    if (revision <= model->compacted)
        return "kv.compacted";
    if (revision > model->revision)
        return "kv.future";
    model->compacted = revision;
    return "";
}

const char *kv_model_apply(struct kv_model *model, unsigned who, const Hypermesh__Operation *op,
                           const Hypermesh__KvAnswer *answer, const char **differs)
{
    const char *rule = "";
    uint64_t deleted = 0;

    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_KV_PUT:
        rule = put_form(who, op->kv_put);
        if (!*rule)
            rule = put_possible(model, who, op->kv_put);
        if (!*rule)
            rule = put_do(model, op->kv_put);
        break;
    case HYPERMESH__OPERATION__OP_KV_DELETE:
        rule = range_rule(who, op->kv_delete->key, op->kv_delete->range_end, true);
        if (!*rule)
            deleted = range_delete(model, wire_slice(op->kv_delete->key),
                                   wire_slice(op->kv_delete->range_end));
        break;
    case HYPERMESH__OPERATION__OP_KV_TXN:
        rule = txn_apply(model, who, op->kv_txn, answer, differs);
        break;
    case HYPERMESH__OPERATION__OP_KV_LEASE_GRANT:
        rule = grant(model, who, op->kv_lease_grant, answer, differs);
        break;
    case HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE:
        rule = lease_rule(model, who, op->kv_lease_revoke->lease);
        if (!*rule)
            deleted = lease_end(model, lease_find(model, op->kv_lease_revoke->lease));
        break;
    case HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE:
        rule = lease_rule(model, who, op->kv_lease_keep_alive->lease);
        if (!*rule) {
            struct kv_model_lease *lease = lease_find(model, op->kv_lease_keep_alive->lease);

            lease->expires_ms = model->time_ms + lease->ttl_ms;
        }
        break;
    default:
        rule = compact(model, who, op->kv_compact->revision);
        break;
    }
    op_end(model);
    if (answer && !*rule) {
        note(differs, answer->revision == model->revision, "the revision");
        note(differs, answer->deleted == deleted, "how many keys were deleted");
    }
    return rule;
}
