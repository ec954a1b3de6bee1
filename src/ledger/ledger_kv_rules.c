#include "ledger_kv_rules.h"

#include <stdlib.h>

#include "ledger_limits.h"
#include "ledger_rule.h"

/* A rule with two full lists, beside its prefix. */
#define RULE_MAX_BYTES ((size_t)16 * 1024)
#define RULES_ARENA    ((size_t)LEDGER_KV_RULES_MAX * RULE_MAX_BYTES)

static struct hm_slice prefix_of(const Hypermesh__KvRule *rule)
{
    return wire_slice(rule->prefix);
}

static bool begins_with(struct hm_slice key, struct hm_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the rules of the key-value store");
}

/* Rules come in order, so those around one are the last one's and those around that. */
static void nest(struct ledger_kv_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        uint32_t around = (uint32_t)i;

        while (around &&
               !begins_with(prefix_of(rules->list[i]), prefix_of(rules->list[around - 1])))
            around = rules->within[around - 1];
        rules->within[i] = around;
    }
}

static int room_make(struct ledger_kv_rules *rules, size_t count, struct hm_arena *arena,
                     struct hm_error *error)
{
    rules->list = hm_arena_alloc(arena, count * sizeof(Hypermesh__KvRule *));
    rules->within = hm_arena_alloc(arena, count * sizeof *rules->within);
    return rules->list && rules->within ? 0 : no_memory(error);
}

static int rules_read(struct store_txn *txn, struct ledger_kv_rules *rules, struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_KV_RULE;
    struct store_cursor *cursor;
    struct hm_slice value;
    struct hm_slice key;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    while (rc == 0 && key.data[0] == first) {
        Hypermesh__KvRule *rule;

        rc = rules->count < LEDGER_KV_RULES_MAX
                 ? WIRE_UNPACK(hypermesh__kv_rule, value, RULE_MAX_BYTES, &rules->arena, &rule,
                               error)
                 : HM_ECORRUPT;
        if (rc && rc != HM_ENOMEM)
            rc = hm_fail(error, HM_ECORRUPT, "a stored rule of the key-value store is damaged");
        if (rc)
            break;
        rules->list[rules->count++] = rule;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_kv_rules_load(struct store_txn *txn, struct ledger_kv_rules **out,
                         struct hm_error *error)
{
    struct ledger_kv_rules *rules = hm_calloc(1, sizeof *rules);
    int rc;

    if (!rules)
        return no_memory(error);
    hm_arena_init(&rules->arena, RULES_ARENA);
    rc = room_make(rules, LEDGER_KV_RULES_MAX, &rules->arena, error);
    if (rc == 0)
        rc = rules_read(txn, rules, error);
    if (rc) {
        ledger_kv_rules_free(rules);
        return rc;
    }
    nest(rules);
    *out = rules;
    return 0;
}

void ledger_kv_rules_free(struct ledger_kv_rules *rules)
{
    if (!rules)
        return;
    hm_arena_release(&rules->arena);
    hm_free(rules);
}

/* Number of rules whose prefix is <= key. */
static size_t count_up_to(const struct ledger_kv_rules *rules, struct hm_slice key)
{
    size_t low = 0;
    size_t high = rules->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (hm_slice_compare(prefix_of(rules->list[middle]), key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int ledger_kv_rules_change(const struct ledger_kv_rules *old, Hypermesh__KvRule *rule, bool remove,
                           struct hm_arena *arena, struct ledger_kv_rules **out,
                           struct hm_error *error)
{
    size_t count = old ? old->count : 0;
    size_t at = old ? count_up_to(old, prefix_of(rule)) : 0;
    bool there = at > 0 && hm_slice_equal(prefix_of(old->list[at - 1]), prefix_of(rule));
    struct ledger_kv_rules *rules = hm_arena_alloc(arena, sizeof *rules);
    int rc = rules ? room_make(rules, count + 1, arena, error) : no_memory(error);

    if (rc)
        return rc;
    for (size_t i = 0; i < at - there; i++)
        rules->list[rules->count++] = old->list[i];
    if (!remove)
        rules->list[rules->count++] = rule;
    for (size_t i = at; i < count; i++)
        rules->list[rules->count++] = old->list[i];
    nest(rules);
    *out = rules;
    return 0;
}

/* The longest rule around the key, if any, is the last one <= key or one of those around that: every text
 * between a prefix and a key that begins with it begins with it too. */
const Hypermesh__KvRule *ledger_kv_rules_find(const struct ledger_kv_rules *rules,
                                              struct hm_slice key)
{
    size_t at = rules ? count_up_to(rules, key) : 0;

    while (at && !begins_with(key, prefix_of(rules->list[at - 1])))
        at = rules->within[at - 1];
    return at ? rules->list[at - 1] : NULL;
}

static int set_find(void *ctx, struct hm_slice key, const Hypermesh__KvRule **out,
                    struct hm_error *error)
{
    (void)error;
    *out = ledger_kv_rules_find(ctx, key);
    return 0;
}

static int set_after(void *ctx, struct hm_slice key, struct hm_slice *prefix,
                     struct hm_error *error)
{
    const struct ledger_kv_rules *rules = ctx;
    size_t at = rules ? count_up_to(rules, key) : 0;

    (void)error;
    *prefix = rules && at < rules->count ? prefix_of(rules->list[at]) : (struct hm_slice){0};
    return 0;
}

struct ledger_kv_rule_source ledger_kv_rules_source(const struct ledger_kv_rules *rules)
{
    return (struct ledger_kv_rule_source){
        .ctx = (void *)(uintptr_t)rules, .find = set_find, .after = set_after};
}

static int id_compare(const void *a, const void *b)
{
    return hm_slice_compare(wire_slice(*(const ProtobufCBinaryData *)a),
                            wire_slice(*(const ProtobufCBinaryData *)b));
}

/* The lists are sorted. */
static bool listed(const ProtobufCBinaryData *list, size_t count, struct hm_slice account)
{
    ProtobufCBinaryData wanted = wire_bytes(account.data, account.len);

    return count > 0 && bsearch(&wanted, list, count, sizeof *list, id_compare);
}

static bool rule_admits(const Hypermesh__KvRule *rule, struct hm_slice account, bool write)
{
    if (hm_slice_equal(wire_slice(rule->owner), account) || rule->anyone_writes ||
        listed(rule->writers, rule->n_writers, account))
        return true;
    return !write && (rule->anyone_reads || listed(rule->readers, rule->n_readers, account));
}

static int refuse(const Hypermesh__KvRule *rule, struct hm_slice key, bool write,
                  struct hm_error *error)
{
    enum ledger_rule why = write ? LEDGER_RULE_KV_WRITE : LEDGER_RULE_KV_READ;
    char text[LEDGER_KV_TEXT_BYTES];

    if (!rule)
        return ledger_refuse(error, why, "no rule covers the key \"%s\", so nobody may %s it",
                             ledger_kv_text(key, text), write ? "write" : "read");
    return ledger_refuse(error, why, "the rule for the prefix \"%s\" does not let this account %s",
                         ledger_kv_text(prefix_of(rule), text), write ? "write" : "read");
}

/* The smallest key past all that begin with prefix; empty: there is none. */
static struct hm_slice past_prefix(struct hm_slice prefix, uint8_t out[LEDGER_KV_KEY_MAX_BYTES])
{
    size_t len = prefix.len;

    while (len > 0 && prefix.data[len - 1] == 0xff)
        len--;
    if (len == 0)
        return (struct hm_slice){0};
    memcpy(out, prefix.data, len);
    out[len - 1]++;
    return hm_slice_of(out, len);
}

/* From one place where the deciding rule changes to the next: where another rule begins, or where this one
 * ends. */
int ledger_kv_admit(const struct ledger_kv_rule_source *source, struct hm_slice account,
                    const struct ledger_kv_span *span, bool write, size_t *steps,
                    struct hm_error *error)
{
    uint8_t room[2][LEDGER_KV_KEY_MAX_BYTES];
    struct hm_slice at = span->first;

    *steps = 0;
    if (!span->one && !span->open && hm_slice_compare(span->end, span->first) <= 0)
        return 0; /* no key at all */
    for (;;) {
        const Hypermesh__KvRule *rule;
        struct hm_slice next;
        struct hm_slice end = {0};
        int rc = source->find(source->ctx, at, &rule, error);

        (*steps)++;
        if (rc)
            return rc;
        if (!rule || !rule_admits(rule, account, write))
            return refuse(rule, at, write, error);
        if (span->one)
            return 0;
        rc = source->after(source->ctx, at, &next, error);
        if (rc)
            return rc;
        end = past_prefix(prefix_of(rule), room[*steps % 2]);
        if (!next.data || (end.data && hm_slice_compare(end, next) < 0))
            next = end;
        if (!next.data || (!span->open && hm_slice_compare(next, span->end) >= 0))
            return 0;
        at = next;
    }
}

static int list_check(ProtobufCBinaryData *list, size_t count, const char *name,
                      struct hm_error *error)
{
    if (count > LEDGER_KV_ACCOUNTS_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_COUNT,
                             "the rule lists %zu %s, at most %d are allowed", count, name,
                             LEDGER_KV_ACCOUNTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (list[i].len != LEDGER_ID_BYTES)
            return ledger_refuse(error, LEDGER_RULE_KV_RULE_FORM,
                                 "%s %zu of the rule has %zu bytes, must have %d", name, i,
                                 list[i].len, LEDGER_ID_BYTES);
    }
    if (count > 0)
        qsort(list, count, sizeof *list, id_compare);
    for (size_t i = 1; i < count; i++) {
        if (id_compare(&list[i - 1], &list[i]) == 0)
            return ledger_refuse(error, LEDGER_RULE_KV_RULE_FORM,
                                 "the rule lists an account twice among its %s", name);
    }
    return 0;
}

int ledger_kv_rule_check(Hypermesh__KvRule *rule, struct hm_error *error)
{
    int rc = rule->prefix.len ? ledger_kv_key_check(prefix_of(rule), error) : 0;

    if (rc)
        return rc;
    if (rule->owner.len != 0 && rule->owner.len != LEDGER_ID_BYTES)
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_FORM,
                             "the rule's owner has %zu bytes, must have %d", rule->owner.len,
                             LEDGER_ID_BYTES);
    if (rule->owner.len == 0 &&
        (rule->n_writers || rule->n_readers || rule->anyone_writes || rule->anyone_reads))
        return ledger_refuse(error, LEDGER_RULE_KV_RULE_FORM,
                             "a rule without owner removes one, so it names nobody else");
    rc = list_check(rule->writers, rule->n_writers, "writers", error);
    return rc ? rc : list_check(rule->readers, rule->n_readers, "readers", error);
}
