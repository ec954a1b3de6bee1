/* The medians of what validators see of each other, in worlds of chance in which less than a third of the power lies as well as it
 * can: no honest node is doubted, nobody invents one, and who says to be near and is not, or whose clock is wrong, is shown. */
#include "ledger_check.h"
#include "ledger_witness.h"

#include <stdlib.h>

#define NODES_MAX 12
#define WORLDS    3000
#define FAR_US \
    160000 /* at least this far from each other are those of whom a liar says to be near */
#define LIE_US    1000
#define CLOCK_LIE 30000

struct world {
    size_t count;
    uint64_t total;
    uint64_t power[NODES_MAX];
    bool liar[NODES_MAX];
    bool votes[NODES_MAX];
    bool whole; /* every honest one had an echo of everybody */
    uint32_t rtt[NODES_MAX][NODES_MAX]; /* as it is */
    int64_t clock[NODES_MAX]; /* as it is, less true time; a liar's is wrong */
    uint8_t node[NODES_MAX + 1][20]; /* one more that is not there */
    struct ledger_member members[NODES_MAX];
    struct ledger_witness_voter voters[NODES_MAX];
    size_t voter_node[NODES_MAX];
    struct ledger_witness_votes all;
};

static uint64_t draw(const struct hm_random *dice, uint64_t below)
{
    return hm_random_u64(dice) % below;
}

/* Less than a third lies; more than two thirds vote. */
static void world_people(struct world *w, const struct hm_random *dice)
{
    uint64_t lying = 0;
    uint64_t voting;

    w->count = 1 + draw(dice, NODES_MAX);
    w->total = 0;
    for (size_t i = 0; i < w->count; i++) {
        w->power[i] = 1 + draw(dice, draw(dice, 2) ? 3 : 100);
        w->total += w->power[i];
    }
    voting = w->total;
    for (size_t i = 0; i < w->count; i++) {
        w->liar[i] = (lying + w->power[i]) * 3 < w->total && draw(dice, 2);
        lying += w->liar[i] ? w->power[i] : 0;
        w->votes[i] = !((voting - w->power[i]) * 3 > w->total * 2 && !w->liar[i] &&
                        draw(dice, 3) == 0);
        voting -= w->votes[i] ? 0 : w->power[i];
        w->clock[i] = w->liar[i] ? (draw(dice, 2) ? CLOCK_LIE : -CLOCK_LIE)
                                 : (int64_t)draw(dice, 1600) - 800;
    }
    w->whole = draw(dice, 2);
}

static void world_place(struct world *w, const struct hm_random *dice)
{
    for (size_t i = 0; i <= w->count; i++) {
        memset(w->node[i], 0, sizeof w->node[i]);
        hm_put_be64(w->node[i], hm_random_u64(dice));
    }
    for (size_t i = 0; i < w->count; i++) {
        for (size_t k = 0; k < i; k++)
            w->rtt[i][k] = w->rtt[k][i] = (uint32_t)((w->liar[i] || w->liar[k] ? FAR_US : 200) +
                                                     draw(dice, 400000));
    }
}

/* What i says of k: an honest one what it measured, give or take some; a liar that it is near, or what hurts. */
static void world_echo(const struct world *w, const struct hm_random *dice, size_t i, size_t k,
                       Hypermesh__WitnessEcho *out)
{
    out->node = wire_bytes(w->node[k], 20);
    if (k == w->count) { /* there is no such node */
        out->rtt_us = 5;
        return;
    }
    out->rtt_us = w->rtt[i][k] + (uint32_t)draw(dice, 1 + w->rtt[i][k] / 4);
    out->clock_ms = w->clock[k] - (w->liar[i] ? 0 : w->clock[i]);
    if (!w->liar[i])
        return;
    out->rtt_us = LIE_US;
    out->clock_ms = w->liar[k] ? 0 : 1000 * 1000;
}

static int echo_order(const void *a, const void *b)
{
    const Hypermesh__WitnessEcho *const *left = a;
    const Hypermesh__WitnessEcho *const *right = b;

    return memcmp((*left)->node.data, (*right)->node.data, 20);
}

static void world_say(struct world *w, const struct hm_random *dice, size_t i)
{
    Hypermesh__VoteWitness *said = fixture_new(&fix, &hypermesh__vote_witness__descriptor);
    struct ledger_member *member = &w->members[i];
    size_t at = w->all.count++;

    said->node = wire_bytes(w->node[i], 20);
    said->clock_ms = (uint64_t)(1000000 + w->clock[i]);
    said->echoes = fixture_take(&fix, (NODES_MAX + 1) * sizeof *said->echoes);
    for (size_t k = 0; k <= w->count; k++) {
        if (k == i || (k == w->count && !w->liar[i]) ||
            (!w->whole && !w->liar[i] && draw(dice, 3) == 0))
            continue;
        said->echoes[said->n_echoes] = fixture_new(&fix, &hypermesh__witness_echo__descriptor);
        world_echo(w, dice, i, k, said->echoes[said->n_echoes++]);
    }
    qsort(said->echoes, said->n_echoes, sizeof *said->echoes, echo_order);
    member->power = w->power[i];
    member->address[0] = (uint8_t)i;
    w->voter_node[at] = i;
    w->voters[at] = (struct ledger_witness_voter){.member = member, .said = said, .bound = true};
    w->all.power += member->power;
}

static size_t world_find(const struct world *w, ProtobufCBinaryData node)
{
    for (size_t i = 0; i <= w->count; i++) {
        if (memcmp(w->node[i], node.data, 20) == 0)
            return i;
    }
    fail_msg("a node that nobody named");
    return 0;
}

/* Between what honest voters said of it, where all honest ones did. */
static void median_is_honest(const struct world *w, const Hypermesh__WitnessNode *node, size_t k)
{
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    int64_t early = INT64_MAX;
    int64_t late = INT64_MIN;

    for (size_t at = 0; at < w->all.count; at++) {
        const Hypermesh__VoteWitness *said = w->voters[at].said;

        for (size_t e = 0; !w->liar[w->voter_node[at]] && e < said->n_echoes; e++) {
            const Hypermesh__WitnessEcho *echo = said->echoes[e];

            if (memcmp(echo->node.data, w->node[k], 20) != 0)
                continue;
            least = echo->rtt_us < least ? echo->rtt_us : least;
            most = echo->rtt_us > most ? echo->rtt_us : most;
            early = echo->clock_ms < early ? echo->clock_ms : early;
            late = echo->clock_ms > late ? echo->clock_ms : late;
        }
    }
    assert_in_range(node->rtt_us, least, most);
    assert_true(node->clock_ms >= early && node->clock_ms <= late);
}

struct tally {
    unsigned near, clock, honest, invented;
};

static void world_check(const struct world *w, const Hypermesh__WitnessView *view,
                        struct tally *tally)
{
    bool seen[NODES_MAX + 1] = {false};

    for (size_t i = 0; i < view->n_nodes; i++) {
        const Hypermesh__WitnessNode *node = view->nodes[i];
        size_t k = world_find(w, node->node);

        assert_true(k < w->count); /* nobody invents a node */
        seen[k] = true;
        if (!w->liar[k]) {
            assert_int_equal(node->doubts, 0);
            tally->honest++;
        }
        if (!w->whole)
            continue;
        /* Who lies is among those that speak of honest ones, not of himself: of the power that speaks of a liar the
         * honest are more than half, of an honest one they may be less by its own. */
        if (w->liar[k]) {
            median_is_honest(w, node, k);
            assert_true(node->doubts & LEDGER_WITNESS_DOUBT_CLOCK);
            assert_int_equal((node->doubts & LEDGER_WITNESS_DOUBT_RTT) != 0, w->votes[k]);
            tally->clock++;
            tally->near += w->votes[k];
        }
    }
    for (size_t k = 0; w->whole && k < w->count; k++)
        assert_true(seen[k] || !w->liar[k]);
}

static void test_liars(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random dice = hm_random_seeded_source(&seeded, 41);
    struct tally tally = {0};
    struct world *w = hm_calloc(1, sizeof *w);

    (void)state;
    assert_non_null(w);
    for (unsigned n = 0; n < WORLDS; n++) {
        Hypermesh__WitnessView *view;

        world_people(w, &dice);
        world_place(w, &dice);
        w->all = (struct ledger_witness_votes){.list = w->voters, .total = w->total};
        for (size_t i = 0; i < w->count; i++) {
            if (w->votes[i])
                world_say(w, &dice, i);
        }
        assert_true(w->all.power * 3 > w->total * 2);
        assert_int_equal(ledger_witness_view(&w->all, 7, 8, &fix.arena, &view, NULL), 0);
        world_check(w, view, &tally);
        fixture_forget(&fix);
    }
    hm_free(w);
    assert_true(tally.near > 500 && tally.clock > 500 && tally.honest > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_liars, check_setup, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
