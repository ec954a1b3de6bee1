#include "ledger_snapshot_plan.h"

#include <stdlib.h>

struct ledger_snapshot_cell {
    uint64_t weight;
    uint64_t count;
};

/* An entry of a cell that is cut. */
struct ledger_snapshot_light {
    uint64_t hash; /* the first bits of it, as many as any part's start has */
    uint64_t weight;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a snapshot");
}

int ledger_snapshot_plan_init(struct ledger_snapshot_plan *plan, struct hm_error *error)
{
    *plan = (struct ledger_snapshot_plan){0};
    plan->cells = hm_calloc(2 * LEDGER_SNAPSHOT_CELLS, sizeof *plan->cells);
    return plan->cells ? 0 : no_memory(error);
}

void ledger_snapshot_plan_release(struct ledger_snapshot_plan *plan)
{
    hm_free(plan->list);
    hm_free(plan->cells);
    hm_free(plan->entries);
    *plan = (struct ledger_snapshot_plan){0};
}

static struct ledger_snapshot_cell *cell_of(const struct ledger_snapshot_plan *plan, uint64_t hash)
{
    return &plan->cells[LEDGER_SNAPSHOT_CELLS + (hash >> (64 - LEDGER_SNAPSHOT_CELL_BITS))];
}

static bool is_cut(const struct ledger_snapshot_plan *plan, uint64_t weight, uint64_t count)
{
    return weight > plan->most && count > 1;
}

/* --- first pass --- */

void ledger_snapshot_plan_weigh(struct ledger_snapshot_plan *plan,
                                const uint8_t key_hash[CRYPTO_HASH_BYTES], uint64_t weight)
{
    struct ledger_snapshot_cell *cell = cell_of(plan, hm_get_be64(key_hash));

    cell->weight += weight;
    cell->count++;
}

static void cells_sum(struct ledger_snapshot_plan *plan)
{
    for (size_t i = LEDGER_SNAPSHOT_CELLS - 1; i > 0; i--) {
        const struct ledger_snapshot_cell *below = &plan->cells[2 * i];

        plan->cells[i].weight = below[0].weight + below[1].weight;
        plan->cells[i].count = below[0].count + below[1].count;
    }
}

/* How many parts there will be at least, and how many cells are cut. */
static size_t parts_expect(const struct ledger_snapshot_plan *plan, size_t *cut)
{
    size_t parts = 1;

    *cut = 0;
    for (size_t i = 1; i < 2 * LEDGER_SNAPSHOT_CELLS; i++) {
        /* What is below one that is not cut weighs no more than it. */
        bool is = is_cut(plan, plan->cells[i].weight, plan->cells[i].count);

        parts += is;
        *cut += is && i >= LEDGER_SNAPSHOT_CELLS;
    }
    return parts;
}

/* More in a part, because there would be too many. false: it cannot be more. */
static bool most_raise(struct ledger_snapshot_plan *plan)
{
    if (plan->most >= LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        return false;
    plan->most *= 2;
    if (plan->most > LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        plan->most = LEDGER_SNAPSHOT_CHUNK_MAX_BYTES;
    return true;
}

bool ledger_snapshot_plan_again(struct ledger_snapshot_plan *plan, size_t target)
{
    size_t cut = 0;

    cells_sum(plan);
    plan->most = 2 * (uint64_t)target;
    while (parts_expect(plan, &cut) > LEDGER_SNAPSHOT_PARTS_MAX && most_raise(plan))
        continue;
    return cut > 0;
}

/* --- second pass --- */

int ledger_snapshot_plan_look(struct ledger_snapshot_plan *plan,
                              const uint8_t key_hash[CRYPTO_HASH_BYTES], uint64_t weight,
                              struct hm_error *error)
{
    uint64_t hash = hm_get_be64(key_hash);
    const struct ledger_snapshot_cell *cell = cell_of(plan, hash);

    if (!is_cut(plan, cell->weight, cell->count))
        return 0;
    if (plan->entry_count == plan->entry_cap) {
        size_t cap = plan->entry_cap ? plan->entry_cap * 2 : 1024;
        struct ledger_snapshot_light *list = hm_realloc(plan->entries, cap * sizeof *list);

        if (!list)
            return no_memory(error);
        plan->entries = list;
        plan->entry_cap = cap;
    }
    plan->entries[plan->entry_count++] = (struct ledger_snapshot_light){hash, weight};
    return 0;
}

static int light_order(const void *a, const void *b)
{
    uint64_t x = ((const struct ledger_snapshot_light *)a)->hash;
    uint64_t y = ((const struct ledger_snapshot_light *)b)->hash;

    return (x > y) - (x < y);
}

/* --- cutting --- */

static int part_add(struct ledger_snapshot_plan *plan, uint64_t start, unsigned depth,
                    uint64_t weight, struct hm_error *error)
{
    if (weight > LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        return hm_fail(
            error, HM_ELIMIT,
            "the state is too large for a snapshot: what no part can be cut smaller than "
            "has more than %zu bytes",
            LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
    if (plan->count == plan->cap) {
        size_t cap = plan->cap ? plan->cap * 2 : 64;
        struct ledger_snapshot_part *list = hm_realloc(plan->list, cap * sizeof *list);

        if (!list)
            return no_memory(error);
        plan->list = list;
        plan->cap = cap;
    }
    plan->list[plan->count++] = (struct ledger_snapshot_part){start, weight, (uint8_t)depth};
    return 0;
}

static uint64_t start_right(uint64_t start, unsigned depth)
{
    return start | UINT64_C(1) << (63 - depth);
}

/* Entries of a part below the cells, sorted. As deep as a start has bits. */
static int lights_cut(struct ledger_snapshot_plan *plan, const struct ledger_snapshot_light *list,
                      size_t count, uint64_t start, unsigned depth, struct hm_error *error)
{
    uint64_t weight = 0;
    size_t left = 0;
    int rc;

    for (size_t i = 0; i < count; i++)
        weight += list[i].weight;
    if (depth == STORE_TREE_PART_DEPTH_MAX || !is_cut(plan, weight, count))
        return part_add(plan, start, depth, weight, error);
    while (left < count && list[left].hash < start_right(start, depth))
        left++;
    rc = lights_cut(plan, list, left, start, depth + 1, error);
    return rc ? rc
              : lights_cut(plan, list + left, count - left, start_right(start, depth), depth + 1,
                           error);
}

/* at: in the tree of cells. *next: the first entry of those that are not cut yet. */
static int cells_cut(struct ledger_snapshot_plan *plan, size_t at, uint64_t start, unsigned depth,
                     size_t *next, struct hm_error *error)
{
    const struct ledger_snapshot_cell *cell = &plan->cells[at];
    int rc;

    if (!is_cut(plan, cell->weight, cell->count))
        return part_add(plan, start, depth, cell->weight, error);
    if (depth == LEDGER_SNAPSHOT_CELL_BITS) {
        size_t first = *next;

        *next += (size_t)cell->count;
        return lights_cut(plan, plan->entries + first, (size_t)cell->count, start, depth, error);
    }
    rc = cells_cut(plan, 2 * at, start, depth + 1, next, error);
    return rc ? rc : cells_cut(plan, 2 * at + 1, start_right(start, depth), depth + 1, next, error);
}

/* Of the entries that were looked at those in cells that are still cut. */
static void entries_keep(struct ledger_snapshot_plan *plan)
{
    size_t kept = 0;

    for (size_t i = 0; i < plan->entry_count; i++) {
        const struct ledger_snapshot_cell *cell = cell_of(plan, plan->entries[i].hash);

        if (is_cut(plan, cell->weight, cell->count))
            plan->entries[kept++] = plan->entries[i];
    }
    plan->entry_count = kept;
}

int ledger_snapshot_plan_make(struct ledger_snapshot_plan *plan, struct hm_error *error)
{
    int rc;

    if (plan->entry_count > 0)
        qsort(plan->entries, plan->entry_count, sizeof *plan->entries, light_order);
    do {
        size_t next = 0;

        plan->count = 0;
        entries_keep(plan);
        rc = cells_cut(plan, 1, 0, 0, &next, error);
    } while (rc == 0 && plan->count > LEDGER_SNAPSHOT_PARTS_MAX && most_raise(plan));
    if (rc == 0 && plan->count > LEDGER_SNAPSHOT_PARTS_MAX)
        rc = hm_fail(error, HM_ELIMIT,
                     "the state is too large for a snapshot: it would have %zu parts, at most %zu "
                     "are possible",
                     plan->count, LEDGER_SNAPSHOT_PARTS_MAX);
    return rc;
}
