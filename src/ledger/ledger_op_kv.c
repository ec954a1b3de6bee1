/* kv_put, kv_delete, kv_compact, kv_rule_set. */
#include "ledger_kv_do.h"

int ledger_kv_put_check(struct ledger_act *act, const Hypermesh__KvPut *put, struct hm_error *error)
{
    struct ledger_kv_span span;
    int rc = ledger_kv_span_of(wire_slice(put->key), (struct hm_slice){0}, &span, error);

    if (rc)
        return rc;
    if (put->value.len > LEDGER_KV_VALUE_MAX_BYTES)
        return ledger_refuse(error, LEDGER_RULE_KV_VALUE,
                             "the value has %zu bytes, at most %zu are allowed", put->value.len,
                             LEDGER_KV_VALUE_MAX_BYTES);
    if ((put->ignore_value && put->value.len) || (put->ignore_lease && put->lease))
        return ledger_refuse(error, LEDGER_RULE_KV_FLAGS, "a put that keeps the %s gives none",
                             put->ignore_value && put->value.len ? "value" : "lease");
    return ledger_kv_may(act, &span, true, error);
}

static int put_missing(const Hypermesh__KvPut *put, struct hm_error *error)
{
    char text[LEDGER_KV_TEXT_BYTES];

    return ledger_refuse(
        error, LEDGER_RULE_KV_MISSING, "there is no key \"%s\" whose %s could be kept",
        ledger_kv_text(wire_slice(put->key), text), put->ignore_value ? "value" : "lease");
}

int ledger_kv_put_possible(struct ledger_act *act, const Hypermesh__KvPut *put,
                           struct hm_error *error)
{
    struct ledger_object *lease;
    struct ledger_kv_now now;
    int rc = put->lease ? ledger_kv_lease_own(act, put->lease, &lease, error) : 0;

    if (rc || (!put->ignore_value && !put->ignore_lease))
        return rc;
    rc = ledger_kv_look(act->scope->block, wire_slice(put->key), &now, error);
    return rc || now.present ? rc : put_missing(put, error);
}

int ledger_kv_put_do(struct ledger_act *act, const Hypermesh__KvPut *put, struct hm_error *error)
{
    struct hm_slice key = wire_slice(put->key);
    struct ledger_kv_entry to = {.value = wire_slice(put->value), .lease = put->lease};
    struct ledger_kv_now now;
    int rc = ledger_kv_look(act->scope->block, key, &now, error);

    if (rc)
        return rc;
    if (put->ignore_value) {
        to.value = now.entry.value;
        rc = ledger_scope_work(act->scope, to.value.len * LEDGER_KV_WORK_KEPT, error);
    }
    if (put->ignore_lease)
        to.lease = now.entry.lease;
    return rc ? rc : ledger_kv_change(act->scope, key, &now, &to, 0, error);
}

int ledger_kv_answer_give(struct ledger_act *act, Hypermesh__KvAnswer *answer,
                          struct hm_error *error)
{
    struct ledger_block *block = act->scope->block;

    if (!answer)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    ledger_kv_op_end(block);
    answer->revision = block->kv.now.revision;
    answer->op = act->index;
    act->answer = answer;
    return 0;
}

int ledger_op_kv_put(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    int rc = ledger_kv_put_check(act, op->kv_put, error);

    if (rc == 0)
        rc = ledger_kv_put_possible(act, op->kv_put, error);
    if (rc == 0)
        rc = ledger_kv_put_do(act, op->kv_put, error);
    return rc ? rc : ledger_kv_answer_give(act, ledger_kv_answer(act->scope->block), error);
}

int ledger_op_kv_delete(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error)
{
    const Hypermesh__KvDelete *that = op->kv_delete;
    Hypermesh__KvAnswer *answer = ledger_kv_answer(act->scope->block);
    struct ledger_kv_span span;
    uint64_t deleted = 0;
    int rc = ledger_kv_span_of(wire_slice(that->key), wire_slice(that->range_end), &span, error);

    if (rc == 0)
        rc = ledger_kv_may(act, &span, true, error);
    if (rc == 0)
        rc = ledger_kv_delete(act->scope, &span, LEDGER_KV_DELETE_MAX, &deleted, error);
    if (rc)
        return rc;
    if (answer)
        answer->deleted = deleted;
    return ledger_kv_answer_give(act, answer, error);
}

int ledger_op_kv_compact(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error)
{
    static const uint8_t zero[1];
    const struct ledger_kv_span everything = {.first = {zero, 1}, .open = true};
    struct ledger_kv_totals *now = &act->scope->block->kv.now;
    uint64_t revision = op->kv_compact->revision;
    struct hm_error why = {0};
    int rc = ledger_kv_may(act, &everything, true, &why);

    if (rc == HM_EPERM)
        return ledger_refuse(error, LEDGER_RULE_KV_COMPACT,
                             "only who may write every key may compact");
    if (rc) {
        if (error)
            *error = why;
        return rc;
    }
    if (revision <= now->compacted)
        return ledger_refuse(error, LEDGER_RULE_KV_COMPACTED,
                             "revision %llu is compacted already, history is there from %llu on",
                             (unsigned long long)revision, (unsigned long long)now->compacted);
    if (revision > now->revision)
        return ledger_refuse(error, LEDGER_RULE_KV_FUTURE,
                             "revision %llu is in the future, the newest is %llu",
                             (unsigned long long)revision, (unsigned long long)now->revision);
    now->compacted = revision;
    return ledger_kv_answer_give(act, ledger_kv_answer(act->scope->block), error);
}

/* --- rules --- */

/* The rule that decides who may set one here. */
static int rule_may(struct ledger_act *act, struct hm_slice prefix, struct hm_error *error)
{
    const Hypermesh__KvRule *over = ledger_kv_rules_find(act->scope->block->kv.rules, prefix);
    char text[LEDGER_KV_TEXT_BYTES];

    if (over && ledger_id_equal(over->owner, act->body->account))
        return 0;
    if (!over)
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_OWNER,
                             "no rule covers the prefix, so nobody may set one");
    return ledger_refuse(error, LEDGER_RULE_KV_RULE_OWNER,
                         "another account owns the rule for the prefix \"%s\"",
                         ledger_kv_text(wire_slice(over->prefix), text));
}

int ledger_op_kv_rule_set(struct ledger_act *act, const Hypermesh__Operation *op,
                          struct hm_error *error)
{
    const Hypermesh__KvRuleSet *set = op->kv_rule_set;
    struct ledger_block *block = act->scope->block;
    Hypermesh__KvRule rule = HYPERMESH__KV_RULE__INIT;
    int rc;

    rule.prefix = set->prefix;
    rule.owner = set->owner;
    rule.n_writers = set->n_writers;
    rule.writers = set->writers;
    rule.n_readers = set->n_readers;
    rule.readers = set->readers;
    rule.anyone_writes = set->anyone_writes;
    rule.anyone_reads = set->anyone_reads;
    rc = ledger_kv_rule_check(&rule, error);
    if (rc == 0)
        rc = rule_may(act, wire_slice(set->prefix), error);
    if (rc == 0)
        rc = ledger_kv_rule_put(act->scope, &rule, error);
    return rc ? rc : ledger_kv_answer_give(act, ledger_kv_answer(block), error);
}
