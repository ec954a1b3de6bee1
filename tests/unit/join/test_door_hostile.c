/* Newcomers who ask twice for money, are slow, come in numbers or have no secret. */
#include "door_fixture.h"

#include <stdio.h>
#include <unistd.h>

static void key_of(struct door_place *place, const char *name, struct crypto_ed25519_key *out)
{
    HM_AUTOFREE char *keys = hm_asprintf("%s/%s/validator", place->folder, name);

    assert_int_equal(engine_key_load(keys, ENGINE_NODE_KEY_NAME, out, NULL), 0);
}

static int ask_fund(struct door_place *place, const char *name, struct hm_arena *arena,
                    Hypermesh__Cluster__JoinAnswer **out)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__FundGet fund = HYPERMESH__CLUSTER__FUND_GET__INIT;
    struct crypto_ed25519_key own;

    key_of(place, name, &own);
    struct join_knock *knocking = door_place_knock(place, &own);
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_FUND;
    request.fund = &fund;
    int rc = join_knock_ask(knocking, &request, 2 * ASK_MS, arena, out, &place->error);
    join_knock_close(knocking);
    return rc;
}

static void book_again(struct door_place *place)
{
    join_tickets_release(&place->tickets);
    join_tickets_init(&place->tickets, place->tickets_path);
}

/* The file of tickets, with the payments of the one in it as they are wanted. */
static void payments_are(struct door_place *place, Hypermesh__Cluster__JoinPayment operator_paid,
                         Hypermesh__Cluster__JoinPayment user_paid)
{
    struct join_tickets *tickets = &place->tickets;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(tickets->issued->n_tickets, 1);
    tickets->issued->tickets[0]->operator_paid = operator_paid;
    tickets->issued->tickets[0]->user_paid = user_paid;
    assert_int_equal(wire_pack(&tickets->issued->base, &bytes), 0);
    assert_int_equal(hm_file_replace(tickets->path, bytes.data, bytes.len, 0600, NULL), 0);
    book_again(place);
}

/* An account that is empty again has been paid all the same: what a ticket pays is sent once, whatever becomes of it. */
static void test_a_ticket_pays_once(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAnswer *answer;
    struct join_result joined, again;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    /* The accounts change to ones that nothing has come to: as where all of it went on. */
    Hypermesh__Cluster__IssuedTicket *ticket = place->tickets.issued->tickets[0];
    memset(ticket->operator_.data, 0x51, WIRE_ID_BYTES);
    memset(ticket->user.data, 0x52, WIRE_ID_BYTES);
    payments_are(place, ticket->operator_paid, ticket->user_paid);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask_fund(place, "new", &arena, &answer), 0);
        assert_int_equal(answer->funded->operator_paid, 0);
        assert_int_equal(answer->funded->user_paid, 0);
        book_again(place);
    }
    door_place_mark(place, "new", "keys");
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), 0);
    ticket = place->tickets.issued->tickets[0];
    assert_int_equal(door_place_paid(place, ticket->operator_.data), 0);
    assert_int_equal(door_place_paid(place, ticket->user.data), 0);
    /* Sent, and nobody knows whether it will come: it is not sent again, and the newcomer keeps what it has. */
    payments_are(place, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT,
                 HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE);
    door_place_mark(place, "new", "redeemed");
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), HM_EBUSY);
    assert_non_null(strstr(place->error.text, "not sent twice"));
    assert_true(door_place_has(place, "new/keys"));
    ticket = place->tickets.issued->tickets[0];
    assert_int_equal(door_place_paid(place, ticket->operator_.data), 0);
    assert_int_equal(door_place_paid(place, ticket->user.data), 0);
    /* It has come: so it is done, and what was not sent is. */
    memcpy(ticket->operator_.data, joined.member.account, WIRE_ID_BYTES);
    payments_are(place, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT,
                 HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE);
    assert_int_equal(ask_fund(place, "new", &arena, &answer), 0);
    assert_int_equal(answer->funded->operator_paid, 0);
    assert_int_equal(answer->funded->user_paid, 1000 * UNITS);
    assert_int_equal(door_place_paid(place, joined.member.account), 10005 * UNITS);
}

/* What was surely not sent is sent when it can be; what may have been is never sent again. */
static void test_a_payment_that_fails(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    HM_AUTOFREE char *more = door_place_ticket(place, 2, FLAW_NONE);

    hm_arena_init(&arena, 0);
    atomic_store(&place->pay_fails, HM_EFUNDS);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), HM_EFUNDS);
    assert_non_null(strstr(place->error.text, "the purse is shut"));
    assert_non_null(strstr(place->error.text, "goes on with it"));
    atomic_store(&place->pay_fails, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    assert_int_equal(door_place_paid(place, joined.member.account), 10005 * UNITS);
    assert_int_equal(door_place_paid(place, joined.member.user), 1000 * UNITS);
    atomic_store(&place->pay_fails, HM_EIO);
    atomic_store(&place->quitting, true); /* so that it does not look for long */
    assert_int_equal(door_place_join(place, "more", more, &arena, &joined), HM_EBUSY);
    atomic_store(&place->pay_fails, 0);
    assert_int_equal(door_place_join(place, "more", more, &arena, &joined), HM_EBUSY);
    assert_non_null(strstr(place->error.text, "not sent twice"));
    assert_int_equal(place->account_count, 2); /* nobody else was paid */
}

/* The member's no, after it has paid, throws no keys away. */
static void test_what_was_paid_is_kept(void **state)
{
    uint8_t id[JOIN_TICKET_ID_BYTES] = {1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined, again;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    assert_int_equal(join_tickets_revoke(&place->tickets, hm_slice_of(id, sizeof(id)), NULL), 0);
    /* What is done needs nobody. */
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), 0);
    assert_memory_equal(again.member.account, joined.member.account, WIRE_ID_BYTES);
    assert_string_equal(again.local, joined.local);
    assert_int_equal(again.peer_count, 1);
    assert_string_equal(again.peers[0], joined.peers[0]);
    door_place_mark(place, "new", "redeemed");
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), HM_EPERM);
    assert_true(door_place_has(place, "new/keys"));
    door_place_mark(place, "new", "keys");
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), HM_EPERM);
    assert_true(door_place_has(place, "new/keys"));
    assert_false(door_place_has(place, "new.joining"));
}

static void test_a_bond_beyond_all_money(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAnswer *answer;
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    place->tickets.issued->tickets[0]->bond = UINT64_MAX;
    payments_are(place, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE,
                 HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE);
    assert_int_equal(ask_fund(place, "new", &arena, &answer), HM_ERANGE);
    assert_int_equal(door_place_paid(place, joined.member.account), 10005 * UNITS);
}

static void *fund_in_vain(void *arg)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAnswer *answer;

    hm_arena_init(&arena, 0);
    assert_int_not_equal(ask_fund(arg, "new", &arena, &answer), 0);
    return NULL;
}

/* The node stops while the door looks for a payment that does not come: what it answers then needs the door still. */
static void test_it_closes_while_it_answers(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    uint64_t from_ns;
    pthread_t asker;

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    memset(place->tickets.issued->tickets[0]->operator_.data, 0x51, WIRE_ID_BYTES);
    payments_are(place, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT,
                 HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE);
    assert_int_equal(pthread_create(&asker, NULL, fund_in_vain, place), 0);
    usleep(1000000); /* it is asked by now, and looks for ten seconds */
    from_ns = hm_mono_ns(hm_clock_system());
    atomic_store(&place->quitting, true);
    door_place_close(place);
    assert_in_range((hm_mono_ns(hm_clock_system()) - from_ns) / 1000000, 0, 5000);
    pthread_join(asker, NULL);
}

/* --- who takes places ----------------------------------------------------------------------------------------------- */

/* A newcomer of the test's own, who does as it likes. */
struct slow {
    struct stoq_identity *identity;
    struct stoq_caller *caller;
    struct stoq_link *link;
    struct crypto_ed25519_key key;
};

static int slow_verify(void *ctx, const struct stoq_peer *shown, uint8_t *alert,
                       struct stoq_error *error)
{
    (void)ctx;
    (void)shown;
    (void)alert;
    (void)error;
    return 0;
}

/* With its key, from this address of the machine. */
static void slow_open_from(struct door_place *place, const char *from, struct slow *slow)
{
    struct stoq_host_config config;
    struct sockaddr_in6 at;

    assert_int_equal(join_certificate_identity(&slow->key, &slow->identity, NULL), 0);
    stoq_host_config_default(&config);
    config.endpoint.identity = slow->identity;
    config.endpoint.verify = slow_verify;
    config.endpoint.alpn = JOIN_DOOR_ALPN;
    config.endpoint.keep_alive_ns = UINT64_C(1000000000);
    assert_int_equal(stoq_address_parse(from, 0, &config.bind, NULL), 0);
    assert_int_equal(stoq_caller_open(&slow->caller, &config, NULL), 0);
    assert_int_equal(stoq_address_parse(place->at, 0, &at, NULL), 0);
    assert_int_equal(stoq_link_connect(slow->caller, &at, "::1", ASK_MS, &slow->link, NULL), 0);
}

static void slow_open(struct door_place *place, uint8_t number, struct slow *slow)
{
    const uint8_t seed[CRYPTO_SEED_BYTES] = {number, 7};

    crypto_ed25519_from_seed(&slow->key, seed);
    slow_open_from(place, "127.0.0.1:0", slow);
}

static void slow_close(struct slow *slow)
{
    stoq_link_release(slow->link);
    stoq_caller_close(slow->caller);
    stoq_identity_unref(slow->identity);
}

static struct stoq_pipe *slow_stream(struct slow *slow)
{
    const struct stoq_stream_options options = {
        .priority = 3, .tag = {slow->key.public_key, sizeof(slow->key.public_key)}};
    struct stoq_pipe *pipe = NULL;

    return stoq_pipe_open(slow->link, &options, 1000, &pipe, NULL) == 0 ? pipe : NULL;
}

/* Seconds until the door has hung up, at most so many, while bytes come one by one. */
static unsigned slow_until_gone(struct slow *slow, unsigned most_s)
{
    struct stoq_pipe *pipe = slow_stream(slow);
    unsigned seconds = 0;

    assert_non_null(pipe);
    while (seconds < most_s && stoq_pipe_write(pipe, "\x0a", 1, 1000) >= 0) {
        sleep(1);
        seconds++;
    }
    stoq_pipe_release(pipe);
    return seconds;
}

/* A byte a second is no request. */
static void test_a_slow_request_ends(void **state)
{
    struct door_place *place = *state;
    struct slow slow;

    slow_open(place, 1, &slow);
    assert_in_range(slow_until_gone(&slow, 40), JOIN_DOOR_REQUEST_MS / 1000 - 2, 30);
    slow_close(&slow);
}

/* Who has the fifth connection from one place is answered: the oldest that has redeemed nothing goes. */
static void test_a_place_has_four(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct slow slow[JOIN_DOOR_LINKS_A_PLACE];
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    struct stoq_pipe *pipe[JOIN_DOOR_LINKS_A_PLACE];
    uint8_t byte = 0x0a;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(slow); i++) {
        slow_open(place, (uint8_t)i, &slow[i]);
        pipe[i] = slow_stream(&slow[i]);
        assert_non_null(pipe[i]);
        assert_true(stoq_pipe_write(pipe[i], &byte, 1, 1000) >= 0);
        usleep(100000); /* so that it is known who came first */
    }
    if (door_place_join(place, "new", text, &arena, &joined) != 0)
        fail_msg("%s", place->error.text);
    assert_int_equal(stoq_pipe_read(pipe[0], &byte, 1, 5000), STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_read(pipe[3], &byte, 1, 500), STOQ_ETIMEOUT);
    for (size_t i = 0; i < HM_COUNT_OF(slow); i++) {
        stoq_pipe_release(pipe[i]);
        slow_close(&slow[i]);
    }
}

static bool slow_asks(struct slow *slow)
{
    static const uint8_t genesis[] = {0x12, 0x02, 0x08, 0x01};
    struct stoq_pipe *pipe = slow_stream(slow);
    uint8_t answer[512];

    if (pipe == NULL)
        return false;
    bool answered = stoq_pipe_write(pipe, genesis, sizeof(genesis), 1000) >= 0 &&
                    stoq_pipe_finish(pipe, 0) == 0 &&
                    stoq_pipe_read(pipe, answer, sizeof(answer), 3000) > 0;
    stoq_pipe_release(pipe);
    return answered;
}

/* Newcomers that were killed, or are quiet, keep nobody of their place out; they call again. */
static void test_the_quiet_make_room(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_knock *quiet[JOIN_DOOR_LINKS_A_PLACE];
    Hypermesh__Cluster__JoinAnswer *answer;
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__GenesisGet get = HYPERMESH__CLUSTER__GENESIS_GET__INIT;
    struct join_result joined, other;
    struct door_place *place = *state;
    struct crypto_ed25519_key own;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    HM_AUTOFREE char *more = door_place_ticket(place, 2, FLAW_NONE);

    hm_arena_init(&arena, 0);
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_GENESIS;
    request.genesis = &get;
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    key_of(place, "new", &own);
    for (size_t i = 0; i < HM_COUNT_OF(quiet); i++) {
        quiet[i] = door_place_knock(place, &own);
        assert_int_equal(join_knock_ask(quiet[i], &request, ASK_MS, &arena, &answer, NULL), 0);
    }
    if (door_place_join(place, "more", more, &arena, &other) != 0)
        fail_msg("%s", place->error.text);
    assert_int_equal(join_knock_ask(quiet[0], &request, ASK_MS, &arena, &answer, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(quiet); i++)
        join_knock_close(quiet[i]);
}

/* Who has a ticket and many addresses keeps no more places than anybody. */
static void test_a_key_has_four(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct slow slow[JOIN_DOOR_LINKS_A_KEY + 1];
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    char from[32];

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    usleep(500000); /* its own connection has ended */
    for (size_t i = 0; i < HM_COUNT_OF(slow); i++) {
        snprintf(from, sizeof(from), "127.0.0.%zu:0", 2 + i);
        key_of(place, "new", &slow[i].key);
        slow_open_from(place, from, &slow[i]);
        assert_true(slow_asks(&slow[i]));
    }
    usleep(1000000);
    assert_false(slow_asks(&slow[0]));
    for (size_t i = 1; i < HM_COUNT_OF(slow); i++)
        assert_true(slow_asks(&slow[i]));
    for (size_t i = 0; i < HM_COUNT_OF(slow); i++)
        slow_close(&slow[i]);
}

/* A connection that was served and then is refused only, since its ticket was revoked, ends as a stranger's does. */
static void test_revoked_it_goes(void **state)
{
    uint8_t id[JOIN_TICKET_ID_BYTES] = {1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    struct slow slow;

    hm_arena_init(&arena, 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    key_of(place, "new", &slow.key);
    slow_open_from(place, "127.0.0.1:0", &slow);
    assert_true(slow_asks(&slow));
    assert_int_equal(join_tickets_revoke(&place->tickets, hm_slice_of(id, sizeof(id)), NULL), 0);
    for (unsigned i = 0; i < JOIN_DOOR_REFUSALS_MAX; i++)
        assert_true(slow_asks(&slow));
    assert_false(slow_asks(&slow));
    slow_close(&slow);
}

static FILE *log_file;

/* Its door logs into a file from the start. */
static int logging_setup(void **state)
{
    log_file = tmpfile();
    if (log_file == NULL)
        return -1;
    door_place_log_fd = fileno(log_file);
    return door_place_setup(state);
}

static int logging_teardown(void **state)
{
    int rc = door_place_teardown(state);

    door_place_log_fd = -1;
    (void)fclose(log_file);
    return rc;
}

static void test_three_times_no(void **state)
{
    struct door_place *place = *state;
    char line[512];
    unsigned lines = 0;
    struct slow slow;

    slow_open(place, 1, &slow);
    for (unsigned i = 0; i < JOIN_DOOR_REFUSALS_MAX; i++)
        assert_true(slow_asks(&slow));
    assert_false(slow_asks(&slow));
    slow_close(&slow);
    /* And the log has a line a second of it. */
    for (unsigned i = 0; i < 1000; i++)
        join_door_log_refusal(place->door, slow.key.public_key, "no");
    usleep(1100000);
    join_door_log_refusal(place->door, slow.key.public_key, "the last");
    rewind(log_file);
    while (fgets(line, sizeof(line), log_file) != NULL)
        lines += strstr(line, "is refused") != NULL;
    assert_in_range(lines, 2, 30);
    rewind(log_file);
    bool told = false;
    while (fgets(line, sizeof(line), log_file) != NULL)
        told = told || (strstr(line, "the last") != NULL && strstr(line, "more refusals") != NULL);
    assert_true(told);
}

static void listen_at(struct door_place *place, const char *address)
{
    door_place_close(place);
    place->options.p2p_listen = address;
    door_place_open(place);
}

/* Without the secret the chain is not spoken of: neither whether it is another, nor whom one could dial. */
static void test_the_secret_comes_first(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_SECRET);
    HM_AUTOFREE char *good = door_place_ticket(place, 2, FLAW_NONE);
    HM_AUTOFREE char *genesis = hm_asprintf("%s/engine/config/genesis.json", place->data);
    HM_AUTOFREE char *aside = hm_asprintf("%s.aside", genesis);

    hm_arena_init(&arena, 0);
    /* The newcomer could dial nobody: who has the secret is told, who has not is not. */
    listen_at(place, "0.0.0.0:0");
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), HM_ENOTFOUND);
    assert_int_equal(door_place_join(place, "new", good, &arena, &joined), HM_EUNAVAILABLE);
    listen_at(place, "127.0.0.1:26656");
    /* And no file is read for either. */
    assert_int_equal(rename(genesis, aside), 0);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), HM_ENOTFOUND);
    assert_int_equal(rename(aside, genesis), 0);
    assert_int_equal(door_place_join(place, "new", good, &arena, &joined), 0);
}

static void test_what_is_one_place(void **state)
{
    struct sockaddr_in6 a, b, c, d, e;

    (void)state;
    assert_int_equal(stoq_address_parse("192.0.2.1:1", 0, &a, NULL), 0);
    assert_int_equal(stoq_address_parse("192.0.2.1:2", 0, &b, NULL), 0);
    assert_int_equal(stoq_address_parse("192.0.2.2:1", 0, &c, NULL), 0);
    assert_int_equal(stoq_address_parse("[2001:db8:0:1::1]:1", 0, &d, NULL), 0);
    assert_int_equal(stoq_address_parse("[2001:db8:0:1:2::9]:1", 0, &e, NULL), 0);
    assert_true(join_door_same_place(&a, &b));
    assert_false(join_door_same_place(&a, &c));
    assert_true(join_door_same_place(&d, &e));
    assert_false(join_door_same_place(&a, &d));
    assert_int_equal(stoq_address_parse("[2001:db8:0:2::1]:1", 0, &e, NULL), 0);
    assert_false(join_door_same_place(&d, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_ticket_pays_once, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_payment_that_fails, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_what_was_paid_is_kept, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_bond_beyond_all_money, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_it_closes_while_it_answers, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_request_ends, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_place_has_four, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_the_quiet_make_room, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_key_has_four, door_place_setup, door_place_teardown),
        cmocka_unit_test_setup_teardown(test_revoked_it_goes, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_three_times_no, logging_setup, logging_teardown),
        cmocka_unit_test_setup_teardown(test_the_secret_comes_first, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test(test_what_is_one_place),
    };

    return cmocka_run_group_tests_name("join_door_hostile", tests, NULL, NULL);
}
