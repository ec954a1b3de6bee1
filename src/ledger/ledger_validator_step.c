/* From the set that the engine has to the one it should have, a block's step at a time: light clients trust a new set
 * when more than a third of the old one's power signed it, so at most a third may change. */
#include <stdlib.h>

#include "ledger_validator.h"

static int by_address(const void *a, const void *b)
{
    const struct ledger_member *left = a;
    const struct ledger_member *right = b;

    return memcmp(left->address, right->address, sizeof left->address);
}

static int by_power(const void *a, const void *b)
{
    const struct ledger_member *left = a;
    const struct ledger_member *right = b;

    if (left->power != right->power)
        return left->power > right->power ? -1 : 1;
    return by_address(a, b);
}

void ledger_members_sort(struct ledger_members *members, bool powers)
{
    if (members->count > 1)
        qsort(members->list, members->count, sizeof *members->list, powers ? by_power : by_address);
}

/* out: everybody of both sets with the power that is told. goals: the power that is wanted, side by side. */
static void union_make(const struct ledger_members *told, const struct ledger_members *wanted,
                       struct ledger_members *out, uint64_t *goals)
{
    size_t i = 0;
    size_t j = 0;

    out->count = 0;
    while (i < told->count || j < wanted->count) {
        int order = i == told->count     ? 1
                    : j == wanted->count ? -1
                                         : by_address(&told->list[i], &wanted->list[j]);
        struct ledger_member *member = &out->list[out->count];

        *member = order <= 0 ? told->list[i] : wanted->list[j];
        goals[out->count++] = order >= 0 ? wanted->list[j].power : 0;
        if (order > 0)
            member->power = 0;
        i += order <= 0;
        j += order >= 0;
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Powers fall; `leaving` says of whom: of those to leave, or of the others. */
static uint64_t powers_lower(struct ledger_members *members, const uint64_t *goals, bool leaving,
                             uint64_t most)
{
    size_t left = 0;

    for (size_t i = 0; i < members->count; i++)
        left += members->list[i].power > 0;
    for (size_t i = 0; i < members->count; i++) {
        uint64_t *power = &members->list[i].power;
        uint64_t by;

        if (*power <= goals[i] || (goals[i] == 0) != leaving)
            continue;
        by = least(*power - goals[i], most);
        /* Somebody must stay: who comes for him comes first. */
        if (by == *power && left == 1)
            by--;
        *power -= by;
        most -= by;
        left -= *power == 0;
    }
    return most;
}

/* Only what lowering left of the block's share rises: so all together never pass the greater of both sets. */
static void powers_raise(struct ledger_members *members, const uint64_t *goals, uint64_t most)
{
    for (size_t i = 0; i < members->count; i++) {
        uint64_t *power = &members->list[i].power;
        uint64_t by = goals[i] > *power ? least(goals[i] - *power, most) : 0;

        *power += by;
        most -= by;
    }
}

void ledger_members_step(const struct ledger_members *told, const struct ledger_members *wanted,
                         uint64_t *goals, struct ledger_members *out)
{
    uint64_t total = 0;
    uint64_t most;
    size_t kept = 0;

    for (size_t i = 0; i < told->count; i++)
        total += told->list[i].power;
    most = total / 3 > 0 ? total / 3 : 1;
    if (wanted->count == 0) {
        for (size_t i = 0; i < told->count; i++)
            out->list[i] = told->list[i];
        out->count = told->count;
        return;
    }
    union_make(told, wanted, out, goals);
    most = powers_lower(out, goals, true, most);
    most = powers_lower(out, goals, false, most);
    powers_raise(out, goals, most);
    for (size_t i = 0; i < out->count; i++) {
        if (out->list[i].power > 0)
            out->list[kept++] = out->list[i];
    }
    out->count = kept;
}
