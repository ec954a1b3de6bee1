/* The door to newcomers of a whole node: its ledger pays, its engine's socket is read. What the door itself does is join's test. */
#include "node_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define UNITS       UINT64_C(1000000000)
#define HOUR_MS     UINT64_C(3600000)
#define ENGINE_SAYS "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}"
#define COMMIT_ASKED \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"commit\",\"params\":{\"height\":\"20\"}}"

struct member {
    struct node_fixture *fixture;
    char folder[64]; /* of a cluster of one, and of the newcomer */
    struct node_cluster cluster;
    char at[32];
    pthread_t engine; /* its stand-in */
    int engine_fd;
    char asked[1024];
};

/* --- the engine's stand-in ------------------------------------------------------------------------------------ */

/* Answers each connection once, and keeps what it was asked. */
static void *engine_main(void *arg)
{
    static const char answer[] =
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" ENGINE_SAYS;
    struct member *member = arg;
    int fd;

    while ((fd = accept(member->engine_fd, NULL, NULL)) >= 0) {
        size_t len = 0;
        ssize_t got = 1;

        while (got > 0 && strstr(member->asked, "}}") == NULL) {
            got = read(fd, member->asked + len, sizeof(member->asked) - 1 - len);
            len += got > 0 ? (size_t)got : 0;
            member->asked[len] = '\0';
        }
        assert_int_equal(hm_write_all(fd, answer, sizeof(answer) - 1, NULL), 0);
        close(fd);
    }
    return NULL;
}

static void engine_start(struct member *member)
{
    struct node *node = member->fixture->node;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/rpc.sock", member->fixture->folder);
    snprintf(node->beside.socket_rpc, sizeof(node->beside.socket_rpc), "%s", address.sun_path);
    member->engine_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(member->engine_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(member->engine_fd, 4), 0);
    assert_int_equal(pthread_create(&member->engine, NULL, engine_main, member), 0);
}

/* --- the member --------------------------------------------------------------------------------------------------- */

static void take_over(struct member *member, const char *name)
{
    HM_AUTOFREE char *from = hm_asprintf("%s/node0/%s", member->folder, name);
    HM_AUTOFREE char *to = hm_asprintf("%s/%s", member->fixture->folder, name);

    assert_int_equal(rename(from, to), 0);
}

static unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static int member_setup(void **state)
{
    struct member *member = hm_calloc(1, sizeof(*member));
    struct hm_error error = {0};
    void *fixture = NULL;

    assert_int_equal(node_fixture_setup(&fixture), 0);
    member->fixture = fixture;
    memcpy(member->folder, "/tmp/hm-door-XXXXXX", sizeof("/tmp/hm-door-XXXXXX"));
    assert_non_null(mkdtemp(member->folder));
    if (node_cluster_create(member->folder, 1, UINT64_C(64) << 10, NULL, hm_clock_system(),
                            hm_random_system(), &member->cluster, &error) != 0)
        fail_msg("%s", error.text);
    take_over(member, "engine");
    take_over(member, "validator");
    snprintf(member->at, sizeof(member->at), "127.0.0.1:%u", free_port());
    member->fixture->node->options.door_listen = member->at;
    member->fixture->node->options.p2p_listen = "127.0.0.1:26656";
    engine_start(member);
    if (node_door_open(member->fixture->node, &error) != 0)
        fail_msg("%s", error.text);
    *state = member;
    return 0;
}

static int member_teardown(void **state)
{
    struct member *member = *state;
    void *fixture = member->fixture;

    node_door_close(member->fixture->node);
    assert_null(atomic_load(&member->fixture->node->door));
    shutdown(member->engine_fd, SHUT_RDWR);
    pthread_join(member->engine, NULL);
    close(member->engine_fd);
    assert_int_equal(node_fixture_teardown(&fixture), 0);
    assert_int_equal(hm_remove_tree(member->folder, NULL), 0);
    hm_free(member);
    return 0;
}

/* A funded validator's ticket. The caller frees it. */
static char *member_ticket(struct member *member)
{
    Hypermesh__Cluster__JoinTicket ticket = HYPERMESH__CLUSTER__JOIN_TICKET__INIT;
    Hypermesh__Cluster__IssuedTicket issued = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    Hypermesh__Cluster__JoinAddress address, *list[] = {&address};
    HM_AUTOFREE char *path = hm_asprintf("%s/engine/config/genesis.json", member->fixture->folder);
    HM_AUTOFREE char *keys = hm_asprintf("%s/validator", member->fixture->folder);
    uint8_t id[JOIN_TICKET_ID_BYTES] = {1}, secret[JOIN_TICKET_SECRET_BYTES] = {2};
    uint8_t hashed[CRYPTO_HASH_BYTES], genesis_hash[CRYPTO_HASH_BYTES];
    uint64_t now_ms = hm_wall_ms(hm_clock_system());
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct crypto_ed25519_key key;
    struct hm_buf text = {0};

    hm_arena_init(&arena, 0);
    assert_int_equal(hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &genesis, NULL), 0);
    crypto_hash(genesis.data, genesis.len, genesis_hash);
    crypto_hash(secret, sizeof(secret), hashed);
    assert_int_equal(engine_key_load(keys, ENGINE_NODE_KEY_NAME, &key, NULL), 0);
    assert_int_equal(join_ticket_address_parse(member->at, &arena, &address, NULL), 0);
    issued.id = ticket.id = wire_bytes(id, sizeof(id));
    issued.secret_hash = wire_bytes(hashed, sizeof(hashed));
    issued.expires_ms = ticket.expires_ms = now_ms + HOUR_MS;
    issued.funded = ticket.funded = true;
    issued.bond = ticket.bond = 5 * UNITS;
    issued.role = ticket.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR;
    assert_int_equal(join_tickets_add(&member->fixture->node->tickets, &issued, now_ms, NULL), 0);
    ticket.secret = wire_bytes(secret, sizeof(secret));
    ticket.chain_id = member->cluster.chain_id;
    ticket.genesis_hash = ticket.trust_hash = wire_bytes(genesis_hash, sizeof(genesis_hash));
    ticket.addresses = list;
    ticket.n_addresses = 1;
    ticket.trust_height = 1;
    assert_int_equal(join_ticket_write(&ticket, &key, &text, NULL), 0);
    return (char *)(uintptr_t)hm_buf_cstr(&text);
}

static uint64_t member_hyper(struct member *member, const uint8_t id[WIRE_ID_BYTES])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Account *account;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(member->fixture->node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_account(view, id, &arena, &account, NULL), 0);
    ledger_view_close(view);
    return account->hyper;
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */

/* One request to the newcomer's tunnel; what comes back until the connection ends. */
static void tunnel_call(const char *folder, const char *json, char *out, size_t room)
{
    HM_AUTOFREE char *request = hm_asprintf(
        "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(json),
        json);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t got;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/far.sock", folder);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(hm_write_all(fd, request, strlen(request), NULL), 0);
    while ((got = read(fd, out + len, room - 1 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
    close(fd);
}

static void test_a_newcomer_is_paid_and_reads(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct member *member = *state;
    HM_AUTOFREE char *folder = hm_asprintf("%s/new", member->folder);
    HM_AUTOFREE char *ticket = member_ticket(member);
    const struct join_options options = {.data_dir = folder,
                                         .ticket = ticket,
                                         .operator_name = NODE_OPERATOR,
                                         .user_name = NODE_USER,
                                         .random = hm_random_system()};
    struct join_tunnel *tunnel = NULL;
    struct hm_error error = {0};
    struct join_result joined;
    char answer[2048];

    hm_arena_init(&arena, 0);
    if (join_cluster(&options, &arena, &joined, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(joined.chain_id, member->cluster.chain_id);
    assert_int_equal(member_hyper(member, joined.member.account), 10005 * UNITS);
    assert_int_equal(member_hyper(member, joined.member.user), 1000 * UNITS);
    assert_int_equal(join_tunnel_open(folder, hm_clock_system(), &tunnel, &error), 0);
    assert_non_null(tunnel);
    tunnel_call(folder, "{\"id\":7,\"method\":\"commit\",\"params\":{\"height\":\"20\"}}", answer,
                sizeof(answer));
    join_tunnel_close(tunnel);
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, ENGINE_SAYS));
    assert_non_null(strstr(member->asked, COMMIT_ASKED));
}

static void make_snapshot(struct member *member, const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/snapshots/%s", member->fixture->folder, name);

    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
}

/* What the door asks of a node, one by one. */
static void test_what_the_door_asks(void **state)
{
    static const uint8_t nobody[WIRE_ID_BYTES] = {0x51};
    struct member *member = *state;
    struct node *node = member->fixture->node;
    const struct join_backend backend = node_door_backend(node);
    struct hm_error error = {0};
    struct ledger_info info;
    const uint64_t one = 1;
    uint64_t drained;
    bool used = true;

    assert_int_equal(backend.ready(backend.ctx, &error), 0);
    assert_int_equal(backend.is_used(backend.ctx, nobody, &used, &error), 0);
    assert_false(used);
    assert_int_equal(backend.pay(backend.ctx, nobody, UINT64_MAX, &error), HM_EFUNDS);
    assert_int_equal(backend.pay(backend.ctx, nobody, 3, &error), 0);
    assert_int_equal(member_hyper(member, nobody), 3);
    assert_int_equal(backend.is_used(backend.ctx, nobody, &used, &error), 0);
    assert_true(used);
    assert_int_equal(backend.snapshot(backend.ctx), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(backend.pay(backend.ctx, nobody, 1, &error), 0);
    assert_int_equal(ledger_info(node->ledger, &info, NULL), 0);
    assert_true(info.height > 3);
    make_snapshot(member, "1");
    make_snapshot(member, "2");
    make_snapshot(member, "999999");
    make_snapshot(member, "other");
    assert_int_equal(backend.snapshot(backend.ctx), 2);
    assert_false(backend.quitting(backend.ctx));
    assert_int_equal(hm_write_all(node->quit_fd, &one, sizeof(one), NULL), 0);
    assert_true(backend.quitting(backend.ctx));
    assert_int_equal(read(node->quit_fd, &drained, sizeof(drained)), sizeof(drained));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_newcomer_is_paid_and_reads, member_setup,
                                        member_teardown),
        cmocka_unit_test_setup_teardown(test_what_the_door_asks, member_setup, member_teardown),
    };

    return cmocka_run_group_tests_name("node_door_backend", tests, NULL, NULL);
}
