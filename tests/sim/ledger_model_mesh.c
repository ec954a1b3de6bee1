/* The model's networks, privacy and challenges. */
#include <stdlib.h>

#include "ledger_model.h"

/* --- networks --- */

static bool joined(const struct model_network *network, unsigned who)
{
    return network->members[who] == HYPERMESH__MEMBER_STATE__JOINED;
}

static uint64_t count_in(const struct model_network *network, Hypermesh__MemberState state)
{
    uint64_t count = 0;

    for (size_t i = 0; i < MODEL_PEOPLE; i++)
        count += network->members[i] == state;
    return count;
}

static uint64_t taken(const struct model_network *network)
{
    return count_in(network, HYPERMESH__MEMBER_STATE__JOINED) +
           count_in(network, HYPERMESH__MEMBER_STATE__INVITED);
}

static uint64_t networks_owned(const struct model *model, unsigned who)
{
    uint64_t count = 0;

    for (size_t i = 0; i < model->network_count; i++)
        count += !model->networks[i].gone && model->networks[i].owner == who;
    return count;
}

static int do_create(struct model *model, const struct model_op *op)
{
    struct model_network network = {.owner = op->who, .open = op->flag};

    if (networks_owned(model, op->who) >= model->params.max_networks)
        return HM_ELIMIT;
    if (model->network_count == MODEL_NETWORKS_MAX)
        abort();
    network.members[op->who] = HYPERMESH__MEMBER_STATE__JOINED;
    model->networks[model->network_count++] = network;
    return 0;
}

static int do_join(const struct model *model, struct model_network *network, unsigned who)
{
    if (joined(network, who))
        return HM_EEXIST;
    if (network->members[who] == HYPERMESH__MEMBER_STATE__EXPELLED)
        return HM_EPERM;
    if (network->members[who] == HYPERMESH__MEMBER_STATE__MEMBER_NONE) {
        if (!network->open)
            return HM_EPERM;
        if (taken(network) >= model->params.max_members)
            return HM_ELIMIT;
    }
    network->members[who] = HYPERMESH__MEMBER_STATE__JOINED;
    return 0;
}

static int do_invite(const struct model *model, struct model_network *network, unsigned who)
{
    if (joined(network, who) || network->members[who] == HYPERMESH__MEMBER_STATE__INVITED)
        return HM_EEXIST;
    if (taken(network) >= model->params.max_members)
        return HM_ELIMIT;
    network->members[who] = HYPERMESH__MEMBER_STATE__INVITED;
    return 0;
}

/* Leaves, or is expelled. */
static int do_part(struct model_network *network, unsigned who, bool expelled)
{
    if (network->owner == who)
        return HM_ECONFLICT;
    if (!joined(network, who) && network->members[who] != HYPERMESH__MEMBER_STATE__INVITED)
        return HM_ENOTFOUND;
    network->members[who] = expelled && network->open ? HYPERMESH__MEMBER_STATE__EXPELLED
                                                      : HYPERMESH__MEMBER_STATE__MEMBER_NONE;
    return 0;
}

static int do_owned(struct model *model, struct model_network *network, const struct model_op *op)
{
    if (network->owner != op->who)
        return HM_EPERM;
    if (op->kind == HYPERMESH__OPERATION__OP_NETWORK_INVITE)
        return do_invite(model, network, op->to);
    if (op->kind == HYPERMESH__OPERATION__OP_NETWORK_EXPEL)
        return do_part(network, op->to, true);
    if (taken(network) > 1)
        return HM_ECONFLICT;
    network->gone = true;
    return 0;
}

int model_network_op(struct model *model, const struct model_op *op)
{
    struct model_network *network = &model->networks[op->network];

    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_PEERS_SET:
        model->people[op->who].peers = op->privacy.accounts;
        return 0;
    case HYPERMESH__OPERATION__OP_PROXY_SET:
        return op->flag && op->privacy.accounts ? HM_EINVAL : 0;
    case HYPERMESH__OPERATION__OP_NETWORK_CREATE:
        return do_create(model, op);
    default:
        break;
    }
    if (network->gone)
        return HM_ENOTFOUND;
    if (op->kind == HYPERMESH__OPERATION__OP_NETWORK_JOIN)
        return do_join(model, network, op->who);
    if (op->kind == HYPERMESH__OPERATION__OP_NETWORK_LEAVE)
        return do_part(network, op->who, false);
    return do_owned(model, network, op);
}

/* --- privacy --- */

int model_privacy_check(const struct model *model, const struct model_privacy *privacy,
                        unsigned who)
{
    for (size_t i = 0; i < privacy->network_count; i++) {
        const struct model_network *network = &model->networks[privacy->networks[i]];

        if (network->gone)
            return HM_ENOTFOUND;
        if (privacy->level == HYPERMESH__PRIVACY_LEVEL__PRIVATE && network->owner != who)
            return HM_EPERM;
        if (privacy->level == HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK && !network->open)
            return HM_ECONFLICT;
    }
    return 0;
}

int model_privacy_admits(const struct model *model, const struct model_privacy *privacy,
                         unsigned owner, unsigned who)
{
    if (owner == who || privacy->level == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return 0;
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__P2P)
        return (privacy->accounts >> who & 1) && (model->people[who].peers >> owner & 1) ? 0
                                                                                         : HM_EPERM;
    for (size_t i = 0; i < privacy->network_count; i++) {
        const struct model_network *network = &model->networks[privacy->networks[i]];

        if (!network->gone && joined(network, who) &&
            (privacy->level != HYPERMESH__PRIVACY_LEVEL__PRIVATE || network->owner == owner))
            return 0;
    }
    return HM_EPERM;
}

/* --- challenges --- */

static bool is_open(const struct model_challenge *challenge)
{
    return challenge->state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN;
}

static uint64_t space_open(const struct model *model, unsigned node)
{
    uint64_t count = 0;

    for (size_t i = 0; i < model->challenge_count; i++)
        count += is_open(&model->challenges[i]) && model->challenges[i].node == node &&
                 model->challenges[i].space;
    return count;
}

uint64_t model_challenges_open(const struct model *model, unsigned node)
{
    uint64_t count = 0;

    for (size_t i = 0; i < model->challenge_count; i++)
        count += is_open(&model->challenges[i]) && model->challenges[i].node == node;
    return count;
}

static int do_open(struct model *model, const struct model_op *op)
{
    struct model_challenge challenge = {.challenger = op->who,
                                        .node = op->to,
                                        .space = op->flag,
                                        .lease = op->lease,
                                        .due_ms = model->now_ms + model->params.challenge_window_ms,
                                        .state = HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN};
    const struct model_lease *lease = &model->leases[op->lease];

    if (op->who == op->to)
        return HM_EPERM;
    if (op->flag && op->to != NODE)
        return HM_ENOTFOUND;
    if (!op->flag) {
        if (lease->provider != op->to)
            return HM_EINVAL;
        if (lease->consumer == lease->provider)
            return HM_EPERM;
        if (!lease->settled || !lease->has_result || lease->refuted)
            return HM_ECONFLICT;
        if (model->now_ms - lease->settled_ms > model->params.result_window_ms)
            return HM_ERANGE;
    }
    if (op->flag && space_open(model, op->to) >= model->params.max_open_challenges)
        return HM_ELIMIT;
    for (size_t i = 0; i < model->challenge_count; i++) {
        const struct model_challenge *other = &model->challenges[i];

        if (is_open(other) && other->node == op->to && other->space == op->flag &&
            (op->flag ? other->challenger == op->who : other->lease == op->lease))
            return HM_EEXIST;
    }
    if (model->people[op->who].hyper < model->params.challenge_deposit)
        return HM_EFUNDS;
    model->people[op->who].hyper -= model->params.challenge_deposit;
    model->people[op->who].deposits += model->params.challenge_deposit;
    if (model->challenge_count == MODEL_CHALLENGES_MAX)
        abort();
    model->challenges[model->challenge_count++] = challenge;
    return 0;
}

/* A tenth of bond and queue, the newest of the queue last but one to go; half of it to the challenger. */
static void slash(struct model *model, struct model_challenge *challenge)
{
    struct model_person *node = &model->people[challenge->node];
    uint64_t whole = node->bonded;
    uint64_t left;

    model_touch(model, challenge->node);
    whole = node->bonded;
    for (size_t i = 0; i < node->unbonding_count; i++)
        whole += node->unbonding[i];
    challenge->slashed = whole / 10;
    left = challenge->slashed;
    while (left > 0) {
        uint64_t *from = node->bonded > 0 ? &node->bonded
                                          : &node->unbonding[node->unbonding_count - 1];
        uint64_t part = left < *from ? left : *from;

        *from -= part;
        left -= part;
        if (from != &node->bonded && *from == 0)
            node->unbonding_count--;
    }
    model->people[challenge->challenger].hyper += challenge->slashed / 2;
    model->burnt += challenge->slashed - challenge->slashed / 2;
    node->slashed += challenge->slashed;
    node->failed++;
}

static void challenge_end(struct model *model, struct model_challenge *challenge,
                          Hypermesh__ChallengeState state)
{
    bool right = state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED;
    uint64_t deposit = model->params.challenge_deposit;
    uint64_t burnt = right ? deposit / 10 : 0;

    challenge->state = state;
    model->people[challenge->challenger].deposits -= deposit;
    model->people[right ? challenge->node : challenge->challenger].hyper += deposit - burnt;
    model->burnt += burnt;
    if (right) {
        model->people[challenge->node].answered++;
        return;
    }
    slash(model, challenge);
    if (!challenge->space)
        model->leases[challenge->lease].refuted = true;
}

static int do_answer(struct model *model, const struct model_op *op)
{
    struct model_challenge *challenge = &model->challenges[op->challenge];

    if (challenge->node != op->who)
        return HM_EPERM;
    if (!is_open(challenge))
        return HM_ECONFLICT;
    challenge_end(model, challenge,
                  op->flag ? HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED
                           : HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED);
    return 0;
}

int model_challenge_op(struct model *model, const struct model_op *op)
{
    return op->kind == HYPERMESH__OPERATION__OP_CHALLENGE_OPEN ? do_open(model, op)
                                                               : do_answer(model, op);
}

/* The one that is due first; of those due at once the one with the smaller id. */
static struct model_challenge *first_due(struct model *model)
{
    struct model_challenge *first = NULL;

    for (size_t i = 0; i < model->challenge_count; i++) {
        struct model_challenge *that = &model->challenges[i];

        if (!is_open(that) || that->due_ms > model->now_ms)
            continue;
        if (!first || that->due_ms < first->due_ms ||
            (that->due_ms == first->due_ms && memcmp(that->id, first->id, 32) < 0))
            first = that;
    }
    return first;
}

size_t model_challenges_end(struct model *model)
{
    struct model_challenge *challenge;
    size_t ended = 0;

    while ((challenge = first_due(model))) {
        challenge_end(model, challenge, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT);
        ended++;
    }
    return ended;
}

/* --- comparing --- */

static void compare_network(const struct model *model, struct fixture *fixture, size_t number)
{
    const struct model_network *network = &model->networks[number];
    const Hypermesh__Network *real = fixture_network(fixture, network->id);

    model_same(real != NULL, !network->gone, "existence of network", number);
    if (!real)
        return;
    model_same(real->members, count_in(network, HYPERMESH__MEMBER_STATE__JOINED),
               "members of network", number);
    model_same(real->invited, count_in(network, HYPERMESH__MEMBER_STATE__INVITED),
               "invitations of network", number);
    model_same(real->open != 0, network->open, "openness of network", number);
    for (unsigned i = 0; i < MODEL_PEOPLE; i++)
        model_same(fixture_member(fixture, network->id, (enum fixture_role)i), network->members[i],
                   "membership in network", number);
}

static void compare_marks(const struct model *model, struct fixture *fixture, unsigned who)
{
    const Hypermesh__Account *account = fixture_account(fixture, (enum fixture_role)who);
    const Hypermesh__NodeMarks none = HYPERMESH__NODE_MARKS__INIT;
    const Hypermesh__NodeMarks *marks = account->marks ? account->marks : &none;
    const struct model_person *person = &model->people[who];
    unsigned peers = 0;

    model_same(marks->open, model_challenges_open(model, who), "open challenges of person", who);
    model_same(marks->n_waiting, space_open(model, who), "open challenges of space of person", who);
    model_same(marks->open_results, marks->open - marks->n_waiting,
               "open challenges of results of person", who);
    model_same(marks->answered, person->answered, "answered challenges of person", who);
    model_same(marks->failed, person->failed, "failed challenges of person", who);
    model_same(marks->slashed, person->slashed, "slashed bond of person", who);
    model_same(account->networks, networks_owned(model, who), "networks of person", who);
    for (size_t i = 0; i < account->n_peers; i++) {
        for (unsigned j = 0; j < MODEL_PEOPLE; j++)
            peers |= (unsigned)(memcmp(account->peers[i].data, fixture->people[j].id, 32) == 0)
                     << j;
    }
    model_same(peers, person->peers, "peers of person", who);
}

void model_mesh_compare(struct model *model, struct fixture *fixture)
{
    uint64_t deposits = 0;

    for (size_t i = 0; i < model->network_count; i++)
        compare_network(model, fixture, i);
    for (unsigned i = 0; i < MODEL_PEOPLE; i++)
        compare_marks(model, fixture, i);
    for (size_t i = 0; i < model->challenge_count; i++) {
        const struct model_challenge *challenge = &model->challenges[i];
        const Hypermesh__Challenge *real = fixture_challenge(fixture, challenge->id);

        model_same(real != NULL, true, "existence of challenge", i);
        model_same(real->state, challenge->state, "state of challenge", i);
        model_same(real->slashed, challenge->slashed, "slash of challenge", i);
        deposits += is_open(challenge) ? real->deposit : 0;
    }
    model_same(fixture_supply(fixture)->hyper_deposits, deposits, "deposits in all", 0);
}
