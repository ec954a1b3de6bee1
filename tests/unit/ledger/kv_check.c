/* What the tests of the key-value store share. */
#include "kv_check.h"

/* A value of a megabyte costs a thousand times what the fixture's transactions are ready to pay. */
static void cheap(Hypermesh__Params *params)
{
    params->base_fee_initial = 1;
    params->base_fee_minimum = 1;
}

int kv_setup(void **state)
{
    static const struct fixture_options options = {.params = cheap};

    (void)state;
    return fixture_init(&fix, &options);
}

/* --- shorthands --- */

const Hypermesh__KvAnswer *kv_good(enum fixture_role who, Hypermesh__Operation *op)
{
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);

    assert_non_null(result);
    if (result->code)
        fail_msg("refused: %s", result->text);
    assert_int_equal(result->n_kv, 1);
    return result->kv[0];
}

/* Refused by this rule, whose name the sentence ends with; and nothing changed. */
void kv_refused(enum fixture_role who, Hypermesh__Operation *op, const char *rule, int code)
{
    Hypermesh__TxResult *result;

    result = fixture_do(&fix, who, op);
    assert_non_null(result);
    assert_string_equal(result->rule, rule);
    assert_int_equal(result->code, code);
    assert_non_null(strstr(result->text, rule));
    assert_int_equal(result->n_kv, 0);
    assert_int_equal(fix.record->kv_before, fix.record->kv_after);
}

Hypermesh__KvState *kv_state_now(void)
{
    struct ledger_view *view = check_view();
    Hypermesh__KvState *state;

    assert_int_equal(ledger_view_kv_state(view, &fix.arena, &state, NULL), 0);
    ledger_view_close(view);
    return state;
}

Hypermesh__KvPair **kv_range_at(const char *key, const char *range_end, uint64_t revision,
                                size_t *count)
{
    struct ledger_kv_query query = {.key = wire_slice(kv_text(&fix, key)),
                                    .range_end = wire_slice(kv_end(&fix, range_end)),
                                    .revision = revision};
    struct ledger_view *view = check_view();
    Hypermesh__KvPair **pairs;
    uint64_t total;
    bool more;

    assert_int_equal(
        ledger_view_kv_range(view, &query, &fix.arena, &pairs, count, &total, &more, &fix.error),
        0);
    assert_int_equal(total, *count);
    assert_false(more);
    ledger_view_close(view);
    return pairs;
}

/* NULL: absent. */
Hypermesh__KvEntry *kv_entry_at(const char *key, uint64_t revision)
{
    size_t count;
    Hypermesh__KvPair **pairs = kv_range_at(key, NULL, revision, &count);

    return count ? pairs[0]->entry : NULL;
}

void kv_value(const char *key, uint64_t revision, const char *value)
{
    Hypermesh__KvEntry *entry = kv_entry_at(key, revision);

    if (!value) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    assert_int_equal(entry->value.len, strlen(value));
    assert_memory_equal(entry->value.data, value, strlen(value));
}

void kv_entry(const char *key, uint64_t create, uint64_t mod, uint64_t version, uint64_t lease)
{
    Hypermesh__KvEntry *entry = kv_entry_at(key, 0);

    assert_non_null(entry);
    assert_int_equal(entry->create_revision, create);
    assert_int_equal(entry->mod_revision, mod);
    assert_int_equal(entry->version, version);
    assert_int_equal(entry->lease, lease);
}

int kv_past_rc(uint64_t revision)
{
    struct ledger_kv_query query = {.key = hm_slice_str("a"), .revision = revision};
    struct ledger_view *view = check_view();
    Hypermesh__KvPair **pairs;
    size_t count;
    uint64_t total;
    bool more;
    int rc = ledger_view_kv_range(view, &query, &fix.arena, &pairs, &count, &total, &more, NULL);

    ledger_view_close(view);
    return rc;
}
