/* From what validators said to what all believe: medians weighted by power, and doubts.
 *
 * Of the power, all of it, less than a third may lie. More than two thirds vote here, so that the honest are more than half of
 * those, and a median of all of them lies between what two honest ones said. To be listed or doubted takes more than a third
 * of all power: at least one honest validator. What two nodes measured of each other is one time, there and back, so that two
 * honest ones agree: who disagrees with more than a third disagrees with an honest one, and is not. */
#include "ledger_witness.h"

#include <stdlib.h>

struct weighted {
    int64_t value;
    uint64_t power;
};

/* That a voter had an echo of a node. */
struct sighting {
    struct hm_slice node;
    size_t voter; /* its index */
    const Hypermesh__WitnessEcho *echo;
};

struct median_work {
    const struct ledger_witness_votes *votes;
    struct sighting *sightings; /* by node, then voter */
    size_t count;
    struct weighted *values; /* room for as many as there are sightings, or votes */
    size_t *bound; /* voters that proved their node, by node */
    size_t bound_count;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for what validators saw");
}

static int weighted_compare(const void *a, const void *b)
{
    const struct weighted *left = a;
    const struct weighted *right = b;

    return (left->value > right->value) - (left->value < right->value);
}

/* The least value that at least half of the power does not exceed; 0 of none. */
static int64_t median(struct weighted *values, size_t count)
{
    uint64_t total = 0;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        total += values[i].power;
    qsort(values, count, sizeof *values, weighted_compare);
    for (size_t i = 0; i < count; i++) {
        sum += values[i].power;
        if (sum >= total - sum)
            return values[i].value;
    }
    return 0;
}

static uint32_t ppm(uint64_t part, uint64_t whole)
{
    uint64_t out = 0;

    return whole > 0 && hm_muldiv_u64(part, LEDGER_PPM, whole, &out) ? (uint32_t)out : 0;
}

static uint64_t power_of(const struct median_work *work, size_t voter)
{
    return work->votes->list[voter].member->power;
}

static bool more_than_a_third(const struct median_work *work, uint64_t power)
{
    return power > work->votes->total / 3; /* rounded down: both are whole */
}

/* --- who saw whom --- */

static int sighting_compare(const void *a, const void *b)
{
    const struct sighting *left = a;
    const struct sighting *right = b;
    int order = hm_slice_compare(left->node, right->node);

    return order ? order : (left->voter > right->voter) - (left->voter < right->voter);
}

static int work_init(struct median_work *work, const struct ledger_witness_votes *votes,
                     struct hm_arena *arena, struct hm_error *error)
{
    size_t count = votes->count;

    for (size_t i = 0; i < votes->count; i++)
        count += votes->list[i].said->n_echoes;
    *work = (struct median_work){
        .votes = votes,
        .sightings = hm_arena_alloc(arena, (count + 1) * sizeof *work->sightings),
        .values = hm_arena_alloc(arena, (count + 1) * sizeof *work->values),
        .bound = hm_arena_alloc(arena, (votes->count + 1) * sizeof *work->bound)};
    if (!work->sightings || !work->values || !work->bound)
        return no_memory(error);
    for (size_t i = 0; i < votes->count; i++) {
        const Hypermesh__VoteWitness *said = votes->list[i].said;

        for (size_t k = 0; k < said->n_echoes; k++)
            work->sightings[work->count++] = (struct sighting){
                .node = wire_slice(said->echoes[k]->node), .voter = i, .echo = said->echoes[k]};
    }
    qsort(work->sightings, work->count, sizeof *work->sightings, sighting_compare);
    return 0;
}

static struct hm_slice node_of(const struct median_work *work, size_t voter)
{
    return wire_slice(work->votes->list[voter].said->node);
}

/* Puts the voter among those whose node is known; whose node is there already (one node, two validators) stays out. */
static void bound_add(struct median_work *work, size_t voter)
{
    size_t at = work->bound_count;

    while (at > 0 && hm_slice_compare(node_of(work, work->bound[at - 1]), node_of(work, voter)) > 0)
        at--;
    if (at > 0 && hm_slice_equal(node_of(work, work->bound[at - 1]), node_of(work, voter)))
        return;
    memmove(work->bound + at + 1, work->bound + at, (work->bound_count - at) * sizeof *work->bound);
    work->bound[at] = voter;
    work->bound_count++;
}

/* The voter whose node it is. */
static bool bound_find(const struct median_work *work, struct hm_slice node, size_t *voter)
{
    size_t low = 0;
    size_t high = work->bound_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = hm_slice_compare(node_of(work, work->bound[middle]), node);

        if (order == 0) {
            *voter = work->bound[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* --- one node: of the sightings those from first on, count of them --- */

struct group {
    const struct sighting *first;
    size_t count;
    uint64_t seen; /* power */
};

static uint32_t group_rtt(struct median_work *work, const struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        work->values[i] = (struct weighted){.value = group->first[i].echo->rtt_us,
                                            .power = power_of(work, group->first[i].voter)};
    return (uint32_t)median(work->values, group->count);
}

static int64_t group_clock(struct median_work *work, const struct group *group, uint32_t *doubts)
{
    uint64_t early = 0;
    uint64_t late = 0;

    for (size_t i = 0; i < group->count; i++) {
        int64_t off = group->first[i].echo->clock_ms;
        uint64_t power = power_of(work, group->first[i].voter);

        work->values[i] = (struct weighted){.value = off, .power = power};
        if (off > LEDGER_WITNESS_CLOCK_OFF_MS)
            late += power;
        if (off < -LEDGER_WITNESS_CLOCK_OFF_MS)
            early += power;
    }
    if (more_than_a_third(work, early) || more_than_a_third(work, late))
        *doubts |= LEDGER_WITNESS_DOUBT_CLOCK;
    return median(work->values, group->count);
}

static bool disagree(uint32_t a, uint32_t b)
{
    uint64_t least = a < b ? a : b;
    uint64_t most = a < b ? b : a;

    return most > LEDGER_WITNESS_RTT_FACTOR * least + LEDGER_WITNESS_RTT_MARGIN_US;
}

/* What that voter measured of the group's node; NULL: nothing. */
static const Hypermesh__WitnessEcho *group_find(const struct group *group, size_t voter)
{
    size_t low = 0;
    size_t high = group->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (group->first[middle].voter == voter)
            return group->first[middle].echo;
        if (group->first[middle].voter < voter)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* What the node, a validator's, says of the other validators' nodes, beside what those say of it. */
static uint32_t group_claims(struct median_work *work, const struct group *group, size_t self,
                             uint32_t *doubts)
{
    const Hypermesh__VoteWitness *said = work->votes->list[self].said;
    uint64_t against = 0;
    size_t count = 0;

    for (size_t i = 0; i < said->n_echoes; i++) {
        const Hypermesh__WitnessEcho *back;
        size_t other;

        if (!bound_find(work, wire_slice(said->echoes[i]->node), &other))
            continue;
        work->values[count++] = (struct weighted){.value = said->echoes[i]->rtt_us,
                                                  .power = power_of(work, other)};
        back = group_find(group, other);
        if (back && disagree(said->echoes[i]->rtt_us, back->rtt_us))
            against += power_of(work, other);
    }
    if (more_than_a_third(work, against))
        *doubts |= LEDGER_WITNESS_DOUBT_RTT;
    return (uint32_t)median(work->values, count);
}

static void group_node(struct median_work *work, const struct group *group, uint64_t clock_ms,
                       Hypermesh__WitnessNode *out)
{
    size_t self;

    hypermesh__witness_node__init(out);
    out->node = wire_bytes(group->first->node.data, group->first->node.len);
    out->seen_ppm = ppm(group->seen, work->votes->power);
    out->rtt_us = group_rtt(work, group);
    out->clock_ms = group_clock(work, group, &out->doubts);
    if (!bound_find(work, group->first->node, &self))
        return;
    out->address = wire_bytes(work->votes->list[self].member->address,
                              LEDGER_VALIDATOR_ADDRESS_BYTES);
    out->said_ms = (int64_t)work->votes->list[self].said->clock_ms - (int64_t)clock_ms;
    out->claims_rtt_us = group_claims(work, group, self, &out->doubts);
}

/* The sightings of one node, beginning with the given one. */
static struct group group_at(const struct median_work *work, size_t at)
{
    struct group group = {.first = &work->sightings[at]};

    while (at + group.count < work->count &&
           hm_slice_equal(group.first[group.count].node, group.first->node)) {
        group.seen += power_of(work, group.first[group.count].voter);
        group.count++;
    }
    return group;
}

/* --- all of them --- */

static uint64_t voters_clock(struct median_work *work)
{
    const struct ledger_witness_votes *votes = work->votes;

    for (size_t i = 0; i < votes->count; i++)
        work->values[i] = (struct weighted){.value = (int64_t)votes->list[i].said->clock_ms,
                                            .power = power_of(work, i)};
    return (uint64_t)median(work->values, votes->count);
}

/* At most three times as many as one voter may name. */
static int nodes_list(struct median_work *work, struct hm_arena *arena,
                      Hypermesh__WitnessView *view, struct hm_error *error)
{
    struct group group;

    view->nodes = hm_arena_alloc(arena, (work->count + 1) * sizeof *view->nodes);
    if (!view->nodes)
        return no_memory(error);
    for (size_t at = 0; at < work->count; at += group.count) {
        Hypermesh__WitnessNode *node;

        group = group_at(work, at);
        if (!more_than_a_third(work, group.seen))
            continue;
        node = hm_arena_alloc(arena, sizeof *node);
        if (!node)
            return no_memory(error);
        group_node(work, &group, view->clock_ms, node);
        view->nodes[view->n_nodes++] = node;
    }
    return 0;
}

int ledger_witness_view(const struct ledger_witness_votes *votes, uint64_t height, uint64_t time_ms,
                        struct hm_arena *arena, Hypermesh__WitnessView **out,
                        struct hm_error *error)
{
    Hypermesh__WitnessView *view = hm_arena_alloc(arena, sizeof *view);
    struct median_work work;
    int rc;

    if (!view)
        return no_memory(error);
    rc = work_init(&work, votes, arena, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < votes->count; i++) {
        if (votes->list[i].bound)
            bound_add(&work, i);
    }
    hypermesh__witness_view__init(view);
    view->height = height;
    view->time_ms = time_ms;
    view->voters = (uint32_t)votes->count;
    view->power_ppm = ppm(votes->power, votes->total);
    view->clock_ms = voters_clock(&work);
    rc = nodes_list(&work, arena, view, error);
    if (rc == 0)
        *out = view;
    return rc;
}
