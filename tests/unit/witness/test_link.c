/* What a node sees of the ways to the others, in virtual time: trains of packets over ways that lose, reorder, double or delay them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "witness_links.h"

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

#define STEP_NS    (5 * MS)
#define LOOK_NS    (20 * MS) /* between two looks at what is told */
#define WAY_NS     (1 * MS) /* one direction, when nothing is wrong */
#define LATER_NS   (20 * MS) /* what is overtaken */
#define FLYING_MAX 512
#define NODES      4
#define SEEDS      200

/* --- a node and the ways to its peers ---------------------------------------------------------------------- */

struct flying {
    uint64_t at_ns; /* when the node may read it */
    uint64_t number; /* those of one moment stay in their order */
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    unsigned question;
};

/* Chances of one packet in one direction, in a thousand. */
struct fault {
    unsigned lost, late, twice;
    unsigned stall; /* in a step: that a peer, or the node, has no processor for a while */
    unsigned only; /* 1 and on: for that peer only */
};

struct node {
    struct witness_echo_peers peers;
    struct fault fault;
    uint64_t now_ns, random, sent;
    uint64_t way_ns[WITNESS_ECHO_PEERS_MAX][2]; /* what leaves now comes no earlier */
    uint64_t stalled_ns[WITNESS_ECHO_PEERS_MAX + 1]; /* nobody reads before; the last is the node */
    struct flying flying[FLYING_MAX];
    size_t flying_count;
    uint64_t numbers;
    bool cut;
    unsigned told[WITNESS_LINK_FAULTS], told_all[WITNESS_LINK_FAULTS], good;
    uint64_t looked_ns;
};

static uint64_t draw(struct node *node)
{
    node->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = node->random;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool happens(struct node *node, unsigned thousandth)
{
    return draw(node) % 1000 < thousandth;
}

static struct node *node_make(uint64_t seed, unsigned peers)
{
    static const uint8_t secret[CRYPTO_KEY_BYTES] = {1};
    struct node *node = hm_calloc(1, sizeof(*node));
    uint8_t id[WITNESS_ECHO_ID_BYTES] = {0};

    assert_non_null(node);
    node->random = seed * 1000003;
    node->now_ns = 100 * S + draw(node) % S;
    id[0] = (uint8_t)draw(node);
    witness_echo_peers_init(&node->peers, id, secret);
    for (unsigned i = 0; i < peers; i++) {
        const struct witness_echo_place place = {.ip = {10, (uint8_t)i}, .port = 1};

        memset(id, 0, sizeof(id));
        id[1] = (uint8_t)(i + 1);
        assert_int_equal(witness_echo_peers_name(&node->peers, id, &place, node->now_ns), 0);
    }
    return node;
}

/* How many copies arrive over that direction, and when. */
static unsigned cross(struct node *node, size_t peer, unsigned direction, uint64_t at_ns,
                      uint64_t out[2])
{
    bool hurt = node->fault.only == 0 || node->fault.only == peer + 1;
    uint64_t *way_ns = &node->way_ns[peer][direction];
    uint64_t late_ns = hurt && happens(node, node->fault.late) ? LATER_NS : 0;

    if (node->cut || (hurt && happens(node, node->fault.lost)))
        return 0;
    at_ns += WAY_NS;
    if (late_ns == 0)
        *way_ns = at_ns = at_ns > *way_ns ? at_ns : *way_ns;
    out[0] = out[1] = at_ns + late_ns;
    return hurt && happens(node, node->fault.twice) ? 2 : 1;
}

static void answer(struct node *node, size_t peer, const uint8_t *nonce, unsigned question,
                   uint64_t at_ns)
{
    uint64_t back_ns[2];

    if (at_ns < node->stalled_ns[peer])
        at_ns = node->stalled_ns[peer];
    unsigned copies = cross(node, peer, 1, at_ns, back_ns);
    for (unsigned i = 0; i < copies; i++) {
        assert_true(node->flying_count < FLYING_MAX);
        struct flying *flying = &node->flying[node->flying_count++];
        *flying = (struct flying){
            .at_ns = back_ns[i], .number = node->numbers++, .question = question};
        memcpy(flying->nonce, nonce, WITNESS_ECHO_NONCE_BYTES);
    }
}

static void send_trains(struct node *node)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES] = {0};
    struct witness_echo_peer *peer;
    struct flying late[2 * WITNESS_LINK_TRAIN_MAX];
    uint64_t there_ns[2], wait_ns;
    unsigned size, late_count = 0;

    while ((peer = witness_links_due(&node->peers, node->now_ns, &size, &wait_ns)) != NULL) {
        size_t at = (size_t)(peer - node->peers.list);

        hm_put_be64(nonce, draw(node));
        witness_links_sent(&node->peers, peer, nonce, size, node->now_ns);
        node->sent += size;
        for (unsigned i = 0; i < size; i++) {
            unsigned copies = cross(node, at, 0, node->now_ns, there_ns);

            for (unsigned copy = 0; copy < copies; copy++) /* late ones come after all others */
                if (there_ns[copy] <= node->way_ns[at][0])
                    answer(node, at, nonce, i, there_ns[copy]);
                else
                    late[late_count++] = (struct flying){.at_ns = there_ns[copy], .question = i};
        }
        for (unsigned i = 0; i < late_count; i++)
            answer(node, at, nonce, late[i].question, late[i].at_ns);
        late_count = 0;
    }
}

/* The next that is there; NULL: none. */
static struct flying *next_flying(struct node *node)
{
    struct flying *next = NULL;

    for (size_t i = 0; i < node->flying_count; i++) {
        struct flying *flying = &node->flying[i];

        if (flying->at_ns <= node->now_ns &&
            (next == NULL || flying->at_ns < next->at_ns ||
             (flying->at_ns == next->at_ns && flying->number < next->number)))
            next = flying;
    }
    return next;
}

static void receive(struct node *node)
{
    struct witness_links_news news;
    struct flying *flying;

    while ((flying = next_flying(node)) != NULL) {
        assert_true(
            witness_links_answered(&node->peers, flying->nonce, flying->question, node->now_ns));
        *flying = node->flying[--node->flying_count];
    }
    if (node->now_ns < node->looked_ns + LOOK_NS)
        return;
    node->looked_ns = node->now_ns;
    while (witness_links_news(&node->peers, node->now_ns, &news)) {
        assert_true(news.count <= news.packets && news.packets > 0);
        if (!news.bad) {
            node->good++;
            continue;
        }
        (news.peer != NULL ? node->told : node->told_all)[news.fault]++;
    }
}

static void run(struct node *node, uint64_t for_ns)
{
    for (uint64_t end_ns = node->now_ns + for_ns; node->now_ns < end_ns; node->now_ns += STEP_NS) {
        for (size_t i = 0; i <= node->peers.count; i++) {
            size_t who = i < node->peers.count ? i : WITNESS_ECHO_PEERS_MAX;

            if (happens(node, node->fault.stall))
                node->stalled_ns[who] = node->now_ns + 50 * MS + draw(node) % (250 * MS);
        }
        if (node->now_ns < node->stalled_ns[WITNESS_ECHO_PEERS_MAX])
            continue;
        receive(node);
        send_trains(node);
    }
}

static unsigned told(const struct node *node)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < WITNESS_LINK_FAULTS; i++)
        sum += node->told[i] + node->told_all[i];
    return sum;
}

/* --- packets ----------------------------------------------------------------------------------------------- */

static void test_packets(void **state)
{
    uint8_t chain[WITNESS_ECHO_CHAIN_BYTES] = {1}, other[WITNESS_ECHO_CHAIN_BYTES] = {2};
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES] = {3}, got[WITNESS_ECHO_NONCE_BYTES];
    uint8_t bytes[WITNESS_LINK_BYTES + 1] = {0};
    enum witness_link_packet kind;
    unsigned number;

    (void)state;
    witness_link_write(WITNESS_LINK_ANSWER, chain, nonce, 7, bytes);
    const struct hm_slice packet = hm_slice_of(bytes, WITNESS_LINK_BYTES);
    assert_int_equal(witness_link_read(packet, chain, &kind, got, &number), 0);
    assert_int_equal(kind, WITNESS_LINK_ANSWER);
    assert_memory_equal(got, nonce, sizeof(nonce));
    assert_int_equal(number, 7);
    assert_int_equal(witness_link_read(packet, other, &kind, got, &number), HM_ENOTFOUND);
    for (size_t len = 0; len <= sizeof(bytes); len++)
        if (len != WITNESS_LINK_BYTES)
            assert_int_equal(witness_link_read(hm_slice_of(bytes, len), chain, &kind, got, &number),
                             HM_EPARSE);
    for (size_t i = 0; i < WITNESS_LINK_BYTES; i++) {
        if (i >= 8 && i < 40)
            continue;
        bytes[i] ^= 0x88;
        assert_int_equal(witness_link_read(packet, chain, &kind, got, &number), HM_EPARSE);
        bytes[i] ^= 0x88;
    }
}

/* --- one way ----------------------------------------------------------------------------------------------- */

static const uint8_t first[WITNESS_ECHO_NONCE_BYTES] = {1}, second[WITNESS_ECHO_NONCE_BYTES] = {2},
                     third[WITNESS_ECHO_NONCE_BYTES] = {3};

static struct witness_link_count count_of(struct witness_link *link, uint64_t now_ns,
                                          struct witness_link_totals *totals)
{
    struct witness_link_count count = {0};

    witness_link_judge(link, now_ns, totals);
    witness_link_add(link, 0, UINT32_MAX, &count);
    return count;
}

static void test_lost_is_what_others_overtook(void **state)
{
    struct witness_link_totals totals = {0};
    struct witness_link link = {0};
    struct witness_link_count count;

    (void)state;
    assert_true(witness_link_answers(&link));
    witness_link_sent(&link, first, 3, S, &totals);
    assert_false(witness_link_answers(&link));
    assert_false(witness_link_answered(&link, second, 0, S, &totals)); /* nobody asked that */
    assert_false(witness_link_answered(&link, first, 3, S, &totals));
    count = count_of(&link, 100 * S, &totals); /* no answer at all says nothing */
    assert_int_equal(count.packets, 0);
    assert_true(witness_link_answered(&link, first, 1, 100 * S, &totals));
    assert_true(witness_link_answers(&link));
    count = count_of(&link, 100 * S + WITNESS_LINK_GRACE_NS - 1, &totals);
    assert_int_equal(count.packets, 1);
    assert_int_equal(count.of[WITNESS_LINK_LOST].count, 0);
    count = count_of(&link, 100 * S + WITNESS_LINK_GRACE_NS, &totals);
    assert_int_equal(count.packets, 2); /* the first is lost; the last may be on its way */
    assert_int_equal(count.of[WITNESS_LINK_LOST].count, 1);
    /* Of a train that is gone none counts, and its answers are no wonder. */
    witness_link_sent(&link, second, 3, 101 * S, &totals);
    witness_link_sent(&link, third, 3, 102 * S, &totals);
    assert_true(witness_link_answered(&link, third, 0, 102 * S, &totals));
    count = count_of(&link, 103 * S, &totals);
    assert_int_equal(count.packets, 4);
    assert_int_equal(count.of[WITNESS_LINK_LOST].count, 2);
    assert_int_equal(totals.of[WITNESS_LINK_LOST], 2);
    assert_int_equal(count_of(&link, 104 * S, &totals).of[WITNESS_LINK_LOST].count, 2); /* once */
    assert_int_equal(totals.of[WITNESS_LINK_LOST], 2);
    /* One that comes after all was only late. */
    assert_true(witness_link_answered(&link, first, 0, 104 * S, &totals));
    count = count_of(&link, 104 * S, &totals);
    assert_int_equal(count.of[WITNESS_LINK_LOST].count, 1);
    assert_int_equal(count.of[WITNESS_LINK_LATE].count, 1);
    assert_int_equal(count.of[WITNESS_LINK_TWICE].count, 0);
    assert_true(witness_link_answered(&link, first, 0, 104 * S, &totals));
    assert_true(witness_link_answered(&link, first, 0, 104 * S, &totals));
    count = count_of(&link, 104 * S, &totals);
    assert_int_equal(count.of[WITNESS_LINK_TWICE].count, 1);
    assert_int_equal(totals.sent, 9);
    assert_int_equal(totals.answered, 3);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(witness_link_size(0), 0);
    assert_int_equal(witness_link_size(3), 8);
    assert_int_equal(witness_link_size(16), 8);
    assert_int_equal(witness_link_size(17), 7);
    assert_int_equal(witness_link_size(64), 2);
    assert_int_equal(witness_link_size(65), 0);
    for (size_t peers = 1; peers <= WITNESS_ECHO_PEERS_MAX; peers++)
        assert_true(peers * witness_link_size(peers) <= WITNESS_LINK_ALL);
}

/* --- all ways ---------------------------------------------------------------------------------------------- */

/* How many in a thousand of the trials see it within a second: of a node, and of one of four nodes. */
static void seen_in_time(struct fault fault, unsigned *one, unsigned *any)
{
    unsigned nodes = 0, trials = 0;

    for (unsigned seed = 0; seed < SEEDS; seed++) {
        bool seen = false;

        for (unsigned i = 0; i < NODES; i++) {
            struct node *node = node_make(seed * NODES + i, NODES - 1);

            run(node, 3 * S);
            assert_int_equal(told(node), 0);
            node->fault = fault;
            run(node, S);
            nodes += told(node) > 0;
            seen = seen || told(node) > 0;
            hm_free(node);
        }
        trials += seen;
    }
    *one = 1000 * nodes / (SEEDS * NODES);
    *any = 1000 * trials / SEEDS;
}

static void test_bad_ways_are_told_within_a_second(void **state)
{
    static const struct fault faults[] = {{.lost = 100}, {.late = 100}, {.twice = 100}};
    static const char *const names[] = {"lost", "overtaken", "twice"};
    unsigned one, any;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(faults); i++) {
        seen_in_time(faults[i], &one, &any);
        print_message(
            "10 %% %s: seen within a second by a node in %u, by one of four in %u of 1000\n",
            names[i], one, any);
        assert_true(any >= 950);
    }
}

/* A busy machine: nodes without a processor for 50 to 300 ms, one step in fifty. Late is not lost. */
static void test_late_answers_are_not_told(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 40; seed++) {
        struct node *node = node_make(seed, NODES - 1);

        node->fault = (struct fault){.stall = 20};
        run(node, 60 * S);
        assert_int_equal(told(node), 0);
        assert_true(node->sent > 1000);
        assert_int_equal(node->peers.links_total.of[WITNESS_LINK_LOST], 0);
        hm_free(node);
    }
}

/* What the network between machines does now and then. */
static void test_a_packet_in_a_thousand_is_not_told(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 20; seed++) {
        struct node *node = node_make(seed, NODES - 1);

        node->fault = (struct fault){.lost = 1, .late = 1, .twice = 1};
        run(node, 120 * S);
        assert_int_equal(told(node), 0);
        hm_free(node);
    }
}

/* A short outage, a split that heals, a node that is away: other signs tell those. */
static void test_outages_are_not_told(void **state)
{
    static const unsigned lengths_ms[] = {20, 50, 150, 400, 3000, 20000};

    (void)state;
    for (unsigned seed = 0; seed < 10; seed++)
        for (size_t i = 0; i < HM_COUNT_OF(lengths_ms); i++) {
            struct node *node = node_make(seed, NODES - 1);

            run(node, 7 * S);
            node->cut = true;
            uint64_t sent = node->sent;
            run(node, lengths_ms[i] * MS);
            if (lengths_ms[i] == 20000) /* hardly anything is sent to who does not answer */
                assert_true(node->sent - sent <= (NODES - 1) * 8 * 6);
            node->cut = false;
            run(node, 10 * S);
            assert_int_equal(told(node), 0);
            hm_free(node);
        }
}

/* One way that is bad is told as that one, whatever its peer does to it: all together takes two. */
static void test_one_bad_way(void **state)
{
    static const struct fault faults[] = {
        {.lost = 300, .only = 2}, {.late = 300, .only = 2}, {.twice = 500, .only = 2}};

    (void)state;
    for (unsigned seed = 0; seed < 20; seed++)
        for (size_t i = 0; i < HM_COUNT_OF(faults); i++) {
            struct node *node = node_make(seed, NODES - 1);

            run(node, 7 * S);
            node->fault = faults[i];
            run(node, 4 * S);
            assert_int_equal(node->told[i], 1);
            assert_int_equal(told(node), 1);
            for (size_t at = 0; at < node->peers.count; at++)
                assert_int_equal(node->peers.list[at].link.told.bad[i], at == 1);
            assert_int_equal(witness_links_bad(&node->peers), 1);
            hm_free(node);
        }
}

/* Told once, and once that it is good again, however long it lasts and however often it comes back. */
static void test_told_once_and_once_when_it_is_good(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 10; seed++) {
        struct node *node = node_make(seed, NODES - 1);

        node->fault = (struct fault){.lost = 100};
        run(node, 60 * S);
        assert_int_equal(node->told_all[WITNESS_LINK_LOST], 1);
        assert_int_equal(told(node), NODES);
        assert_int_equal(node->good, 0);
        node->fault = (struct fault){0};
        run(node, 15 * S);
        assert_int_equal(node->good, NODES);
        assert_int_equal(witness_links_bad(&node->peers), 0);
        for (unsigned i = 0; i < 120; i++) {
            node->fault = (struct fault){.lost = i % 2 == 0 ? 200 : 0};
            run(node, S);
        }
        assert_true(told(node) <= 13 * NODES);
        hm_free(node);
    }
}

/* Who sends back, and how many of them. */
static void test_whose_questions_are_sent_back(void **state)
{
    struct witness_echo_place elsewhere = {.ip = {10, 9}, .port = 1};
    struct node *node = node_make(1, 3);
    unsigned let = 0;

    (void)state;
    assert_false(witness_links_lets(&node->peers, &elsewhere, node->now_ns));
    for (unsigned i = 0; i < 1000; i++)
        let += witness_links_lets(&node->peers, &node->peers.list[0].place, node->now_ns);
    assert_in_range(let, WITNESS_LINK_BURST, WITNESS_LINK_BURST + 1);
    assert_true(witness_links_lets(&node->peers, &node->peers.list[1].place, node->now_ns));
    node->now_ns += 10 * S;
    let = 0;
    for (unsigned i = 0; i < 10000; i++, node->now_ns += MS)
        let += witness_links_lets(&node->peers, &node->peers.list[0].place, node->now_ns);
    assert_in_range(let, 10 * WITNESS_LINK_RATE, 10 * WITNESS_LINK_RATE + WITNESS_LINK_BURST + 1);
    hm_free(node);
}

/* A stranger gets no train, and none of his is sent back, before the ledger shows him. */
static void test_strangers_say_nothing(void **state)
{
    const struct witness_echo_place place = {.ip = {10, 7}, .port = 1};
    const uint8_t stranger[1][WITNESS_ECHO_ID_BYTES] = {{200}};
    struct node *node = node_make(1, 0);
    struct witness_echo_peer *peer;
    uint64_t wait_ns;
    unsigned size;

    (void)state;
    peer = witness_echo_peers_heard(&node->peers, stranger[0], &place, 1, node->now_ns);
    assert_non_null(peer);
    witness_echo_peer_asked(peer, first, node->now_ns);
    witness_echo_peer_answered(peer, 1, 1, node->now_ns);
    assert_null(witness_links_due(&node->peers, node->now_ns, &size, &wait_ns));
    assert_int_equal(wait_ns, UINT64_MAX);
    assert_false(witness_links_lets(&node->peers, &place, node->now_ns));
    witness_echo_peers_know(&node->peers, stranger, 1);
    assert_true(witness_links_lets(&node->peers, &place, node->now_ns));
    assert_ptr_equal(witness_links_due(&node->peers, node->now_ns, &size, &wait_ns), peer);
    hm_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_lost_is_what_others_overtook),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_ways_are_told_within_a_second),
        cmocka_unit_test(test_late_answers_are_not_told),
        cmocka_unit_test(test_a_packet_in_a_thousand_is_not_told),
        cmocka_unit_test(test_outages_are_not_told),
        cmocka_unit_test(test_one_bad_way),
        cmocka_unit_test(test_told_once_and_once_when_it_is_good),
        cmocka_unit_test(test_whose_questions_are_sent_back),
        cmocka_unit_test(test_strangers_say_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
