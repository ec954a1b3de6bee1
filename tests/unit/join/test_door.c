/* A member's door and who knocks at it: what is given, and what is refused. */
#include "door_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- joining ------------------------------------------------------------------------------------------------------ */

static void test_one_ticket_one_node(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined, again;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    HM_AUTOFREE char *home = hm_asprintf("%s/new/engine", place->folder);
    HM_AUTOFREE char *path = hm_asprintf("%s/config/genesis.json", home);
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    uint8_t hash[CRYPTO_HASH_BYTES];

    hm_arena_init(&arena, 0);
    if (door_place_join(place, "new", text, &arena, &joined) != 0)
        fail_msg("%s", place->error.text);
    assert_string_equal(joined.chain_id, CHAIN_ID);
    assert_true(joined.funded && joined.validator && !joined.synced);
    assert_int_equal(joined.bond, 5 * UNITS);
    assert_int_equal(joined.peer_count, 1);
    assert_string_equal(joined.local, "127.0.0.1");
    assert_string_equal(joined.peers[0] + ENGINE_NODE_ID_DIGITS, "@127.0.0.1:26656");
    assert_memory_equal(joined.peers[0], place->node_id, ENGINE_NODE_ID_DIGITS);
    assert_int_equal(hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &genesis, NULL), 0);
    crypto_hash(genesis.data, genesis.len, hash);
    assert_memory_equal(hash, place->genesis_hash, sizeof(hash));
    assert_int_equal(door_place_paid(place, joined.member.account), 10005 * UNITS);
    assert_int_equal(door_place_paid(place, joined.member.user), 1000 * UNITS);
    /* The last answer may have been lost: the same folder asks again, and is paid once. */
    door_place_mark(place, "new", "keys");
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), 0);
    assert_memory_equal(again.member.account, joined.member.account, WIRE_ID_BYTES);
    assert_int_equal(door_place_paid(place, joined.member.account), 10005 * UNITS);
    assert_int_equal(door_place_paid(place, joined.member.user), 1000 * UNITS);
    assert_int_equal(door_place_join(place, "more", text, &arena, &again), HM_ECONFLICT);
    assert_non_null(strstr(place->error.text, "has been used"));
    assert_false(door_place_has(place, "more"));
}

static void test_refused_nothing_is_left(void **state)
{
    static const struct {
        enum ticket_flaw flaw;
        int rc;
        const char *words;
    } cases[] = {{FLAW_SECRET, HM_ENOTFOUND, "has not issued this ticket"},
                 {FLAW_CHAIN, HM_ECONFLICT, "of another chain"},
                 {FLAW_ISSUER, HM_EAUTH, "is not the member"},
                 {FLAW_EXPIRED, HM_ETIMEOUT, "expired at"}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined;
    struct door_place *place = *state;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_AUTOFREE char *text = door_place_ticket(place, (uint8_t)i, cases[i].flaw);

        assert_int_equal(door_place_join(place, "new", text, &arena, &joined), cases[i].rc);
        assert_non_null(strstr(place->error.text, cases[i].words));
        assert_false(door_place_has(place, "new"));
    }
    assert_int_equal(door_place_join(place, "node0", "hmjoin1", &arena, &joined), HM_EPARSE);
    HM_AUTOFREE char *text = door_place_ticket(place, 9, FLAW_NONE);
    assert_int_equal(door_place_join(place, "node0", text, &arena, &joined), HM_EEXIST);
    assert_true(door_place_has(place, "node0/engine"));
}

/* Keys that the member may know are kept; what lies beside of one that was killed while it made them is of no use. */
static void test_cut_off_it_goes_on(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_result joined, again;
    struct door_place *place = *state;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    HM_AUTOFREE char *other = door_place_ticket(place, 2, FLAW_NONE);
    HM_AUTOFREE char *mark = hm_asprintf("%s/new/joining", place->folder);
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};

    hm_arena_init(&arena, 0);
    door_place_close(place);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), HM_EUNAVAILABLE);
    assert_false(door_place_has(place, "new"));
    door_place_open(place);
    assert_int_equal(door_place_join(place, "new", text, &arena, &joined), 0);
    assert_int_equal(hm_file_read(mark, 256, &said, NULL), 0);
    assert_memory_equal(said.data, "done", 4);
    memcpy(said.data, "keys", 4);
    assert_int_equal(hm_file_replace(mark, said.data, said.len, 0600, NULL), 0);
    assert_int_equal(door_place_join(place, "new", other, &arena, &again), HM_EEXIST);
    assert_non_null(strstr(place->error.text, "with another ticket"));
    /* Nobody answers: what the member may know is not thrown away. */
    door_place_close(place);
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), HM_EUNAVAILABLE);
    assert_non_null(strstr(place->error.text, "goes on with it"));
    door_place_open(place);
    assert_int_equal(door_place_join(place, "new", text, &arena, &again), 0);
    assert_memory_equal(again.member.account, joined.member.account, WIRE_ID_BYTES);
    HM_AUTOFREE char *beside = hm_asprintf("%s/next.joining/keys", place->folder);
    HM_AUTOFREE char *beside_mark = hm_asprintf("%s/next.joining/joining", place->folder);
    assert_int_equal(hm_mkdir_all(beside, 0700, NULL), 0);
    /* Without our mark it is somebody's. */
    assert_int_equal(door_place_join(place, "next", other, &arena, &again), HM_EEXIST);
    assert_true(door_place_has(place, "next.joining/keys"));
    assert_int_equal(hm_file_replace(beside_mark, said.data, said.len, 0600, NULL), 0);
    assert_int_equal(door_place_join(place, "next", other, &arena, &again), 0);
    assert_false(door_place_has(place, "next.joining"));
}

static void test_a_door_that_is_taken(void **state)
{
    struct door_place *place = *state;
    struct join_door *second = NULL;

    assert_int_equal(join_door_open(&place->options, &second, &place->error), HM_EBUSY);
    assert_non_null(strstr(place->error.text, "in use"));
    assert_null(second);
}

/* --- what is read ---------------------------------------------------------------------------------------------------- */

static int ask_read(struct door_place *place, struct join_knock *knock, int method,
                    struct hm_arena *arena, Hypermesh__Cluster__JoinAnswer **out)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__EngineRead read = HYPERMESH__CLUSTER__ENGINE_READ__INIT;

    read.method = (Hypermesh__Cluster__EngineMethod)method;
    read.height = 20;
    read.id = 7;
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_READ;
    request.read = &read;
    return join_knock_ask(knock, &request, ASK_MS, arena, out, &place->error);
}

static void test_strangers_read_nothing(void **state)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__GenesisGet get = HYPERMESH__CLUSTER__GENESIS_GET__INIT;
    Hypermesh__Cluster__FundGet fund = HYPERMESH__CLUSTER__FUND_GET__INIT;
    const uint8_t seed[CRYPTO_SEED_BYTES] = {5};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAnswer *answer;
    struct crypto_ed25519_key own;
    struct door_place *place = *state;
    struct join_knock *stranger;

    hm_arena_init(&arena, 0);
    crypto_ed25519_from_seed(&own, seed);
    stranger = door_place_knock(place, &own);
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_GENESIS;
    request.genesis = &get;
    assert_int_equal(join_knock_ask(stranger, &request, ASK_MS, &arena, &answer, &place->error),
                     HM_EPERM);
    assert_true(join_knock_answered(stranger));
    assert_non_null(strstr(place->error.text, "redeem a ticket first"));
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_FUND;
    request.fund = &fund;
    assert_int_equal(join_knock_ask(stranger, &request, ASK_MS, &arena, &answer, &place->error),
                     HM_EPERM);
    assert_int_equal(ask_read(place, stranger, HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_COMMIT,
                              &arena, &answer),
                     HM_EPERM);
    assert_true(door_place_asked(place, "")); /* the engine was not asked */
    join_knock_close(stranger);
}

/* The member's own key redeems a ticket, and reads through its own tunnel. */
static void redeem_own(struct door_place *place)
{
    Hypermesh__Cluster__Redeem redeem = HYPERMESH__CLUSTER__REDEEM__INIT;
    Hypermesh__Cluster__JoinMember member = HYPERMESH__CLUSTER__JOIN_MEMBER__INIT;
    HM_AUTOFREE char *text = door_place_ticket(place, 1, FLAW_NONE);
    HM_AUTOFREE char *path = hm_asprintf("%s/" JOIN_TUNNEL_FILE, place->data);
    Hypermesh__Cluster__IssuedTicket *issued;
    Hypermesh__Cluster__JoinTicket *ticket;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    hm_arena_init(&arena, 0);
    assert_int_equal(join_ticket_read(text, &arena, &ticket, NULL), 0);
    redeem.ticket_id = ticket->id;
    redeem.secret = ticket->secret;
    redeem.operator_ = ticket->trust_hash;
    redeem.user = wire_bytes(ticket->issuer.data, WIRE_ID_BYTES);
    assert_int_equal(join_tickets_redeem(&place->tickets, &redeem, place->member.public_key,
                                         hm_wall_ms(hm_clock_system()), &arena, &issued, NULL),
                     0);
    member.key = ticket->issuer;
    member.addresses = ticket->addresses;
    member.n_addresses = ticket->n_addresses;
    member.until_ms = hm_wall_ms(hm_clock_system()) + HOUR_MS;
    assert_int_equal(wire_pack(&member.base, &bytes), 0);
    assert_int_equal(hm_file_replace(path, bytes.data, bytes.len, 0600, NULL), 0);
}

static int tunnel_connect(struct door_place *place, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/" JOIN_TUNNEL_SOCKET, place->data);
    return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

/* One request to the tunnel; what comes back, which has `until` in it. */
static void tunnel_talk(int fd, const char *json, const char *until, char *out, size_t room)
{
    const struct timeval patience = {.tv_sec = 20};
    HM_AUTOFREE char *request = hm_asprintf(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(json), json);
    size_t len = 0;
    ssize_t got = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(hm_write_all(fd, request, strlen(request), NULL), 0);
    out[0] = '\0';
    while (got > 0 && strstr(out, until) == NULL) {
        got = read(fd, out + len, room - 1 - len);
        len += got > 0 ? (size_t)got : 0;
        out[len] = '\0';
    }
    if (strstr(out, until) == NULL)
        fail_msg("the tunnel answers: %s", out);
}

static void tunnel_call(struct door_place *place, const char *json, const char *until, char *out,
                        size_t room)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(tunnel_connect(place, fd), 0);
    tunnel_talk(fd, json, until, out, room);
    close(fd);
}

static void test_the_tunnel(void **state)
{
    struct door_place *place = *state;
    struct join_tunnel *tunnel;
    char answer[2048];

    redeem_own(place);
    assert_int_equal(join_tunnel_open(place->data, hm_clock_system(), &tunnel, &place->error), 0);
    tunnel_call(
        place,
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"commit\",\"params\":{\"height\":\"20\"}}",
        ENGINE_ID, answer, sizeof(answer));
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, ENGINE_ID));
    assert_true(door_place_asked(place, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"commit\","
                                        "\"params\":{\"height\":\"20\"}}"));
    tunnel_call(
        place,
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"broadcast_tx_sync\",\"params\":{\"tx\":\"\"}}",
        "tunnel", answer, sizeof(answer));
    assert_non_null(strstr(answer, "502"));
    assert_true(door_place_asked(place, ""));
    join_tunnel_close(tunnel);
}

#define FEW_DESCRIPTORS 256

static uint64_t used_ms(void)
{
    struct rusage used;

    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

/* Who cannot be accepted waits, and the processor does not. */
static void test_a_tunnel_without_descriptors(void **state)
{
    struct door_place *place = *state;
    struct join_tunnel *tunnel;
    struct rlimit limit, low;
    int fd, taken[FEW_DESCRIPTORS];
    size_t count = 0;
    char answer[2048];
    uint64_t from_ms;

    redeem_own(place);
    assert_int_equal(join_tunnel_open(place->data, hm_clock_system(), &tunnel, &place->error), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = FEW_DESCRIPTORS, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < FEW_DESCRIPTORS && (taken[count] = dup(fd)) >= 0)
        count++;
    int rc = tunnel_connect(place, fd);
    from_ms = used_ms();
    usleep(1000000);
    from_ms = used_ms() - from_ms;
    while (count > 0)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, 0);
    assert_in_range(from_ms, 0, 300);
    tunnel_talk(fd, "{\"id\":1,\"method\":\"commit\",\"params\":{\"height\":\"20\"}}", ENGINE_ID,
                answer, sizeof(answer));
    assert_non_null(strstr(answer, ENGINE_ID));
    close(fd);
    join_tunnel_close(tunnel);
}

static void test_what_is_not_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAnswer *answer;
    struct door_place *place = *state;
    struct join_knock *own;

    hm_arena_init(&arena, 0);
    redeem_own(place);
    own = door_place_knock(place, &place->member);
    assert_int_equal(ask_read(place, own, 0, &arena, &answer), HM_EPERM);
    assert_int_equal(ask_read(place, own, 99, &arena, &answer), HM_EPERM);
    assert_int_equal(
        ask_read(place, own, HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_STATUS, &arena, &answer),
        HM_ERANGE);
    assert_true(door_place_asked(place, ""));
    assert_int_equal(
        ask_read(place, own, HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_VALIDATORS, &arena, &answer),
        0);
    assert_int_equal(answer->read.len, strlen(ENGINE_ID));
    join_knock_close(own);
}

/* --- pure ------------------------------------------------------------------------------------------------------------- */

static void test_requests_in_pieces(void **state)
{
    static const char text[] =
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello, and more";
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        "\r\n\r\n"};
    size_t whole = 0, wanted = sizeof(text) - 1 - strlen(", and more");
    struct hm_slice body;
    bool keep = true;

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        int rc = join_tunnel_request_parse(hm_slice_of(text, len), &body, &whole, &keep, NULL);

        assert_int_equal(rc, len >= wanted);
    }
    assert_int_equal(whole, wanted);
    assert_true(hm_slice_equal(body, hm_slice_str("hello")));
    assert_false(keep);
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_true(join_tunnel_request_parse(hm_slice_str(bad[i]), &body, &whole, &keep, NULL) <
                    0);
}

static void test_calls_of_others(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"method\":\"commit\"}",
        "{\"id\":\"a\",\"method\":\"commit\"}",
        "{\"id\":1,\"method\":\"block\"}",
        "{\"id\":1,\"method\":\"commit\",\"params\":[1]}",
        "{\"id\":1,\"method\":\"commit\",\"params\":{\"height\":\"0\"}}",
        "{\"id\":1,\"method\":\"commit\",\"params\":{\"height\":\"-1\"}}",
        "{\"id\":1,\"method\":\"commit\",\"params\":{\"height\":true}}",
        "{\"id\":1,\"method\":\"commit\",\"params\":{\"other\":\"1\"}}",
        "{\"id\":1,\"method\":\"validators\",\"params\":{\"page\":\"4294967296\"}}",
        "[{\"id\":1,\"method\":\"commit\"}]"};
    Hypermesh__Cluster__EngineRead read = HYPERMESH__CLUSTER__ENGINE_READ__INIT;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_true(join_tunnel_read_parse(hm_slice_str(bad[i]), &read, NULL) < 0);
    assert_int_equal(
        join_tunnel_read_parse(hm_slice_str("{\"id\":0,\"method\":\"validators\",\"params\":"
                                            "{\"height\":12,\"page\":\"2\",\"per_page\":\"100\"}}"),
                               &read, NULL),
        0);
    assert_int_equal(read.method, HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_VALIDATORS);
    assert_int_equal(read.height, 12);
    assert_int_equal(read.page, 2);
    assert_int_equal(read.per_page, 100);
}

static void test_whom_a_newcomer_can_dial(void **state)
{
    struct sockaddr_in6 near, far;

    (void)state;
    assert_int_equal(stoq_address_parse("127.0.0.1:1", 0, &near, NULL), 0);
    assert_int_equal(stoq_address_parse("192.0.2.1:1", 0, &far, NULL), 0);
    assert_true(join_door_can_dial("127.0.0.1:26656", &near));
    assert_false(join_door_can_dial("127.0.0.1:26656", &far));
    assert_false(join_door_can_dial("[::1]:26656", &far));
    assert_true(join_door_can_dial("192.0.2.9:26656", &far));
    assert_true(join_door_can_dial("192.0.2.9:26656", &near));
    assert_false(join_door_can_dial("0.0.0.0:26656", &near));
    assert_false(join_door_can_dial("192.0.2.9:0", &far));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_ticket_one_node, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_refused_nothing_is_left, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_cut_off_it_goes_on, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_door_that_is_taken, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_strangers_read_nothing, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_the_tunnel, door_place_setup, door_place_teardown),
        cmocka_unit_test_setup_teardown(test_a_tunnel_without_descriptors, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_read, door_place_setup,
                                        door_place_teardown),
        cmocka_unit_test(test_requests_in_pieces),
        cmocka_unit_test(test_calls_of_others),
        cmocka_unit_test(test_whom_a_newcomer_can_dial),
    };

    return cmocka_run_group_tests_name("join_door", tests, NULL, NULL);
}
