#include "door_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int door_place_log_fd = -1;

/* --- the node's stand-in -------------------------------------------------------------------------------------- */

static int place_ready(void *ctx, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return 0;
}

static bool place_quitting(void *ctx)
{
    struct door_place *place = ctx;

    return atomic_load(&place->quitting);
}

static uint64_t place_snapshot(void *ctx)
{
    (void)ctx;
    return 0;
}

/* Under the lock. */
static struct door_account *place_account(struct door_place *place, const uint8_t id[WIRE_ID_BYTES])
{
    for (size_t i = 0; i < place->account_count; i++)
        if (memcmp(place->accounts[i].id, id, WIRE_ID_BYTES) == 0)
            return &place->accounts[i];
    if (place->account_count == DOOR_PLACE_ACCOUNTS)
        abort();
    memcpy(place->accounts[place->account_count].id, id, WIRE_ID_BYTES);
    return &place->accounts[place->account_count++];
}

uint64_t door_place_paid(struct door_place *place, const uint8_t id[WIRE_ID_BYTES])
{
    pthread_mutex_lock(&place->lock);
    uint64_t paid = place_account(place, id)->paid;
    pthread_mutex_unlock(&place->lock);
    return paid;
}

static int place_pay(void *ctx, const uint8_t account[WIRE_ID_BYTES], uint64_t amount,
                     struct hm_error *error)
{
    struct door_place *place = ctx;
    int rc = atomic_load(&place->pay_fails);

    if (rc != 0)
        return hm_fail(error, rc, "the purse is shut");
    pthread_mutex_lock(&place->lock);
    place_account(place, account)->paid += amount;
    pthread_mutex_unlock(&place->lock);
    return 0;
}

static int place_is_used(void *ctx, const uint8_t account[WIRE_ID_BYTES], bool *out,
                         struct hm_error *error)
{
    (void)error;
    *out = door_place_paid(ctx, account) > 0;
    return 0;
}

static int place_read(void *ctx, struct hm_slice json, struct hm_buf *out, struct hm_error *error)
{
    struct door_place *place = ctx;

    (void)error;
    pthread_mutex_lock(&place->lock);
    (void)snprintf(place->asked, sizeof(place->asked), "%.*s", (int)json.len,
                   (const char *)json.data);
    pthread_mutex_unlock(&place->lock);
    return hm_buf_append(out, ENGINE_ID, sizeof(ENGINE_ID) - 1);
}

bool door_place_asked(struct door_place *place, const char *json)
{
    pthread_mutex_lock(&place->lock);
    bool same = strcmp(place->asked, json) == 0;
    place->asked[0] = '\0';
    pthread_mutex_unlock(&place->lock);
    return same;
}

/* --- the place --------------------------------------------------------------------------------------------------- */

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

/* The engine's folder, and its keys, as a member's node has them. */
static void write_data(struct door_place *place)
{
    static const uint8_t node_seed[CRYPTO_SEED_BYTES] = {1}, seed[CRYPTO_SEED_BYTES] = {2};
    HM_AUTOFREE char *home = hm_asprintf("%s/engine", place->data);
    HM_AUTOFREE char *keys_dir = hm_asprintf("%s/" JOIN_KEYS_DIR, place->data);
    HM_AUTOFREE char *abci = hm_asprintf("%s/bft.sock", place->data);
    HM_AUTOFREE char *rpc = hm_asprintf("%s/rpc.sock", place->data);
    struct engine_genesis_validator one = {.power = 1, .name = "one"};
    const struct engine_genesis genesis = {.chain_id = CHAIN_ID,
                                           .time_ms = UINT64_C(1700000000000),
                                           .initial_height = 1,
                                           .validators = &one,
                                           .validator_count = 1,
                                           .app_state = hm_slice_str("a ledger"),
                                           .evidence_max_age_ms = HOUR_MS};
    const struct engine_config config = {.name = "one",
                                         .abci_socket = abci,
                                         .rpc_socket = rpc,
                                         .p2p_listen = "127.0.0.1:0",
                                         .keys_dir = keys_dir};
    struct crypto_ed25519_key validator;
    const struct engine_config_keys keys = {.node = &place->member, .validator = &validator};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    crypto_ed25519_from_seed(&place->member, node_seed);
    crypto_ed25519_from_seed(&validator, seed);
    memcpy(one.key, validator.public_key, sizeof(one.key));
    assert_int_equal(hm_mkdir_all(place->data, 0700, NULL), 0);
    assert_int_equal(engine_genesis_pack(&genesis, &text, &place->error), 0);
    crypto_hash(text.data, text.len, place->genesis_hash);
    assert_int_equal(engine_config_node_id(place->member.public_key, place->node_id, NULL), 0);
    assert_int_equal(engine_config_write(home, &config, hm_buf_slice(&text), &keys, &place->error),
                     0);
}

void door_place_open(struct door_place *place)
{
    if (join_door_open(&place->options, &place->door, &place->error) != 0)
        fail_msg("%s", place->error.text);
    assert_non_null(place->door);
}

void door_place_close(struct door_place *place)
{
    join_door_close(HM_TAKE(place->door));
}

int door_place_setup(void **state)
{
    struct door_place *place = hm_calloc(1, sizeof(*place));

    hm_log_setup(door_place_log_fd, door_place_log_fd < 0 ? HM_LOG_ERROR : HM_LOG_WARN, false);
    assert_int_equal(crypto_setup(NULL), 0);
    pthread_mutex_init(&place->lock, NULL);
    memcpy(place->folder, "/tmp/hm-door-XXXXXX", sizeof("/tmp/hm-door-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->data, sizeof(place->data), "%s/node0", place->folder);
    snprintf(place->tickets_path, sizeof(place->tickets_path), "%s/tickets", place->data);
    snprintf(place->at, sizeof(place->at), "127.0.0.1:%u", free_port());
    write_data(place);
    join_tickets_init(&place->tickets, place->tickets_path);
    place->options = (struct join_door_options){.data_dir = place->data,
                                                .listen = place->at,
                                                .p2p_listen = "127.0.0.1:26656",
                                                .tickets = &place->tickets,
                                                .clock = hm_clock_system(),
                                                .backend = {.ctx = place,
                                                            .ready = place_ready,
                                                            .quitting = place_quitting,
                                                            .snapshot = place_snapshot,
                                                            .pay = place_pay,
                                                            .is_used = place_is_used,
                                                            .read = place_read}};
    door_place_open(place);
    *state = place;
    return 0;
}

int door_place_teardown(void **state)
{
    struct door_place *place = *state;

    door_place_close(place);
    join_tickets_release(&place->tickets);
    pthread_mutex_destroy(&place->lock);
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
    uint8_t id[JOIN_TICKET_ID_BYTES] = {number}, secret[JOIN_TICKET_SECRET_BYTES] = {number, 1};
    uint8_t hashed[CRYPTO_HASH_BYTES], other[CRYPTO_SEED_BYTES] = {3};
    struct crypto_ed25519_key key = place->member;
    uint64_t now_ms = hm_wall_ms(hm_clock_system());
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_buf text = {0};

    hm_arena_init(&arena, 0);
    crypto_hash(secret, sizeof(secret), hashed);
    assert_int_equal(join_ticket_address_parse(place->at, &arena, &address, NULL), 0);
    issued.id = ticket.id = wire_bytes(id, sizeof(id));
    issued.secret_hash = wire_bytes(hashed, sizeof(hashed));
    issued.expires_ms = ticket.expires_ms = flaw == FLAW_EXPIRED ? now_ms - 1 : now_ms + HOUR_MS;
    issued.funded = ticket.funded = true;
    issued.bond = ticket.bond = 5 * UNITS;
    issued.role = ticket.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR;
    assert_int_equal(join_tickets_add(&place->tickets, &issued, now_ms, &place->error), 0);
    secret[2] = flaw == FLAW_SECRET;
    ticket.secret = wire_bytes(secret, sizeof(secret));
    ticket.chain_id = (char *)(uintptr_t)CHAIN_ID;
    ticket.genesis_hash = ticket.trust_hash = wire_bytes(place->genesis_hash,
                                                         sizeof(place->genesis_hash));
    if (flaw == FLAW_CHAIN)
        ticket.genesis_hash = wire_bytes(hashed, sizeof(hashed));
    ticket.addresses = list;
    ticket.n_addresses = 1;
    ticket.trust_height = 1;
    if (flaw == FLAW_ISSUER)
        crypto_ed25519_from_seed(&key, other);
    assert_int_equal(join_ticket_write(&ticket, &key, &text, &place->error), 0);
    return (char *)(uintptr_t)hm_buf_cstr(&text);
}

int door_place_join(struct door_place *place, const char *name, const char *ticket,
                    struct hm_arena *arena, struct join_result *out)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/%s", place->folder, name);
    const struct join_options options = {.data_dir = folder,
                                         .ticket = ticket,
                                         .operator_name = "operator",
                                         .user_name = "user",
                                         .random = hm_random_system()};

    place->error = (struct hm_error){0};
    return join_cluster(&options, arena, out, &place->error);
}

bool door_place_has(struct door_place *place, const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", place->folder, name);

    return access(path, F_OK) == 0;
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

struct join_knock *door_place_knock(struct door_place *place, const struct crypto_ed25519_key *own)
{
    struct join_knock *out = NULL;
    struct sockaddr_in6 at;

    assert_int_equal(stoq_address_parse(place->at, 0, &at, NULL), 0);
    assert_int_equal(join_knock_open(own, place->member.public_key, &at, 1, &out, &place->error),
                     0);
    return out;
}
