/* Nodes that measure each other over real sockets, and one thread that computes links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_config.h"
#include "ledger.h"
#include "witness_links.h"
#include "witness.h"
#include "wire.h"

#define NODES    3
#define WAIT_MS  20000
#define SHIFT_MS 30000

struct one {
    struct crypto_ed25519_key key;
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    char place[64], peer[128];
    int64_t shift_ms;
    struct hm_clock clock;
    struct witness *witness;
};

struct mesh {
    struct one nodes[NODES];
};

static uint64_t shifted_ms(void *ctx)
{
    const struct one *one = ctx;

    return (uint64_t)((int64_t)hm_wall_ms(hm_clock_system()) + one->shift_ms);
}

static uint64_t mono_ns(void *ctx)
{
    (void)ctx;
    return hm_mono_ns(hm_clock_system());
}

/* A UDP port of loopback that is free now; *fd holds it. */
static unsigned free_port(int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t len = sizeof(address);

    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(*fd >= 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void one_make(struct one *one, uint8_t seed)
{
    char id[ENGINE_NODE_ID_DIGITS + 1];
    uint8_t bytes[CRYPTO_SEED_BYTES];
    int fd;

    memset(bytes, seed, sizeof(bytes));
    crypto_ed25519_from_seed(&one->key, bytes);
    assert_int_equal(engine_config_address(one->key.public_key, one->id, NULL), 0);
    assert_int_equal(engine_config_node_id(one->key.public_key, id, NULL), 0);
    snprintf(one->place, sizeof(one->place), "127.0.0.1:%u", free_port(&fd));
    close(fd);
    snprintf(one->peer, sizeof(one->peer), "%s@%s", id, one->place);
    one->clock = (struct hm_clock){.wall_ms = shifted_ms, .mono_ns = mono_ns, .ctx = one};
}

/* --- a name server that takes its time ------------------------------------------------------------------- */

#define SLOW_HOST "slow.test"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool holds; /* who asks for the name waits */
    unsigned asking;
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void slow_hold(bool holds)
{
    pthread_mutex_lock(&slow.lock);
    slow.holds = holds;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.lock);
}

static void slow_wait(unsigned asking)
{
    pthread_mutex_lock(&slow.lock);
    while (slow.asking != asking)
        pthread_cond_wait(&slow.changed, &slow.lock);
    pthread_mutex_unlock(&slow.lock);
}

static void slow_ask(void)
{
    pthread_mutex_lock(&slow.lock);
    slow.asking++;
    pthread_cond_broadcast(&slow.changed);
    while (slow.holds)
        pthread_cond_wait(&slow.changed, &slow.lock);
    slow.asking--;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.lock);
}

/* In the C library's place. */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    bool is_slow = name != NULL && strcmp(name, SLOW_HOST) == 0;

    if (is_slow && (hints->ai_flags & AI_NUMERICHOST) != 0)
        return EAI_NONAME;
    if (is_slow)
        slow_ask();
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(is_slow ? "127.0.0.1" : name, service, hints, out);
}

/* The peer by a name instead of an address. */
static void one_by_name(const struct one *one, char *out, size_t size)
{
    snprintf(out, size, "%.*s@%s:%s", ENGINE_NODE_ID_DIGITS, one->peer, SLOW_HOST,
             strrchr(one->place, ':') + 1);
}

/* --- nodes -------------------------------------------------------------------------------------------------- */

static void one_open(struct one *one, const char *chain, const char *const *peers, size_t count)
{
    struct witness_options options = {.key = &one->key,
                                      .chain_id = chain,
                                      .listen = one->place,
                                      .peers = peers,
                                      .peer_count = count,
                                      .clock = &one->clock,
                                      .random = hm_random_system()};

    memset(options.validator, one->id[0], sizeof(options.validator));
    assert_int_equal(witness_open(&options, &one->witness, NULL), 0);
}

static int setup(void **state)
{
    struct mesh *mesh = hm_calloc(1, sizeof(*mesh));

    assert_non_null(mesh);
    assert_int_equal(crypto_setup(NULL), 0);
    hm_log_setup(-1, HM_LOG_ERROR, false);
    for (size_t i = 0; i < NODES; i++)
        one_make(&mesh->nodes[i], (uint8_t)(10 + i));
    *state = mesh;
    return 0;
}

static int teardown(void **state)
{
    struct mesh *mesh = *state;

    for (size_t i = 0; i < NODES; i++)
        witness_close(mesh->nodes[i].witness);
    hm_free(mesh);
    return 0;
}

static Hypermesh__VoteWitness *say(struct one *one, struct hm_arena *arena)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    Hypermesh__VoteWitness *vote = NULL;

    assert_int_equal(witness_pack(one->witness, &packed), 0);
    assert_int_equal(ledger_witness_check(hm_buf_slice(&packed), NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__vote_witness, hm_buf_slice(&packed),
                                 LEDGER_WITNESS_MAX_BYTES, arena, &vote, NULL),
                     0);
    assert_memory_equal(vote->node.data, one->id, sizeof(one->id));
    return vote;
}

/* Until it tells of so many others. */
static Hypermesh__VoteWitness *wait_for(struct one *one, size_t count, struct hm_arena *arena)
{
    Hypermesh__VoteWitness *vote = say(one, arena);

    for (int i = 0; vote->n_echoes < count && i < WAIT_MS / 10; i++) {
        usleep(10000);
        hm_arena_clear(arena);
        vote = say(one, arena);
    }
    assert_int_equal(vote->n_echoes, count);
    return vote;
}

static const Hypermesh__WitnessEcho *echo_of(const Hypermesh__VoteWitness *vote,
                                             const struct one *one)
{
    for (size_t i = 0; i < vote->n_echoes; i++)
        if (memcmp(vote->echoes[i]->node.data, one->id, sizeof(one->id)) == 0)
            return vote->echoes[i];
    fail_msg("no echo");
    return NULL;
}

/* The third is named to nobody: it asks, and so the others come to know it. */
static void test_each_sees_the_others(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct mesh *mesh = *state;
    struct one *nodes = mesh->nodes;
    const char *others[] = {nodes[0].peer, nodes[1].peer, nodes[2].peer}; /* also itself */
    struct witness_stats stats;

    hm_arena_init(&arena, 0);
    nodes[1].shift_ms = SHIFT_MS;
    one_open(&nodes[0], "chain", others, 2);
    one_open(&nodes[1], "chain", others, 2);
    one_open(&nodes[2], "chain", others, 3);
    const Hypermesh__VoteWitness *vote = wait_for(&nodes[0], 2, &arena);
    assert_in_range(echo_of(vote, &nodes[1])->clock_ms, SHIFT_MS - 5000, SHIFT_MS + 5000);
    assert_in_range(echo_of(vote, &nodes[2])->clock_ms + 5000, 0, 10000);
    assert_in_range(echo_of(vote, &nodes[1])->rtt_us, 1, 5000000);
    vote = wait_for(&nodes[2], 2, &arena);
    assert_in_range(echo_of(vote, &nodes[1])->clock_ms, SHIFT_MS - 5000, SHIFT_MS + 5000);
    vote = wait_for(&nodes[1], 2, &arena);
    assert_in_range(-echo_of(vote, &nodes[0])->clock_ms, SHIFT_MS - 5000, SHIFT_MS + 5000);
    assert_in_range(vote->clock_ms, hm_wall_ms(hm_clock_system()) + SHIFT_MS - 60000,
                    hm_wall_ms(hm_clock_system()) + SHIFT_MS + 60000);
    witness_get_stats(nodes[0].witness, &stats);
    assert_true(stats.listening);
    assert_int_equal(stats.peers, 2);
    assert_int_equal(stats.answering, 2);
    assert_true(stats.asked >= 2 && stats.answers >= 2 && stats.answered >= 1);
}

/* Sends bytes to a node from a port of its own, and waits until it has counted so many as refused. */
static void send_bad(struct one *to, const void *bytes, size_t len, uint64_t refused)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    struct witness_stats stats;
    unsigned port;
    int fd;

    (void)free_port(&fd);
    assert_int_equal(sscanf(to->place, "127.0.0.1:%u", &port), 1);
    address.sin_port = htons((uint16_t)port);
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&address, sizeof(address)),
                     (ssize_t)len);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        witness_get_stats(to->witness, &stats);
        if (stats.refused >= refused)
            break;
        usleep(10000);
    }
    assert_int_equal(stats.refused, refused);
    assert_true(recv(fd, (uint8_t[1]){0}, 1, MSG_DONTWAIT) < 0); /* and not answered */
    close(fd);
}

/* Over a way without faults what is sent comes back. Who is no peer gets nothing back. */
static void test_ways_are_looked_at(void **state)
{
    struct mesh *mesh = *state;
    struct one *nodes = mesh->nodes;
    const char *others[] = {nodes[0].peer, nodes[1].peer};
    uint8_t chain[WITNESS_ECHO_CHAIN_BYTES], nonce[WITNESS_ECHO_NONCE_BYTES] = {1};
    uint8_t packet[WITNESS_LINK_BYTES];
    struct witness_way ways[WITNESS_WAYS_MAX];
    struct witness_stats stats = {0};

    one_open(&nodes[0], "chain", others, 2);
    one_open(&nodes[1], "chain", others, 2);
    for (int i = 0; stats.link_answered < 16 && i < WAIT_MS / 10; i++) {
        usleep(10000);
        witness_get_stats(nodes[0].witness, &stats);
    }
    assert_in_range(stats.link_answered, 16, stats.link_sent);
    assert_int_equal(stats.link_lost + stats.link_late + stats.link_twice, 0);
    assert_int_equal(stats.links_bad, 0);
    assert_int_equal(witness_get_ways(nodes[0].witness, ways), 1);
    assert_memory_equal(ways[0].node, nodes[1].id, sizeof(ways[0].node));
    assert_true(ways[0].packets >= 16 && !ways[0].bad && ways[0].lost == 0);
    witness_echo_chain("chain", chain);
    witness_link_write(WITNESS_LINK_ASK, chain, nonce, 0, packet);
    send_bad(&nodes[0], packet, sizeof(packet), 1);
    witness_link_write(WITNESS_LINK_ANSWER, chain, nonce, 0, packet); /* to no question */
    send_bad(&nodes[0], packet, sizeof(packet), 2);
}

/* By its node's key it says which validator it is, once it knows the ledger's chain. */
static void test_it_proves_who_votes(void **state)
{
    static const uint8_t chain_hash[CRYPTO_HASH_BYTES] = {1, 2, 3};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t digest[CRYPTO_HASH_BYTES], address[LEDGER_WITNESS_NODE_BYTES];
    struct mesh *mesh = *state;
    struct one *one = &mesh->nodes[0];
    Hypermesh__VoteWitness *vote;

    hm_arena_init(&arena, 0);
    one_open(one, "chain", NULL, 0);
    vote = say(one, &arena);
    assert_int_equal(vote->key.len, 0);
    assert_false(witness_is_proven(one->witness));
    witness_prove(one->witness, chain_hash);
    assert_true(witness_is_proven(one->witness));
    vote = say(one, &arena);
    memset(address, one->id[0], sizeof(address));
    ledger_witness_digest(chain_hash, address, digest);
    assert_int_equal(vote->proof.len, CRYPTO_ED25519_SIGNATURE_BYTES);
    assert_memory_equal(vote->key.data, one->key.public_key, sizeof(one->key.public_key));
    assert_int_equal(
        crypto_ed25519_verify(vote->key.data, digest, sizeof(digest), vote->proof.data), 0);
}

static void test_bad_packets_are_dropped(void **state)
{
    uint8_t chain[WITNESS_ECHO_CHAIN_BYTES], nonce[WITNESS_ECHO_NONCE_BYTES] = {1};
    uint8_t asked[WITNESS_ECHO_ASK_BYTES], answer[WITNESS_ECHO_ANSWER_BYTES];
    struct mesh *mesh = *state;
    struct one *nodes = mesh->nodes;
    struct witness_echo echo;
    struct witness_stats stats;

    one_open(&nodes[0], "chain", NULL, 0);
    witness_echo_chain("chain", chain);
    send_bad(&nodes[0], "x", 1, 1);
    send_bad(&nodes[0], "", 0, 2);
    /* An answer that nobody asked for. */
    witness_echo_write_ask(&nodes[0].key, chain, nonce, 5, asked);
    assert_int_equal(
        witness_echo_read(hm_slice_of(asked, sizeof(asked)), chain, WITNESS_ECHO_ASK, &echo), 0);
    witness_echo_write_answer(&nodes[1].key, chain, &echo, 5, answer);
    send_bad(&nodes[0], answer, sizeof(answer), 3);
    /* Its own question, a forged one, one of another chain. */
    send_bad(&nodes[0], asked, sizeof(asked), 4);
    witness_echo_write_ask(&nodes[1].key, chain, nonce, 5, asked);
    asked[100] ^= 1;
    send_bad(&nodes[0], asked, sizeof(asked), 5);
    witness_echo_chain("other", chain);
    witness_echo_write_ask(&nodes[1].key, chain, nonce, 5, asked);
    send_bad(&nodes[0], asked, sizeof(asked), 6);
    witness_get_stats(nodes[0].witness, &stats);
    assert_int_equal(stats.peers, 0);
    assert_int_equal(stats.answered, 0);
}

static void test_a_taken_port(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct mesh *mesh = *state;
    struct witness_stats stats;
    int fd;

    hm_arena_init(&arena, 0);
    snprintf(mesh->nodes[0].place, sizeof(mesh->nodes[0].place), "127.0.0.1:%u", free_port(&fd));
    one_open(&mesh->nodes[0], "chain", (const char *const[]){mesh->nodes[1].peer}, 1);
    assert_int_equal(say(&mesh->nodes[0], &arena)->n_echoes,
                     0); /* its clock it says all the same */
    witness_get_stats(mesh->nodes[0].witness, &stats);
    assert_false(stats.listening);
    witness_saw_block(mesh->nodes[0].witness);
    close(fd);
}

static void test_peers_that_make_no_sense(void **state)
{
    static const char *const wrong[] = {"127.0.0.1:1", "@127.0.0.1:1", "zz@127.0.0.1:1",
                                        "0123456789012345678901234567890123456@127.0.0.1:1"};
    struct mesh *mesh = *state;
    struct one *one = &mesh->nodes[0];

    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        const struct witness_options options = {.key = &one->key,
                                                .chain_id = "chain",
                                                .listen = one->place,
                                                .peers = &wrong[i],
                                                .peer_count = 1,
                                                .clock = &one->clock,
                                                .random = hm_random_system()};

        assert_int_equal(witness_open(&options, &one->witness, NULL), HM_EINVAL);
    }
    witness_close(NULL);
    witness_saw_block(NULL);
}

/* The others are measured meanwhile, and it is measured as soon as its name is known. */
static void test_a_name_that_takes_long(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct mesh *mesh = *state;
    struct one *nodes = mesh->nodes;
    char named[160];
    const char *others[] = {named, nodes[1].peer}, *asker[] = {nodes[0].peer};

    hm_arena_init(&arena, 0);
    one_by_name(&nodes[2], named, sizeof(named));
    slow_hold(true);
    one_open(&nodes[1], "chain", asker, 1);
    one_open(&nodes[2], "chain", NULL, 0);
    one_open(&nodes[0], "chain", others, 2);
    slow_wait(1);
    const Hypermesh__VoteWitness *vote = wait_for(&nodes[0], 1, &arena);
    (void)echo_of(vote, &nodes[1]);
    slow_hold(false);
    vote = wait_for(&nodes[0], 2, &arena);
    (void)echo_of(vote, &nodes[2]);
    slow_wait(0);
}

/* The node ends all the same. */
static void test_a_name_that_nobody_waits_for(void **state)
{
    struct mesh *mesh = *state;
    char named[160];
    const char *others[] = {named};

    one_by_name(&mesh->nodes[1], named, sizeof(named));
    slow_hold(true);
    one_open(&mesh->nodes[0], "chain", others, 1);
    slow_wait(1);
    witness_close(HM_TAKE(mesh->nodes[0].witness));
    slow_hold(false);
    slow_wait(0);
}

static int fill_once(void *ctx, void *out, size_t len)
{
    atomic_uint *asked = ctx;

    memset(out, 1, len);
    return atomic_fetch_add(asked, 1) == 0 ? 0 : -1;
}

/* It is asked again now and then, and the thread does its other work. */
static void test_no_random_bytes(void **state)
{
    struct mesh *mesh = *state;
    struct one *one = &mesh->nodes[0];
    atomic_uint asked = 0;
    const struct hm_random random = {.fill = fill_once, .ctx = &asked};
    const char *others[] = {mesh->nodes[1].peer};
    const struct witness_options options = {.key = &one->key,
                                            .chain_id = "chain",
                                            .listen = one->place,
                                            .peers = others,
                                            .peer_count = 1,
                                            .clock = &one->clock,
                                            .random = &random};

    assert_int_equal(witness_open(&options, &one->witness, NULL), 0);
    for (int i = 0; i < WAIT_MS / 10 && atomic_load(&asked) < 3; i++)
        usleep(10000);
    assert_in_range(atomic_load(&asked), 3, 10);
    send_bad(one, "x", 1, 1); /* packets are read */
    witness_close(HM_TAKE(one->witness)); /* before what it borrows is gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_sees_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ways_are_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_proves_who_votes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_packets_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_taken_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peers_that_make_no_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_name_that_takes_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_name_that_nobody_waits_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_random_bytes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
