/* network_create, join, leave, invite, expel, dissolve: named sets of accounts. */
#include "ledger_op.h"

int ledger_op_network_create(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__NetworkCreate *what = op->network_create;
    uint8_t id[LEDGER_ID_BYTES];
    Hypermesh__Network *network;
    int rc;

    if (!ledger_name_ok(what->name))
        return ledger_refuse(error, LEDGER_RULE_NETWORK_NAME,
                             "a network's name is 1-%d characters of a-z 0-9 . _ -",
                             LEDGER_NAME_MAX_BYTES);
    if (act->signer->networks >= act->params->max_networks)
        return ledger_refuse(error, LEDGER_RULE_NETWORK_COUNT,
                             "the account owns %llu networks, at most %llu are allowed",
                             (unsigned long long)act->signer->networks,
                             (unsigned long long)act->params->max_networks);
    ledger_act_new_chain_id(act, "hypermesh 1 network", id);
    rc = ledger_scope_network_new(act->scope, wire_bytes(id, sizeof id), &network, error);
    if (rc)
        return rc;
    network->owner = act->body->account;
    network->name = what->name;
    network->open = what->open;
    network->members = 1;
    network->created_height = act->scope->block->height;
    act->signer->networks++;
    act->created = network->id;
    rc = ledger_scope_member_set(act->scope, network->id, network->owner,
                                 HYPERMESH__MEMBER_STATE__JOINED, error);
    return rc ? rc
              : ledger_scope_list(act->scope, LEDGER_INDEX_NETWORK, network->owner.data,
                                  network->id.data, true, error);
}

/* A network and what an account is in it; MEMBER_NONE when it is nothing. */
static int membership(struct ledger_act *act, ProtobufCBinaryData id, ProtobufCBinaryData account,
                      Hypermesh__Network **network, Hypermesh__MemberState *state,
                      struct hm_error *error)
{
    Hypermesh__Member *member;
    int rc = ledger_scope_network(act->scope, id, network, error);

    if (rc == 0)
        rc = ledger_scope_member_find(act->scope, id, account, &member, error);
    if (rc)
        return rc;
    *state = member ? member->state : HYPERMESH__MEMBER_STATE__MEMBER_NONE;
    return 0;
}

/* From one state to another: the record, the counts, the index. */
static int membership_move(struct ledger_act *act, Hypermesh__Network *network,
                           ProtobufCBinaryData account, Hypermesh__MemberState from,
                           Hypermesh__MemberState to, struct hm_error *error)
{
    bool listed = to == HYPERMESH__MEMBER_STATE__JOINED || to == HYPERMESH__MEMBER_STATE__INVITED;
    int rc;

    network->members -= from == HYPERMESH__MEMBER_STATE__JOINED;
    network->members += to == HYPERMESH__MEMBER_STATE__JOINED;
    network->invited -= from == HYPERMESH__MEMBER_STATE__INVITED;
    network->invited += to == HYPERMESH__MEMBER_STATE__INVITED;
    rc = ledger_scope_member_set(act->scope, network->id, account, to, error);
    return rc ? rc
              : ledger_scope_list(act->scope, LEDGER_INDEX_NETWORK, account.data, network->id.data,
                                  listed, error);
}

/* Is there room for one more member or invitation? */
static int room_check(const struct ledger_act *act, const Hypermesh__Network *network,
                      struct hm_error *error)
{
    if (network->members + network->invited < act->params->max_members)
        return 0;
    return ledger_refuse(error, LEDGER_RULE_NETWORK_MEMBERS,
                         "the network has %llu members and %llu invitations, at most %llu together "
                         "are allowed",
                         (unsigned long long)network->members, (unsigned long long)network->invited,
                         (unsigned long long)act->params->max_members);
}

static int joined_already(struct hm_error *error)
{
    return ledger_refuse(error, LEDGER_RULE_NETWORK_JOINED, "the account is a member already");
}

int ledger_op_network_join(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error)
{
    Hypermesh__MemberState state;
    Hypermesh__Network *network;
    int rc = membership(act, op->network_join->network, act->body->account, &network, &state,
                        error);

    if (rc)
        return rc;
    switch (state) {
    case HYPERMESH__MEMBER_STATE__JOINED:
        return joined_already(error);
    case HYPERMESH__MEMBER_STATE__EXPELLED:
        return ledger_refuse(error, LEDGER_RULE_NETWORK_EXPELLED,
                             "the account was expelled; it must be invited to come back");
    case HYPERMESH__MEMBER_STATE__INVITED:
        break;
    default:
        if (!network->open)
            return ledger_refuse(error, LEDGER_RULE_NETWORK_CLOSED,
                                 "the network is closed and the account is not invited");
        rc = room_check(act, network, error);
        if (rc)
            return rc;
    }
    return membership_move(act, network, act->body->account, state, HYPERMESH__MEMBER_STATE__JOINED,
                           error);
}

static bool is_in(Hypermesh__MemberState state)
{
    return state == HYPERMESH__MEMBER_STATE__JOINED || state == HYPERMESH__MEMBER_STATE__INVITED;
}

static int not_in(struct hm_error *error)
{
    return ledger_refuse(error, LEDGER_RULE_NETWORK_MEMBER,
                         "the account is neither a member nor invited");
}

static int owner_stays(struct hm_error *error)
{
    return ledger_refuse(error, LEDGER_RULE_NETWORK_OWNER_STAYS,
                         "the owner stays a member; it can dissolve the network");
}

/* Leaving declines an invitation too. */
int ledger_op_network_leave(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error)
{
    Hypermesh__MemberState state;
    Hypermesh__Network *network;
    int rc = membership(act, op->network_leave->network, act->body->account, &network, &state,
                        error);

    if (rc)
        return rc;
    if (ledger_id_equal(network->owner, act->body->account))
        return owner_stays(error);
    if (!is_in(state))
        return not_in(error);
    return membership_move(act, network, act->body->account, state,
                           HYPERMESH__MEMBER_STATE__MEMBER_NONE, error);
}

static int owner_check(const struct ledger_act *act, const Hypermesh__Network *network,
                       struct hm_error *error)
{
    if (ledger_id_equal(network->owner, act->body->account))
        return 0;
    return ledger_refuse(error, LEDGER_RULE_NETWORK_OWNER,
                         "the network belongs to another account");
}

/* The membership that the network's owner is about to change. */
static int membership_owned(struct ledger_act *act, ProtobufCBinaryData id,
                            ProtobufCBinaryData account, Hypermesh__Network **network,
                            Hypermesh__MemberState *state, struct hm_error *error)
{
    int rc = membership(act, id, account, network, state, error);

    return rc ? rc : owner_check(act, *network, error);
}

int ledger_op_network_invite(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__NetworkInvite *what = op->network_invite;
    Hypermesh__MemberState state;
    Hypermesh__Network *network;
    int rc = membership_owned(act, what->network, what->account, &network, &state, error);

    if (rc)
        return rc;
    if (state == HYPERMESH__MEMBER_STATE__JOINED)
        return joined_already(error);
    if (state == HYPERMESH__MEMBER_STATE__INVITED)
        return ledger_refuse(error, LEDGER_RULE_NETWORK_INVITED, "the account is invited already");
    rc = room_check(act, network, error);
    return rc ? rc
              : membership_move(act, network, what->account, state,
                                HYPERMESH__MEMBER_STATE__INVITED, error);
}

int ledger_op_network_expel(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error)
{
    const Hypermesh__NetworkExpel *what = op->network_expel;
    Hypermesh__MemberState state;
    Hypermesh__Network *network;
    int rc = membership_owned(act, what->network, what->account, &network, &state, error);

    if (rc)
        return rc;
    if (ledger_id_equal(network->owner, what->account))
        return owner_stays(error);
    if (!is_in(state))
        return not_in(error);
    /* Where anyone may join it must be remembered; elsewhere nobody comes back uninvited. */
    return membership_move(act, network, what->account, state,
                           network->open ? HYPERMESH__MEMBER_STATE__EXPELLED
                                         : HYPERMESH__MEMBER_STATE__MEMBER_NONE,
                           error);
}

int ledger_op_network_dissolve(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error)
{
    ProtobufCBinaryData id = op->network_dissolve->network;
    Hypermesh__Network *network;
    int rc = ledger_scope_network(act->scope, id, &network, error);

    if (rc == 0)
        rc = owner_check(act, network, error);
    if (rc)
        return rc;
    if (network->members > 1 || network->invited > 0)
        return ledger_refuse(error, LEDGER_RULE_NETWORK_DISSOLVE,
                             "the network has %llu members and %llu invitations; expel them first",
                             (unsigned long long)network->members,
                             (unsigned long long)network->invited);
    act->signer->networks--;
    rc = membership_move(act, network, network->owner, HYPERMESH__MEMBER_STATE__JOINED,
                         HYPERMESH__MEMBER_STATE__MEMBER_NONE, error);
    return rc ? rc : ledger_scope_network_delete(act->scope, id, error);
}
