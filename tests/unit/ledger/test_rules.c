/* Every rule refuses something, under its name and with its code, and docs/ledger.md says so. The names of the
 * key-value store's rules are tested with it (test_kv_rules.c), those of validators in test_stake.c and
 * test_validators.c. */
#include <stdio.h>
#include <stdlib.h>

#include "ledger_rule.h"
#include "ledger_scope.h"
#include "rules_check.h"

static bool reached[LEDGER_RULE_COUNT];

static void small_params(Hypermesh__Params *params)
{
    params->max_networks = 2;
    params->max_members = 3;
    params->max_open_challenges = 2;
    params->result_window_ms = 10 * MINUTE_MS;
    params->challenge_window_ms = 5 * MINUTE_MS;
    params->challenge_openings = 4;
    params->unbond_delay_ms = 60 * MINUTE_MS;
    params->max_sessions = 2;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = small_params};

    (void)state;
    return fixture_init(&fix, &options) ||
           check_offer(ALICE, 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
}

/* --- checking a refusal --- */

static void rule_is(const char *rule, int code, const char *text, const char *name)
{
    size_t count;
    const struct ledger_rule_info *rules = ledger_rule_list(&count);
    char end[64];

    (void)snprintf(end, sizeof end, " (rule %s)", name);
    if (strcmp(rule, name) != 0 || strlen(text) < strlen(end) ||
        strcmp(text + strlen(text) - strlen(end), end) != 0)
        fail_msg("rule \"%s\", \"%s\"; wanted %s", rule, text, name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rules[i].name, name) != 0)
            continue;
        assert_int_equal(code, rules[i].code);
        reached[i] = true;
        return;
    }
    fail_msg("there is no rule %s", name);
}

void result_is(const Hypermesh__TxResult *result, const char *name)
{
    assert_non_null(result);
    if (result->code == 0)
        fail_msg("nothing was refused; wanted %s", name);
    rule_is(result->rule, result->code, result->text, name);
    assert_true(result->fee > 0);
}

void refused_by(enum fixture_role who, Hypermesh__Operation *op, const char *name)
{
    result_is(fixture_do(&fix, who, op), name);
}

static Hypermesh__TxResult *by_root(enum fixture_role who, Hypermesh__Operation *op)
{
    struct hm_slice tx = fixture_root_tx(&fix, who, &op, 1);

    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    fixture_resync(&fix);
    return fix.record->results[0];
}

/* --- forms and money --- */

static void test_forms(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    char memo[130];

    (void)state;
    op->transfer->to.len = 31;
    refused_by(ALICE, op, "form.id");
    op = op_transfer(&fix, BOB, 1);
    op->transfer->memo = (char *)(uintptr_t)("a\nb");
    refused_by(ALICE, op, "form.text");
    memset(memo, 'm', sizeof memo - 1);
    memo[sizeof memo - 1] = '\0';
    op = op_transfer(&fix, BOB, 1);
    op->transfer->memo = memo;
    refused_by(ALICE, op, "form.text_length");
}

static void test_money(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);

    (void)state;
    op->transfer->token = (Hypermesh__Token)7;
    refused_by(ALICE, op, "token.kind");
    refused_by(ALICE, op_transfer(&fix, BOB, 0), "token.amount");
    refused_by(ALICE, op_bond(&fix, 0), "token.amount");
    refused_by(ALICE, op_unbond(&fix, 0), "token.amount");
    refused_by(ALICE, op_transfer(&fix, BOB, UINT64_MAX), "funds.hyper");
    refused_by(ALICE, op_bond(&fix, UINT64_MAX), "funds.hyper");
    refused_by(ALICE, op_transfer_caes(&fix, BOB, 1), "funds.caes");
    refused_by(BOB, op_unbond(&fix, 1001 * FIXTURE_HYPER), "bond.amount");
    refused_by(ALICE, op_unbond(&fix, 950 * FIXTURE_HYPER), "bond.provider");
    for (int i = 0; i < 16; i++)
        good(BOB, op_unbond(&fix, 1));
    refused_by(BOB, op_unbond(&fix, 1), "bond.queue");
    good(CAROL, op_unbond(&fix, 1000 * FIXTURE_HYPER));
    refused_by(CAROL, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), "stake.bond");
    refused_by(CAROL, op_register(&fix, "x", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE), "stake.bond");
    refused_by(ALICE, op_give(&fix, cpu[0], CAROL), "stake.bond");
}

static void test_sessions(void **state)
{
    uint8_t key[32] = {1};
    Hypermesh__Operation *op = op_grant(&fix, key, 2, fix.next_ms + 1000);

    (void)state;
    op->session_grant->session_key.len = 31;
    result_is(by_root(ALICE, op), "session.key");
    result_is(by_root(ALICE, op_grant(&fix, key, 0, fix.next_ms + 1000)), "session.scope");
    result_is(by_root(ALICE, op_grant(&fix, key, UINT64_C(1) << 63, fix.next_ms + 1000)),
              "session.scope");
    result_is(by_root(ALICE, op_grant(&fix, key, 2, fix.next_ms)), "session.expiry");
    refused_by(ALICE, op_revoke(&fix, key), "session.unknown");
    assert_int_equal(by_root(ALICE, op_grant(&fix, key, 2, fix.next_ms + 100000))->code, 0);
    key[0] = 2;
    result_is(by_root(ALICE, op_grant(&fix, key, 2, fix.next_ms + 100000)), "session.count");
}

static void test_space(void **state)
{
    Hypermesh__Operation *op = op_space(&fix);
    uint8_t challenge[32];

    (void)state;
    op->space_commit->plot = NULL;
    refused_by(NODE, op, "space.plot");
    op = op_space(&fix);
    op->space_commit->plot->labels = 32;
    refused_by(NODE, op, "space.plot");
    op = op_space(&fix);
    op->space_commit->openings[0]->parents[0]->label.data[0] ^= 1;
    refused_by(NODE, op, "space.openings");
    made(BOB, op_challenge(&fix, NODE, NULL), challenge);
    refused_by(NODE, op_space(&fix), "space.challenged");
    good(NODE, op_answer_space(&fix, challenge));
    good(NODE, op_space(&fix));
}

/* --- assets and leases --- */

static void test_assets(void **state)
{
    Hypermesh__Attribute first = HYPERMESH__ATTRIBUTE__INIT;
    Hypermesh__Attribute second = HYPERMESH__ATTRIBUTE__INIT;
    Hypermesh__Attribute *list[65];
    Hypermesh__Operation *op;
    uint8_t nothing[32] = {9};
    uint8_t lease[32];

    (void)state;
#define FRESH() (op = op_register(&fix, "fresh", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE))
    FRESH()->asset_register->kind = (Hypermesh__AssetKind)99;
    refused_by(ALICE, op, "asset.kind");
    FRESH()->asset_register->hardware_id = (char *)(uintptr_t)("");
    refused_by(ALICE, op, "asset.hardware");
    FRESH()->asset_register->capacity = 0;
    refused_by(ALICE, op, "asset.capacity");
    refused_by(ALICE, op_update(&fix, cpu[0], 0, 1), "asset.capacity");
    for (size_t i = 0; i < HM_COUNT_OF(list); i++)
        list[i] = &first;
    first.name = (char *)(uintptr_t)("b");
    FRESH()->asset_register->attributes = list;
    op->asset_register->n_attributes = 65;
    refused_by(ALICE, op, "asset.attributes");
    second.name = (char *)(uintptr_t)("a");
    list[1] = &second;
    FRESH()->asset_register->attributes = list;
    op->asset_register->n_attributes = 2;
    refused_by(ALICE, op, "asset.attribute_order");
    first.name = (char *)(uintptr_t)("A b");
    FRESH()->asset_register->attributes = list;
    op->asset_register->n_attributes = 1;
    refused_by(ALICE, op, "asset.attribute_name");
    refused_by(ALICE, op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE),
               "asset.registered");
    refused_by(ALICE, op_retire(&fix, nothing), "asset.unknown");
    refused_by(BOB, op_retire(&fix, cpu[0]), "asset.owner");
    refused_by(ALICE, op_give(&fix, cpu[0], ALICE), "asset.receiver");
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    refused_by(ALICE, op_retire(&fix, cpu[0]), "asset.leased");
    refused_by(ALICE, op_update(&fix, cpu[0], 1, 1), "asset.leased");
    refused_by(ALICE, op_give(&fix, cpu[0], BOB), "asset.leased");
    good(BOB, op_free(&fix, lease));
    good(ALICE, op_retire(&fix, cpu[0]));
    refused_by(ALICE, op_update(&fix, cpu[0], 1, 1), "asset.retired");
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), "asset.retired");
}

static void test_leases(void **state)
{
    uint8_t both[2][32];
    uint8_t nothing[32] = {7};
    uint8_t lease[32];
    Hypermesh__Operation *op;

    (void)state;
    memcpy(both[0], cpu[0], 32);
    memcpy(both[1], cpu[0], 32);
    refused_by(BOB, op_allocate(&fix, cpu, 0, 1, 1), "lease.items");
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1, 0), "lease.duration");
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1, fix.params.max_lease_ms + 1),
               "lease.duration_max");
    op = op_allocate(&fix, cpu, 1, 1, 1);
    op->allocate->job = wire_bytes(nothing, 5);
    refused_by(BOB, op, "lease.job");
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1000001, 1), "lease.share");
    refused_by(BOB, op_allocate(&fix, both, 2, 1, 1), "lease.twice");
    good(CAROL, op_register(&fix, "c", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    fixture_asset_id(&fix, CAROL, "c", both[1]);
    refused_by(BOB, op_allocate(&fix, both, 2, 1, 1), "lease.owners");
    op = op_allocate(&fix, cpu, 1, 1, 1);
    op->allocate->items[0]->max_price_per_hour = 1;
    refused_by(BOB, op, "lease.price");
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    refused_by(CAROL, op_free(&fix, lease), "lease.consumer");
    refused_by(BOB, op_free(&fix, nothing), "lease.unknown");
    refused_by(BOB, op_renew(&fix, lease, 0), "lease.duration");
    refused_by(BOB, op_renew(&fix, lease, UINT64_MAX), "lease.duration_max");
    good(ALICE, op_update(&fix, cpu[0], 4000, 37 * FIXTURE_HYPER));
    refused_by(BOB, op_renew(&fix, lease, 1), "lease.price");
    good(BOB, op_free(&fix, lease));
    refused_by(BOB, op_free(&fix, lease), "lease.ended");
    refused_by(BOB, op_renew(&fix, lease, 1), "lease.ended");
    good(ALICE, op_update(&fix, cpu[0], 4000, 2000 * FIXTURE_HYPER));
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1000000, fix.params.max_lease_ms), "lease.escrow");
    good(ALICE, op_update(&fix, cpu[0], 4000, UINT64_MAX));
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1000000, fix.params.max_lease_ms), "lease.cost");
}

static void test_settlements(void **state)
{
    uint8_t lease[32];
    Hypermesh__Operation *op;

    (void)state;
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
#define SETTLE() (op = op_settle(&fix, lease))
    refused_by(BOB, op_settle(&fix, lease), "settle.provider");
    SETTLE()->settle->usage = hm_arena_alloc(&fix.arena, 257 * sizeof(void *));
    op->settle->n_usage = 257;
    for (size_t i = 0; i < 257; i++)
        op->settle->usage[i] = op_settle(&fix, lease)->settle->usage[0];
    refused_by(ALICE, op, "settle.usage_count");
    SETTLE()->settle->usage[0]->duration_ms = UINT64_MAX;
    refused_by(ALICE, op, "settle.usage");
    SETTLE()->settle->n_usage = 0;
    refused_by(ALICE, op, "settle.complete");
    SETTLE()->settle->result = wire_bytes(lease, 31);
    refused_by(ALICE, op, "settle.result");
    SETTLE()->settle->outcome = HYPERMESH__JOB_OUTCOME__EXPIRED;
    refused_by(ALICE, op, "settle.outcome");
    good(ALICE, op_settle(&fix, lease));
    refused_by(ALICE, op_settle(&fix, lease), "settle.once");
}

/* --- the rest --- */

/* A transaction that opens 64 MiB of state takes minutes to make: the scope is told that it has. */
static void test_opened(void **state)
{
    struct hm_error error = {0};
    struct ledger_proposal proposal;
    struct ledger_block *block;
    struct ledger_scope scope;
    Hypermesh__Account *account;

    (void)state;
    fixture_propose(&fix, NULL, 0, &proposal);
    assert_int_equal(ledger_block_new(fix.ledger, &proposal, &block, NULL), 0);
    ledger_scope_init(&scope, block, &block->scratch, (struct hm_slice){0});
    scope.opened = LEDGER_TX_OPENED_MAX_BYTES;
    assert_int_equal(
        ledger_scope_account(&scope, wire_bytes(fix.people[BOB].id, 32), &account, &error),
        HM_ELIMIT);
    rule_is(ledger_rule_in(error.text), error.code, error.text, "tx.opened");
    ledger_block_free(block);
}

/* However long a sentence and what is put before it, the name stays. */
static void test_long_sentences(void **state)
{
    struct hm_error error = {0};
    char words[1000];
    int code;

    (void)state;
    memset(words, 'w', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    code = ledger_refuse(&error, LEDGER_RULE_ASSET_OWNER, "%s", words);
    hm_error_prefix(&error, code, "kv_lease_keep_alive: %s", "item 1000");
    assert_string_equal(ledger_rule_in(error.text), "asset.owner");
    assert_int_equal(hm_fail(&error, HM_EPERM, "%s", words), HM_EPERM);
    assert_int_equal(ledger_refuse_as(&error, LEDGER_RULE_STAKE_BOND, HM_EPERM), HM_EPERM);
    assert_string_equal(ledger_rule_in(error.text), "stake.bond");
    /* A machine's trouble is no refusal. */
    assert_int_equal(hm_fail(&error, HM_EIO, "broken"), HM_EIO);
    assert_int_equal(ledger_refuse_as(&error, LEDGER_RULE_STAKE_BOND, HM_EIO), HM_EIO);
    assert_string_equal(error.text, "broken");
    assert_string_equal(ledger_rule_in("a sentence (rule nothing)"), "");
    assert_string_equal(ledger_rule_in("(rule form.id)"), "");
    assert_string_equal(ledger_rule_in(""), "");
}

static void test_all_reached(void **state)
{
    size_t count;
    const struct ledger_rule_info *rules = ledger_rule_list(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(rules[i].name, "kv.", 3) != 0 &&
            strncmp(rules[i].name, "validator.", 10) != 0 &&
            strncmp(rules[i].name, "delegate.", 9) != 0 && !reached[i])
            fail_msg("no test is refused by %s", rules[i].name);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rules[i].name, rules[j].name);
    }
}

/* docs/ledger.md has a row for each, in this order, with these words. */
static void test_documented(void **state)
{
    size_t count;
    const struct ledger_rule_info *rules = ledger_rule_list(&count);
    const char *source = getenv("HM_SOURCE");
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *at;
    char path[4096];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/docs/ledger.md", source ? source : ".");
    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    assert_int_equal(hm_buf_append(&text, "", 1), 0);
    at = (const char *)text.data;
    for (size_t i = 0; i < count; i++) {
        char row[512];

        (void)snprintf(row, sizeof row, "| %s | %s | %s |\n", rules[i].name,
                       hm_error_name(rules[i].code), rules[i].says);
        at = strstr(at, row);
        if (!at)
            fail_msg("docs/ledger.md lacks, at its place: %s", row);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_forms),
        CASE(test_money),
        CASE(test_sessions),
        CASE(test_space),
        CASE(test_assets),
        CASE(test_leases),
        CASE(test_settlements),
        CASE(test_privacy_set),
        CASE(test_privacy_admits),
        CASE(test_networks),
        CASE(test_peers),
        CASE(test_challenges),
        CASE(test_opened),
        cmocka_unit_test(test_long_sentences),
        cmocka_unit_test(test_all_reached),
        cmocka_unit_test(test_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
