/* Opening the things of the state by their ids: assets, leases, networks, members, challenges. */
#include "ledger_rule.h"
#include "ledger_scope.h"

/* A thing under a prefix and an id. */
static int object_open(struct ledger_scope *scope, uint8_t prefix, ProtobufCBinaryData id,
                       const ProtobufCMessageDescriptor *descriptor, struct ledger_object **out,
                       struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    int rc = ledger_id_check(id, error);

    if (rc)
        return rc;
    return ledger_scope_open(scope, ledger_key_id(prefix, id.data, key), descriptor, out, error);
}

/* A message of the scope, with the defaults of its kind. */
static int message_new(struct ledger_scope *scope, const ProtobufCMessageDescriptor *descriptor,
                       ProtobufCMessage **out, struct hm_error *error)
{
    void *memory;
    int rc = ledger_scope_alloc(scope, descriptor->sizeof_message, &memory, error);

    if (rc)
        return rc;
    descriptor->message_init(memory);
    *out = memory;
    return 0;
}

int ledger_scope_asset_find(struct ledger_scope *scope, ProtobufCBinaryData id,
                            Hypermesh__Asset **out, struct hm_error *error)
{
    struct ledger_object *object;
    int rc = object_open(scope, LEDGER_KEY_ASSET, id, &hypermesh__asset__descriptor, &object,
                         error);

    if (rc == 0)
        *out = (Hypermesh__Asset *)object->message;
    return rc;
}

int ledger_scope_asset(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Asset **out,
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    Hypermesh__Asset *asset;
    int rc = ledger_scope_asset_find(scope, id, &asset, error);

    if (rc)
        return rc;
    if (!asset) {
        wire_asset_text(id.data, text);
        return ledger_refuse(error, LEDGER_RULE_ASSET_UNKNOWN, "there is no asset %s", text);
    }
    *out = asset;
    return 0;
}

/* A new thing whose id is a hash that nobody has yet; *own is where the message keeps its id. */
static int object_new(struct ledger_scope *scope, uint8_t prefix, ProtobufCBinaryData id,
                      const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **out,
                      ProtobufCBinaryData *own, struct hm_error *error)
{
    struct ledger_object *object;
    ProtobufCMessage *message;
    int rc = object_open(scope, prefix, id, descriptor, &object, error);

    if (rc)
        return rc;
    if (object->message)
        return hm_fail(error, HM_EINTERNAL, "an id came up twice");
    rc = message_new(scope, descriptor, &message, error);
    if (rc)
        return rc;
    rc = ledger_scope_bytes(scope, id.data, id.len, own, error);
    if (rc)
        return rc;
    object->message = message;
    *out = message;
    return 0;
}

int ledger_scope_asset_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Asset **out, struct hm_error *error)
{
    ProtobufCBinaryData own;
    ProtobufCMessage *message;
    int rc = object_new(scope, LEDGER_KEY_ASSET, id, &hypermesh__asset__descriptor, &message, &own,
                        error);

    if (rc)
        return rc;
    *out = (Hypermesh__Asset *)message;
    (*out)->id = own;
    return 0;
}

int ledger_scope_lease(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Lease **out,
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    struct ledger_object *object;
    int rc = object_open(scope, LEDGER_KEY_LEASE, id, &hypermesh__lease__descriptor, &object,
                         error);

    if (rc)
        return rc;
    if (!object->message) {
        wire_lease_text(id.data, text);
        return ledger_refuse(error, LEDGER_RULE_LEASE_UNKNOWN, "there is no lease %s", text);
    }
    *out = (Hypermesh__Lease *)object->message;
    return 0;
}

int ledger_scope_lease_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Lease **out, struct hm_error *error)
{
    ProtobufCBinaryData own;
    ProtobufCMessage *message;
    int rc = object_new(scope, LEDGER_KEY_LEASE, id, &hypermesh__lease__descriptor, &message, &own,
                        error);

    if (rc)
        return rc;
    *out = (Hypermesh__Lease *)message;
    (*out)->id = own;
    return 0;
}

int ledger_scope_network_find(struct ledger_scope *scope, ProtobufCBinaryData id,
                              Hypermesh__Network **out, struct hm_error *error)
{
    struct ledger_object *object;
    int rc = object_open(scope, LEDGER_KEY_NETWORK, id, &hypermesh__network__descriptor, &object,
                         error);

    if (rc == 0)
        *out = (Hypermesh__Network *)object->message;
    return rc;
}

int ledger_scope_network(struct ledger_scope *scope, ProtobufCBinaryData id,
                         Hypermesh__Network **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    int rc = ledger_scope_network_find(scope, id, out, error);

    if (rc || *out)
        return rc;
    wire_network_text(id.data, text);
    return ledger_refuse(error, LEDGER_RULE_NETWORK_UNKNOWN,
                         "there is no network %s; it may have been dissolved", text);
}

int ledger_scope_network_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                             Hypermesh__Network **out, struct hm_error *error)
{
    ProtobufCBinaryData own;
    ProtobufCMessage *message;
    int rc = object_new(scope, LEDGER_KEY_NETWORK, id, &hypermesh__network__descriptor, &message,
                        &own, error);

    if (rc)
        return rc;
    *out = (Hypermesh__Network *)message;
    (*out)->id = own;
    return 0;
}

int ledger_scope_network_delete(struct ledger_scope *scope, ProtobufCBinaryData id,
                                struct hm_error *error)
{
    struct ledger_object *object;
    int rc = object_open(scope, LEDGER_KEY_NETWORK, id, &hypermesh__network__descriptor, &object,
                         error);

    if (rc == 0)
        object->message = NULL;
    return rc;
}

static int member_open(struct ledger_scope *scope, ProtobufCBinaryData network,
                       ProtobufCBinaryData account, struct ledger_object **out,
                       struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_MEMBER_BYTES];
    int rc = ledger_id_check(network, error);

    if (rc == 0)
        rc = ledger_id_check(account, error);
    if (rc)
        return rc;
    return ledger_scope_open(scope, ledger_key_member(network.data, account.data, key),
                             &hypermesh__member__descriptor, out, error);
}

int ledger_scope_member_find(struct ledger_scope *scope, ProtobufCBinaryData network,
                             ProtobufCBinaryData account, Hypermesh__Member **out,
                             struct hm_error *error)
{
    struct ledger_object *object;
    int rc = member_open(scope, network, account, &object, error);

    if (rc == 0)
        *out = (Hypermesh__Member *)object->message;
    return rc;
}

int ledger_scope_member_set(struct ledger_scope *scope, ProtobufCBinaryData network,
                            ProtobufCBinaryData account, Hypermesh__MemberState state,
                            struct hm_error *error)
{
    struct ledger_object *object;
    Hypermesh__Member *member;
    int rc = member_open(scope, network, account, &object, error);

    if (rc)
        return rc;
    if (state == HYPERMESH__MEMBER_STATE__MEMBER_NONE) {
        object->message = NULL;
        return 0;
    }
    if (!object->message)
        rc = message_new(scope, &hypermesh__member__descriptor, &object->message, error);
    if (rc)
        return rc;
    member = (Hypermesh__Member *)object->message;
    member->state = state;
    member->since_ms = scope->block->time_ms;
    rc = ledger_scope_bytes(scope, network.data, network.len, &member->network, error);
    return rc ? rc : ledger_scope_bytes(scope, account.data, account.len, &member->account, error);
}

int ledger_scope_challenge(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Challenge **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    struct ledger_object *object;
    int rc = object_open(scope, LEDGER_KEY_CHALLENGE, id, &hypermesh__challenge__descriptor,
                         &object, error);

    if (rc)
        return rc;
    if (!object->message) {
        wire_challenge_text(id.data, text);
        return ledger_refuse(error, LEDGER_RULE_CHALLENGE_UNKNOWN, "there is no challenge %s",
                             text);
    }
    *out = (Hypermesh__Challenge *)object->message;
    return 0;
}

int ledger_scope_challenge_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                               Hypermesh__Challenge **out, struct hm_error *error)
{
    ProtobufCBinaryData own;
    ProtobufCMessage *message;
    int rc = object_new(scope, LEDGER_KEY_CHALLENGE, id, &hypermesh__challenge__descriptor,
                        &message, &own, error);

    if (rc)
        return rc;
    *out = (Hypermesh__Challenge *)message;
    (*out)->id = own;
    return 0;
}
