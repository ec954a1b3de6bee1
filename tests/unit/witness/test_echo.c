/* Packets that measure distances, and the table of whom they go to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "witness_echo_peers.h"

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

static const uint64_t wall_ms = UINT64_C(1700000000000);

struct pair {
    struct crypto_ed25519_key asker, other;
    uint8_t chain[WITNESS_ECHO_CHAIN_BYTES];
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    uint8_t ask[WITNESS_ECHO_ASK_BYTES];
    uint8_t answer[WITNESS_ECHO_ANSWER_BYTES];
};

static void key_of(uint8_t seed, struct crypto_ed25519_key *out)
{
    uint8_t bytes[CRYPTO_SEED_BYTES];

    memset(bytes, seed, sizeof(bytes));
    crypto_ed25519_from_seed(out, bytes);
}

static void pair_make(struct pair *pair)
{
    struct witness_echo asked;

    assert_int_equal(crypto_setup(NULL), 0);
    key_of(1, &pair->asker);
    key_of(2, &pair->other);
    witness_echo_chain("chain", pair->chain);
    memset(pair->nonce, 7, sizeof(pair->nonce));
    witness_echo_write_ask(&pair->asker, pair->chain, pair->nonce, wall_ms, pair->ask);
    assert_int_equal(witness_echo_read(hm_slice_of(pair->ask, sizeof(pair->ask)), pair->chain,
                                       WITNESS_ECHO_ASK, &asked),
                     0);
    witness_echo_write_answer(&pair->other, pair->chain, &asked, wall_ms + 5, pair->answer);
}

/* Read and signed. */
static bool is_good(const struct pair *pair, const uint8_t *bytes, size_t len,
                    enum witness_echo_kind kind)
{
    const uint8_t *asker = kind == WITNESS_ECHO_ANSWER ? pair->asker.public_key : NULL;
    struct witness_echo echo;

    return witness_echo_read(hm_slice_of(bytes, len), pair->chain, kind, &echo) == 0 &&
           witness_echo_check(hm_slice_of(bytes, len), kind, asker) == 0;
}

/* --- packets --------------------------------------------------------------------------------------------- */

static void test_question_and_answer(void **state)
{
    struct witness_echo echo;
    struct pair pair;

    (void)state;
    pair_make(&pair);
    assert_true(sizeof(pair.answer) < sizeof(pair.ask));
    assert_true(is_good(&pair, pair.ask, sizeof(pair.ask), WITNESS_ECHO_ASK));
    assert_true(is_good(&pair, pair.answer, sizeof(pair.answer), WITNESS_ECHO_ANSWER));
    assert_int_equal(witness_echo_read(hm_slice_of(pair.answer, sizeof(pair.answer)), pair.chain,
                                       WITNESS_ECHO_ANSWER, &echo),
                     0);
    assert_memory_equal(echo.nonce, pair.nonce, sizeof(echo.nonce));
    assert_memory_equal(echo.key, pair.other.public_key, sizeof(echo.key));
    assert_int_equal(echo.clock_ms, wall_ms + 5);
}

/* No bit can be changed, no byte cut off or put on, and no kind stands for the other. */
static void test_changed_packets_are_refused(void **state)
{
    struct pair pair;
    uint8_t bytes[WITNESS_ECHO_ASK_BYTES + 1] = {0};

    (void)state;
    pair_make(&pair);
    for (size_t i = 0; i < 8 * sizeof(pair.ask); i++) {
        memcpy(bytes, pair.ask, sizeof(pair.ask));
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        if (is_good(&pair, bytes, sizeof(pair.ask), WITNESS_ECHO_ASK))
            fail_msg("a question with bit %zu changed is taken", i);
    }
    for (size_t i = 0; i < 8 * sizeof(pair.answer); i++) {
        memcpy(bytes, pair.answer, sizeof(pair.answer));
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        if (is_good(&pair, bytes, sizeof(pair.answer), WITNESS_ECHO_ANSWER))
            fail_msg("an answer with bit %zu changed is taken", i);
    }
    memcpy(bytes, pair.ask, sizeof(pair.ask));
    bytes[sizeof(pair.ask)] = 0;
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        if (len != sizeof(pair.ask))
            assert_false(is_good(&pair, bytes, len, WITNESS_ECHO_ASK));
        assert_false(is_good(&pair, bytes, len, WITNESS_ECHO_ANSWER));
    }
}

static void test_others_packets_are_refused(void **state)
{
    struct pair pair, foreign;
    struct witness_echo echo;
    struct hm_slice answer = hm_slice_of(pair.answer, sizeof(pair.answer));

    (void)state;
    pair_make(&pair);
    foreign = pair;
    witness_echo_chain("chain2", foreign.chain);
    assert_memory_not_equal(foreign.chain, pair.chain, sizeof(pair.chain));
    assert_int_equal(witness_echo_read(answer, foreign.chain, WITNESS_ECHO_ANSWER, &echo),
                     HM_ENOTFOUND);
    /* An answer to somebody else with the same nonce is none to us. */
    assert_int_equal(witness_echo_check(answer, WITNESS_ECHO_ANSWER, pair.other.public_key),
                     HM_EAUTH);
    /* What the key signs for its connections, or to prove whose node it is, has 32 bytes: never these. */
    uint8_t digest[CRYPTO_HASH_BYTES] = {0};
    crypto_ed25519_sign(&pair.other, digest, sizeof(digest), pair.answer + 80);
    assert_false(is_good(&pair, pair.answer, sizeof(pair.answer), WITNESS_ECHO_ANSWER));
}

/* --- the table ------------------------------------------------------------------------------------------- */

struct table {
    struct witness_echo_peers peers;
    uint64_t now_ns;
};

static const uint8_t table_own[WITNESS_ECHO_ID_BYTES] = {9, 9};

static struct table *table_make(void)
{
    static const uint8_t secret[CRYPTO_KEY_BYTES] = {3};
    struct table *table = hm_calloc(1, sizeof(*table));

    assert_non_null(table);
    assert_int_equal(crypto_setup(NULL), 0);
    witness_echo_peers_init(&table->peers, table_own, secret);
    table->now_ns = 1000 * S;
    return table;
}

static const uint8_t *id_of(unsigned number)
{
    static uint8_t id[WITNESS_ECHO_ID_BYTES];

    memset(id, 0, sizeof(id));
    id[0] = (uint8_t)(number >> 8);
    id[1] = (uint8_t)number;
    return id;
}

static struct witness_echo_place place_at(uint32_t address, uint16_t port)
{
    struct witness_echo_place place = {.port = port};

    place.ip[10] = place.ip[11] = 0xff;
    hm_put_be32(place.ip + 12, address);
    return place;
}

static void name_peer(struct table *table, unsigned number)
{
    const struct witness_echo_place place = place_at(0x0a000000 + number, 26656);

    assert_int_equal(witness_echo_peers_name(&table->peers, id_of(number), &place, table->now_ns),
                     0);
}

/* Asks the one that is due, and it answers after so long with a clock that is off by so much. */
static void ask(struct table *table, unsigned number, uint64_t rtt_ns, int64_t off_ms)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    struct witness_echo_peer *peer;
    uint64_t wait_ns;

    peer = witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns);
    assert_non_null(peer);
    assert_memory_equal(peer->id, id_of(number), sizeof(peer->id));
    hm_put_be64(nonce, table->now_ns);
    hm_put_be64(nonce + 8, number);
    witness_echo_peer_asked(peer, nonce, table->now_ns);
    if (rtt_ns == 0)
        return;
    uint64_t at_ns = table->now_ns + rtt_ns;
    uint64_t at_ms = wall_ms + at_ns / MS;
    assert_ptr_equal(witness_echo_peers_waiting(&table->peers, nonce, at_ns), peer);
    witness_echo_peer_answered(peer, (uint64_t)((int64_t)(at_ms - rtt_ns / 2 / MS) + off_ms), at_ms,
                               at_ns);
    assert_null(witness_echo_peers_waiting(&table->peers, nonce, at_ns)); /* once only */
}

static size_t see(const struct table *table, struct witness_echo_seen out[WITNESS_ECHO_PEERS_MAX])
{
    return witness_echo_peers_see(&table->peers, table->now_ns, out);
}

static void test_least_of_the_last_counts(void **state)
{
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    struct table *table = table_make();

    (void)state;
    name_peer(table, 1);
    assert_int_equal(see(table, seen), 0);
    for (unsigned i = 0; i < WITNESS_ECHO_SAMPLES; i++) {
        uint64_t rtt_ms = i == 0 ? 12 : i == 1 ? 30 : 50 + i;

        ask(table, 1, rtt_ms * MS, (int64_t)rtt_ms * 5);
        table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    }
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].rtt_us, 12000);
    assert_int_equal(seen[0].clock_ms, 60);
    /* The next ones put the first ones out. */
    ask(table, 1, 60 * MS, -3);
    table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].rtt_us, 30000);
    ask(table, 1, 45 * MS, -3);
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].rtt_us, 45000);
    /* Nothing lasts for ever. */
    table->now_ns += WITNESS_ECHO_FRESH_NS - S;
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].rtt_us, 45000);
    assert_int_equal(seen[0].clock_ms, -3);
    table->now_ns += 60 * S;
    assert_int_equal(see(table, seen), 0);
    hm_free(table);
}

/* What was measured before says nothing of it, however short the way was then; a long way is no such sign. */
static void test_a_clock_that_is_set(void **state)
{
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    struct table *table = table_make();

    (void)state;
    name_peer(table, 1);
    for (unsigned i = 0; i < WITNESS_ECHO_SAMPLES; i++) {
        ask(table, 1, 1 * MS, 3);
        table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    }
    ask(table, 1, 3000 * MS, 2000);
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].clock_ms, 3);
    table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    ask(table, 1, 20 * MS, -30000);
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].clock_ms, -30000);
    assert_int_equal(seen[0].rtt_us, 20000);
    table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    ask(table, 1, 10 * MS, -30004);
    assert_int_equal(see(table, seen), 1);
    assert_int_equal(seen[0].clock_ms, -30004);
    hm_free(table);
}

static bool news(struct table *table, uint64_t rtt_ns, int64_t off_ms, int64_t *told_ms)
{
    ask(table, 1, rtt_ns, off_ms);
    bool is = witness_echo_peer_news(&table->peers.list[0], table->now_ns + rtt_ns, told_ms);
    table->now_ns += WITNESS_ECHO_ACTIVE_NS;
    return is;
}

/* Told once when it goes wrong, at the first answer, and once when it is right again; a clock that is set to and fro fills no log. */
static void test_a_wrong_clock_is_told(void **state)
{
    struct table *table = table_make();
    unsigned told = 0;
    int64_t ms = 0;

    (void)state;
    name_peer(table, 1);
    assert_false(news(table, 2 * MS, 1999, &ms));
    assert_true(news(table, 2 * MS, -30000, &ms));
    assert_in_range(-ms, 29998, 30002);
    assert_true(table->peers.list[0].doubted);
    assert_false(news(table, 2 * MS, -30000, &ms));
    table->now_ns += WITNESS_ECHO_TELL_NS;
    assert_true(news(table, 2 * MS, 0, &ms));
    assert_false(table->peers.list[0].doubted);
    assert_false(news(table, 2 * MS, 0, &ms));
    for (unsigned i = 0; i < 40; i++)
        told += news(table, 2 * MS, i % 2 == 0 ? 30000 : 0, &ms);
    assert_in_range(told, 1, 5); /* in twenty seconds */
    hm_free(table);
}

/* A way so long that it may be the reason proves nothing. */
static void test_a_long_way_is_no_wrong_clock(void **state)
{
    struct table *table = table_make();
    int64_t ms = 0;

    (void)state;
    name_peer(table, 1);
    assert_false(news(table, 4000 * MS, 3500, &ms));
    hm_free(table);
}

static void test_clocks_that_are_far_off(void **state)
{
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    struct table *table = table_make();
    uint64_t wait_ns;

    (void)state;
    name_peer(table, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct witness_echo_peer *peer = witness_echo_peers_due(&table->peers, table->now_ns, S,
                                                                &wait_ns);

        witness_echo_peer_asked(peer, (const uint8_t[WITNESS_ECHO_NONCE_BYTES]){1}, table->now_ns);
        witness_echo_peer_answered(peer, i == 0 ? UINT64_MAX : 0, i == 0 ? 0 : UINT64_MAX,
                                   table->now_ns + 2 - i);
        table->now_ns += S;
        assert_int_equal(see(table, seen), 1);
        assert_int_equal(seen[0].rtt_us, 1); /* never 0 */
        assert_int_equal(seen[0].clock_ms,
                         i == 0 ? WITNESS_ECHO_OFFSET_MAX_MS : -WITNESS_ECHO_OFFSET_MAX_MS);
    }
    hm_free(table);
}

static void test_answers_to_no_question(void **state)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES] = {0};
    struct table *table = table_make();

    (void)state;
    name_peer(table, 1);
    name_peer(table, 2);
    assert_null(
        witness_echo_peers_waiting(&table->peers, nonce, table->now_ns)); /* none was asked */
    ask(table, 1, 0, 0);
    hm_put_be64(nonce, table->now_ns);
    hm_put_be64(nonce + 8, 1);
    assert_non_null(witness_echo_peers_waiting(&table->peers, nonce, table->now_ns + S));
    assert_null(witness_echo_peers_waiting(
        &table->peers, nonce, table->now_ns + WITNESS_ECHO_WAIT_NS + 1)); /* too late */
    nonce[15] ^= 1;
    assert_null(witness_echo_peers_waiting(&table->peers, nonce, table->now_ns + S));
    hm_free(table);
}

static void test_each_is_asked_in_time(void **state)
{
    struct table *table = table_make();
    uint64_t wait_ns;

    (void)state;
    assert_null(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns));
    assert_int_equal(wait_ns, UINT64_MAX);
    name_peer(table, 2);
    name_peer(table, 1);
    assert_int_equal(witness_echo_peers_name(&table->peers, table_own, NULL, table->now_ns), 0);
    assert_int_equal(witness_echo_peers_name(&table->peers, id_of(3), NULL, table->now_ns), 0);
    assert_int_equal(table->peers.count, 3); /* itself is not among them */
    ask(table, 1, 0, 0);
    ask(table, 2, 0, 0);
    table->now_ns += S;
    assert_null(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns));
    assert_int_equal(wait_ns, 4 * S);
    assert_null(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_IDLE_NS, &wait_ns));
    assert_int_equal(wait_ns, 59 * S);
    hm_free(table);
}

static void test_who_asks_is_learned(void **state)
{
    const struct witness_echo_place here = place_at(0x7f000001, 1000), there = place_at(5, 1000);
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    struct table *table = table_make();
    struct witness_echo_peer *peer;
    uint64_t wait_ns;

    (void)state;
    /* Whoever was never heard is asked once for each question, and not answered: its address may be another's. */
    peer = witness_echo_peers_heard(&table->peers, id_of(5), &here, wall_ms, table->now_ns);
    assert_non_null(peer);
    assert_null(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns));
    witness_echo_peer_asked(peer, (const uint8_t[WITNESS_ECHO_NONCE_BYTES]){1}, table->now_ns);
    table->now_ns += 10 * S;
    assert_null(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns));
    /* It answers: it is there. */
    witness_echo_peer_answered(peer, wall_ms, wall_ms, table->now_ns);
    assert_int_equal(see(table, seen), 1);
    assert_null(
        witness_echo_peers_heard(&table->peers, id_of(5), &here, wall_ms + 1, table->now_ns));
    assert_ptr_equal(
        witness_echo_peers_due(&table->peers, table->now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns),
        peer);
    /* The question again, or a newer one, from elsewhere does not move it while it answers. */
    assert_null(
        witness_echo_peers_heard(&table->peers, id_of(5), &there, wall_ms + 9, table->now_ns));
    assert_memory_equal(&peer->place, &here, sizeof(here));
    table->now_ns += WITNESS_ECHO_FRESH_NS + S;
    assert_null(
        witness_echo_peers_heard(&table->peers, id_of(5), &there, wall_ms + 9, table->now_ns));
    assert_non_null(
        witness_echo_peers_heard(&table->peers, id_of(5), &there, wall_ms + 10, table->now_ns));
    assert_memory_equal(&peer->place, &there, sizeof(there));
    /* A named one stays where it was named. */
    name_peer(table, 6);
    assert_null(
        witness_echo_peers_heard(&table->peers, id_of(6), &there, wall_ms + 99, table->now_ns));
    ask(table, 6, 1 * MS, 0);
    assert_null(witness_echo_peers_heard(&table->peers, table_own, &there, wall_ms, table->now_ns));
    assert_int_equal(table->peers.count, 2); /* not itself */
    witness_echo_peers_forget(&table->peers, table->now_ns);
    assert_int_equal(table->peers.count, 1); /* 5 answers no longer, and nobody named it */
    hm_free(table);
}

/* How many of `count` strangers, `a_block` of each /24, are taken up. */
static unsigned hear(struct table *table, unsigned first, unsigned count, unsigned a_block)
{
    unsigned added = 0;

    for (unsigned i = 0; i < count; i++) {
        struct witness_echo_place place = place_at(((first + i) / a_block) << 8 | (i % a_block), 1);

        added += witness_echo_peers_heard(&table->peers, id_of(first + i), &place, wall_ms,
                                          table->now_ns) != NULL;
    }
    return added;
}

static bool has(const struct table *table, unsigned number)
{
    for (size_t i = 0; i < table->peers.count; i++)
        if (memcmp(table->peers.list[i].id, id_of(number), WITNESS_ECHO_ID_BYTES) == 0)
            return true;
    return false;
}

static void test_one_network_cannot_fill_it(void **state)
{
    const struct witness_echo_place near = place_at(0xff, 9), far = place_at(0x99ff, 9);
    struct table *table = table_make();
    unsigned added = 0;

    (void)state;
    assert_int_equal(hear(table, 0, 256, 256), WITNESS_ECHO_BLOCK_MAX);
    for (unsigned i = 0; i < 256; i++) {
        struct witness_echo_place place = {.ip = {0x20, 1}, .port = (uint16_t)i};

        hm_put_be32(place.ip + 8, i); /* of one /64 */
        added += witness_echo_peers_heard(&table->peers, id_of(1000 + i), &place, wall_ms,
                                          table->now_ns) != NULL;
    }
    assert_int_equal(added, WITNESS_ECHO_BLOCK_MAX);
    assert_int_equal(table->peers.count, 2 * WITNESS_ECHO_BLOCK_MAX);
    /* Nobody comes in from elsewhere and moves there; where he is he may stay. */
    assert_non_null(
        witness_echo_peers_heard(&table->peers, id_of(3000), &far, wall_ms, table->now_ns));
    assert_null(
        witness_echo_peers_heard(&table->peers, id_of(3000), &near, wall_ms + 1, table->now_ns));
    assert_non_null(
        witness_echo_peers_heard(&table->peers, id_of(3000), &far, wall_ms + 2, table->now_ns));
    /* Within it one may move. */
    assert_non_null(
        witness_echo_peers_heard(&table->peers, id_of(3), &near, wall_ms + 1, table->now_ns));
    hm_free(table);
}

/* Who asked first, and from wherever, does not keep out the cluster's own. */
static void test_the_ledgers_nodes_come_first(void **state)
{
    uint8_t ids[WITNESS_ECHO_LEARNED_MAX + 1][WITNESS_ECHO_ID_BYTES];
    struct table *table = table_make();
    struct witness_echo_peer *peer;

    (void)state;
    for (unsigned i = 0; i < HM_COUNT_OF(ids); i++)
        memcpy(ids[i], id_of(2000 + i), WITNESS_ECHO_ID_BYTES);
    assert_int_equal(hear(table, 0, WITNESS_ECHO_LEARNED_MAX, 1), WITNESS_ECHO_LEARNED_MAX);
    for (unsigned i = 0; i < WITNESS_ECHO_LEARNED_MAX; i++)
        if (i != 7) { /* all of them but one answer */
            peer = &table->peers.list[i];
            witness_echo_peer_asked(peer, (const uint8_t[WITNESS_ECHO_NONCE_BYTES]){1},
                                    table->now_ns);
            witness_echo_peer_answered(peer, wall_ms, wall_ms, table->now_ns);
        }
    assert_int_equal(hear(table, 2000, 1, 256), 0);
    witness_echo_peers_know(&table->peers, ids, HM_COUNT_OF(ids));
    assert_int_equal(hear(table, 2000, 1, 256), 1);
    assert_false(has(table, 7));
    assert_int_equal(table->peers.count, WITNESS_ECHO_LEARNED_MAX);
    /* All of one network, and no more of them than there is room for. */
    assert_int_equal(hear(table, 2001, HM_COUNT_OF(ids) - 1, 256), HM_COUNT_OF(ids) - 2);
    assert_int_equal(table->peers.count, WITNESS_ECHO_LEARNED_MAX);
    assert_false(has(table, 2000 + HM_COUNT_OF(ids) - 1));
    assert_int_equal(hear(table, 0, 1, 1), 0);
    for (size_t i = 1; i < table->peers.count; i++)
        assert_true(memcmp(table->peers.list[i - 1].id, table->peers.list[i].id,
                           WITNESS_ECHO_ID_BYTES) < 0);
    /* Whom the ledger shows no longer is a stranger again, and gives way. */
    witness_echo_peers_know(&table->peers, ids + HM_COUNT_OF(ids) - 1, 1);
    assert_int_equal(hear(table, 2000 + HM_COUNT_OF(ids) - 1, 1, 256), 1);
    assert_int_equal(table->peers.count, WITNESS_ECHO_LEARNED_MAX);
    /* Named ones never do. */
    for (unsigned i = 0; i < WITNESS_ECHO_PEERS_MAX - WITNESS_ECHO_LEARNED_MAX; i++)
        name_peer(table, 5000 + i);
    for (size_t i = 0; i < table->peers.count; i++)
        table->peers.list[i].named = true;
    witness_echo_peers_know(&table->peers, ids, 1);
    assert_false(has(table, 2000));
    assert_int_equal(hear(table, 2000, 1, 256), 0);
    assert_int_equal(table->peers.count, WITNESS_ECHO_PEERS_MAX);
    hm_free(table);
}

static void test_the_table_is_bounded(void **state)
{
    struct table *table = table_make();
    struct witness_echo_place place = place_at(1, 1);

    (void)state;
    assert_int_equal(hear(table, 0, 1000, 1), WITNESS_ECHO_LEARNED_MAX);
    for (unsigned i = 0; i < WITNESS_ECHO_PEERS_MAX - WITNESS_ECHO_LEARNED_MAX; i++)
        name_peer(table, 5000 + i);
    assert_int_equal(witness_echo_peers_name(&table->peers, id_of(9000), &place, table->now_ns),
                     HM_ELIMIT);
    assert_int_equal(table->peers.count, WITNESS_ECHO_PEERS_MAX);
    for (size_t i = 1; i < table->peers.count; i++)
        assert_true(memcmp(table->peers.list[i - 1].id, table->peers.list[i].id,
                           WITNESS_ECHO_ID_BYTES) < 0);
    table->now_ns += WITNESS_ECHO_FRESH_NS + S; /* they never answered */
    witness_echo_peers_forget(&table->peers, table->now_ns);
    assert_int_equal(table->peers.count, WITNESS_ECHO_PEERS_MAX - WITNESS_ECHO_LEARNED_MAX);
    hm_free(table);
}

/* Ten seconds of a flood, a packet each millisecond from `addresses` places; how many are looked at. */
static unsigned flood(struct table *table, uint32_t addresses)
{
    unsigned let = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        struct witness_echo_place place = place_at(0xc0000000 + i % addresses, (uint16_t)i);

        let += witness_echo_peers_lets(&table->peers, &place, table->now_ns);
        table->now_ns += MS;
    }
    return let;
}

static void test_a_flood_is_bounded(void **state)
{
    struct table *table = table_make();
    struct witness_echo_place known = place_at(0x0a000001, 26656);
    unsigned let = flood(table, 1);

    (void)state;
    assert_in_range(let, 10 * WITNESS_ECHO_RATE_ADDRESS,
                    10 * WITNESS_ECHO_RATE_ADDRESS + WITNESS_ECHO_BURST + 1);
    table->now_ns += 100 * S;
    name_peer(table, 1);
    let = flood(table, 100000);
    assert_in_range(let, 10 * WITNESS_ECHO_RATE_ALL / 2,
                    10 * WITNESS_ECHO_RATE_ALL + 16 * WITNESS_ECHO_BURST + 1);
    /* In the midst of it a peer is let through, and it has a bound of its own. */
    let = 0;
    for (unsigned i = 0; i < 1000; i++)
        let += witness_echo_peers_lets(&table->peers, &known, table->now_ns);
    assert_in_range(let, 1, WITNESS_ECHO_BURST + 1);
    hm_free(table);
}

/* Neighbours of one IPv6 network share a bound. */
static void test_a_flood_over_ipv6(void **state)
{
    struct table *table = table_make();
    unsigned let = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct witness_echo_place place = {.ip = {0x20, 1}, .port = 1};

        hm_put_be32(place.ip + 12, i);
        let += witness_echo_peers_lets(&table->peers, &place, table->now_ns);
    }
    assert_in_range(let, 1, WITNESS_ECHO_BURST + 1);
    hm_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_and_answer),
        cmocka_unit_test(test_changed_packets_are_refused),
        cmocka_unit_test(test_others_packets_are_refused),
        cmocka_unit_test(test_least_of_the_last_counts),
        cmocka_unit_test(test_a_clock_that_is_set),
        cmocka_unit_test(test_a_wrong_clock_is_told),
        cmocka_unit_test(test_a_long_way_is_no_wrong_clock),
        cmocka_unit_test(test_clocks_that_are_far_off),
        cmocka_unit_test(test_answers_to_no_question),
        cmocka_unit_test(test_each_is_asked_in_time),
        cmocka_unit_test(test_who_asks_is_learned),
        cmocka_unit_test(test_one_network_cannot_fill_it),
        cmocka_unit_test(test_the_ledgers_nodes_come_first),
        cmocka_unit_test(test_the_table_is_bounded),
        cmocka_unit_test(test_a_flood_is_bounded),
        cmocka_unit_test(test_a_flood_over_ipv6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
