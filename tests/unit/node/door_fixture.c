#include "door_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the engine's stand-in ------------------------------------------------------------------------------------ */

/* Answers each connection once, and keeps what it was asked. */
static void *engine_main(void *arg)
{
    static const char answer[] =
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" ENGINE_ID;
    struct door_place *place = arg;
    int fd;

    while ((fd = accept(place->engine_fd, NULL, NULL)) >= 0) {
        size_t len = 0;
        ssize_t got;

        while (len < sizeof(place->asked) - 1 && strchr(place->asked, '}') == NULL &&
               (got = read(fd, place->asked + len, sizeof(place->asked) - 1 - len)) > 0) {
            len += (size_t)got;
            place->asked[len] = '\0';
            if (strstr(place->asked, "}}") != NULL)
                break;
        }
        assert_int_equal(hm_write_all(fd, answer, sizeof(answer) - 1, NULL), 0);
        close(fd);
    }
    return NULL;
}

static void engine_start(struct door_place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(place->rpc, sizeof(place->rpc), "%s/rpc.sock", place->fixture->folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", place->rpc);
    place->engine_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(place->engine_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(place->engine_fd, 4), 0);
    assert_int_equal(pthread_create(&place->engine, NULL, engine_main, place), 0);
    snprintf(place->fixture->node->beside.socket_rpc,
             sizeof(place->fixture->node->beside.socket_rpc), "%s", place->rpc);
}

/* --- the place --------------------------------------------------------------------------------------------------- */

static void take_over(struct door_place *place, const char *name)
{
    HM_AUTOFREE char *from = hm_asprintf("%s/node0/%s", place->folder, name);
    HM_AUTOFREE char *to = hm_asprintf("%s/%s", place->fixture->folder, name);

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

static void read_genesis(struct door_place *place)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/engine/config/genesis.json", place->fixture->folder);
    HM_AUTOFREE char *keys = hm_asprintf("%s/validator", place->fixture->folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    assert_int_equal(hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &text, NULL), 0);
    crypto_hash(text.data, text.len, place->genesis_hash);
    assert_int_equal(engine_key_load(keys, ENGINE_NODE_KEY_NAME, &place->member, NULL), 0);
}

int door_place_setup(void **state)
{
    struct door_place *place = hm_calloc(1, sizeof(*place));
    void *fixture = NULL;

    assert_int_equal(node_fixture_setup(&fixture), 0);
    place->fixture = fixture;
    memcpy(place->folder, "/tmp/hm-door-XXXXXX", sizeof("/tmp/hm-door-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    assert_int_equal(node_cluster_create(place->folder, 1, UINT64_C(64) << 10, NULL,
                                         hm_clock_system(), hm_random_system(), &place->cluster,
                                         &place->error),
                     0);
    take_over(place, "engine");
    take_over(place, "validator");
    read_genesis(place);
    snprintf(place->door, sizeof(place->door), "127.0.0.1:%u", free_port());
    place->fixture->node->options.door_listen = place->door;
    place->fixture->node->options.p2p_listen = "127.0.0.1:26656";
    engine_start(place);
    assert_int_equal(node_door_open(place->fixture->node, &place->error), 0);
    *state = place;
    return 0;
}

int door_place_teardown(void **state)
{
    struct door_place *place = *state;
    void *fixture = place->fixture;

    node_door_close(place->fixture->node);
    shutdown(place->engine_fd, SHUT_RDWR);
    pthread_join(place->engine, NULL);
    close(place->engine_fd);
    assert_int_equal(node_fixture_teardown(&fixture), 0);
    assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    hm_free(place);
    return 0;
}

/* --- tickets ------------------------------------------------------------------------------------------------------ */

char *door_place_ticket(struct door_place *place, uint8_t number, enum ticket_flaw flaw)
{
    Hypermesh__Cluster__JoinTicket ticket = HYPERMESH__CLUSTER__JOIN_TICKET__INIT;
    Hypermesh__Cluster__IssuedTicket issued = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    Hypermesh__Cluster__JoinAddress address, *list[] = {&address};
    uint8_t id[NODE_TICKET_ID_BYTES] = {number}, secret[NODE_TICKET_SECRET_BYTES] = {number, 1};
    uint8_t hashed[CRYPTO_HASH_BYTES], other[CRYPTO_SEED_BYTES] = {3};
    struct crypto_ed25519_key key = place->member;
    uint64_t now_ms = hm_wall_ms(hm_clock_system());
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_buf text = {0};

    hm_arena_init(&arena, 0);
    crypto_hash(secret, sizeof(secret), hashed);
    assert_int_equal(node_ticket_address_parse(place->door, &arena, &address, NULL), 0);
    issued.id = ticket.id = wire_bytes(id, sizeof(id));
    issued.secret_hash = wire_bytes(hashed, sizeof(hashed));
    issued.expires_ms = ticket.expires_ms = flaw == FLAW_EXPIRED ? now_ms - 1 : now_ms + HOUR_MS;
    issued.funded = ticket.funded = true;
    issued.bond = ticket.bond = 5 * UNITS;
    issued.role = ticket.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR;
    assert_int_equal(
        node_tickets_add(&place->fixture->node->tickets, &issued, now_ms, &place->error), 0);
    secret[2] = flaw == FLAW_SECRET;
    ticket.secret = wire_bytes(secret, sizeof(secret));
    ticket.chain_id = place->cluster.chain_id;
    ticket.genesis_hash = ticket.trust_hash = wire_bytes(place->genesis_hash,
                                                         sizeof(place->genesis_hash));
    if (flaw == FLAW_CHAIN)
        ticket.genesis_hash = wire_bytes(hashed, sizeof(hashed));
    ticket.addresses = list;
    ticket.n_addresses = 1;
    ticket.trust_height = 1;
    if (flaw == FLAW_ISSUER)
        crypto_ed25519_from_seed(&key, other);
    assert_int_equal(node_ticket_write(&ticket, &key, &text, &place->error), 0);
    return (char *)(uintptr_t)hm_buf_cstr(&text);
}

int door_place_join(struct door_place *place, const char *name, const char *ticket,
                    struct hm_arena *arena, struct node_join_result *out)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/%s", place->folder, name);
    const struct node_join_options options = {
        .data_dir = folder, .ticket = ticket, .random = hm_random_system()};

    place->error = (struct hm_error){0};
    return node_join(&options, arena, out, &place->error);
}

bool door_place_has(struct door_place *place, const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", place->folder, name);

    return access(path, F_OK) == 0;
}

uint64_t door_place_hyper(struct door_place *place, const uint8_t id[WIRE_ID_BYTES])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Account *account;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(place->fixture->node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_account(view, id, &arena, &account, NULL), 0);
    ledger_view_close(view);
    return account->hyper;
}

/* As after a loss of the last answer. */
void door_place_mark(struct door_place *place, const char *name, const char *word)
{
    HM_AUTOFREE char *mark = hm_asprintf("%s/%s/joining", place->folder, name);
    HM_CLEANUP(hm_buf) struct hm_buf said = {0}, next = {0};

    assert_int_equal(hm_file_read(mark, 256, &said, NULL), 0);
    assert_int_equal(hm_buf_printf(&next, "%s%s", word, strchr(hm_buf_cstr(&said), ' ')), 0);
    assert_int_equal(hm_file_replace(mark, next.data, next.len, 0600, NULL), 0);
}

struct node_knock *door_place_knock(struct door_place *place, const struct crypto_ed25519_key *own)
{
    struct node_knock *out = NULL;
    struct sockaddr_in6 at;

    assert_int_equal(stoq_address_parse(place->door, 0, &at, NULL), 0);
    assert_int_equal(node_knock_open(own, place->member.public_key, &at, 1, &out, &place->error),
                     0);
    return out;
}
