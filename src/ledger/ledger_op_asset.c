/* asset_register, asset_update, asset_transfer, asset_retire, privacy_set. */
#include "ledger_op.h"

bool ledger_asset_active(const Hypermesh__Asset *asset)
{
    return asset->state == HYPERMESH__ASSET_STATE__ACTIVE;
}

static int attributes_check(Hypermesh__Attribute *const *list, size_t count, struct hm_error *error)
{
    if (count > LEDGER_ATTRIBUTES_MAX)
        return ledger_refuse(error, LEDGER_RULE_ASSET_ATTRIBUTES,
                             "%zu attributes, at most %d are allowed", count,
                             LEDGER_ATTRIBUTES_MAX);
    for (size_t i = 0; i < count; i++) {
        int rc;

        if (!ledger_name_ok(list[i]->name))
            return ledger_refuse(error, LEDGER_RULE_ASSET_ATTRIBUTE_NAME,
                                 "attribute %zu: a name is 1-%d characters of a-z 0-9 . _ -", i,
                                 LEDGER_NAME_MAX_BYTES);
        if (i > 0 && strcmp(list[i - 1]->name, list[i]->name) >= 0)
            return ledger_refuse(error, LEDGER_RULE_ASSET_ATTRIBUTE_ORDER,
                                 "attribute %s: attributes must be sorted by name, each once",
                                 list[i]->name);
        rc = ledger_text_check(list[i]->value, LEDGER_ATTRIBUTE_VALUE_MAX_BYTES, list[i]->name,
                               error);
        if (rc)
            return rc;
    }
    return 0;
}

static int register_check(struct ledger_act *act, const Hypermesh__AssetRegister *asset,
                          struct hm_error *error)
{
    int rc;

    if (asset->kind < HYPERMESH__ASSET_KIND__CPU || asset->kind > HYPERMESH__ASSET_KIND__NETWORK)
        return ledger_refuse(error, LEDGER_RULE_ASSET_KIND, "there is no kind of asset %d",
                             (int)asset->kind);
    if (asset->hardware_id[0] == '\0')
        return ledger_refuse(error, LEDGER_RULE_ASSET_HARDWARE, "hardware_id is empty");
    rc = ledger_text_check(asset->hardware_id, LEDGER_HARDWARE_ID_MAX_BYTES, "hardware_id", error);
    if (rc)
        return rc;
    if (asset->capacity == 0)
        return ledger_refuse(error, LEDGER_RULE_ASSET_CAPACITY, "capacity is 0");
    rc = attributes_check(asset->attributes, asset->n_attributes, error);
    if (rc)
        return rc;
    return ledger_privacy_check(act, asset->privacy, error);
}

/* The asset's row changed: one more version. */
static void asset_changed(const struct ledger_act *act, Hypermesh__Asset *asset)
{
    asset->version++;
    asset->updated_height = act->scope->block->height;
}

/* The index of what an account owns. */
static int asset_list(const struct ledger_act *act, const Hypermesh__Asset *asset,
                      ProtobufCBinaryData owner, bool active, bool known, struct hm_error *error)
{
    int rc = ledger_scope_list(act->scope, LEDGER_INDEX_ASSET, owner.data, asset->id.data, active,
                               error);

    return rc ? rc
              : ledger_scope_list(act->scope, LEDGER_INDEX_ASSET_ALL, owner.data, asset->id.data,
                                  known, error);
}

/* A free id, or that of a retired asset: whoever the id was made from may use it again. */
static int asset_claim(struct ledger_act *act, const uint8_t id[LEDGER_ID_BYTES],
                       Hypermesh__Asset **out, struct hm_error *error)
{
    ProtobufCBinaryData key = wire_bytes(id, LEDGER_ID_BYTES);
    char text[WIRE_ID_TEXT_MAX];
    int rc = ledger_scope_asset_find(act->scope, key, out, error);

    if (rc)
        return rc;
    if (!*out)
        return ledger_scope_asset_new(act->scope, key, out, error);
    if (ledger_asset_active(*out)) {
        wire_asset_text(id, text);
        return ledger_refuse(error, LEDGER_RULE_ASSET_REGISTERED,
                             "this is registered already as %s", text);
    }
    return 0;
}

int ledger_op_asset_register(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__AssetRegister *what = op->asset_register;
    uint8_t id[LEDGER_ID_BYTES];
    Hypermesh__Asset *asset;
    int rc = register_check(act, what, error);

    if (rc)
        return rc;
    rc = ledger_act_stake(act, act->signer, act->params->bond_provider, "offer assets", error);
    if (rc)
        return rc;
    proof_asset_id(act->body->account.data, what->kind, what->hardware_id, id);
    rc = asset_claim(act, id, &asset, error);
    /* A retired asset may last have been another's. */
    if (rc == 0 && asset->owner.len > 0)
        rc = asset_list(act, asset, asset->owner, false, false, error);
    if (rc == 0)
        rc = asset_list(act, asset, act->body->account, true, true, error);
    if (rc)
        return rc;
    asset->owner = act->body->account;
    asset->kind = what->kind;
    asset->hardware_id = what->hardware_id;
    asset->capacity = what->capacity;
    asset->price_per_hour = what->price_per_hour;
    asset->attributes = what->attributes;
    asset->n_attributes = what->n_attributes;
    asset->privacy = what->privacy;
    asset->state = HYPERMESH__ASSET_STATE__ACTIVE;
    asset->registered_height = act->scope->block->height;
    asset_changed(act, asset);
    act->signer->assets++;
    act->created = asset->id;
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, NULL, error);
}

/* An active asset of the signer. */
static int asset_owned(struct ledger_act *act, ProtobufCBinaryData id, Hypermesh__Asset **out,
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    Hypermesh__Asset *asset;
    int rc = ledger_scope_asset(act->scope, id, &asset, error);

    if (rc)
        return rc;
    wire_asset_text(id.data, text);
    if (!ledger_id_equal(asset->owner, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_ASSET_OWNER, "%s belongs to another account", text);
    if (!ledger_asset_active(asset))
        return ledger_refuse(error, LEDGER_RULE_ASSET_RETIRED,
                             "%s is retired; register it again first", text);
    *out = asset;
    return 0;
}

static int asset_free_of_leases(const Hypermesh__Asset *asset, const char *what,
                                struct hm_error *error)
{
    if (asset->leases == 0)
        return 0;
    return ledger_refuse(
        error, LEDGER_RULE_ASSET_LEASED,
        "the asset has %u active leases (%u of 1000000 parts); it can be %s when they "
        "have ended",
        asset->leases, asset->leased_ppm, what);
}

int ledger_op_asset_update(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error)
{
    const Hypermesh__AssetUpdate *what = op->asset_update;
    Hypermesh__Asset *asset;
    int rc = asset_owned(act, what->asset, &asset, error);

    if (rc)
        return rc;
    if (what->capacity == 0)
        return ledger_refuse(error, LEDGER_RULE_ASSET_CAPACITY, "capacity is 0");
    rc = attributes_check(what->attributes, what->n_attributes, error);
    if (rc)
        return rc;
    /* A lease is a share: less capacity would give its holder less than was leased. */
    if (what->capacity < asset->capacity) {
        rc = asset_free_of_leases(asset, "made smaller", error);
        if (rc)
            return rc;
    }
    asset->capacity = what->capacity;
    asset->price_per_hour = what->price_per_hour;
    asset->attributes = what->attributes;
    asset->n_attributes = what->n_attributes;
    asset_changed(act, asset);
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, NULL, error);
}

int ledger_op_asset_transfer(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__AssetTransfer *what = op->asset_transfer;
    Hypermesh__Account *to;
    Hypermesh__Asset *asset;
    int rc = asset_owned(act, what->asset, &asset, error);

    if (rc)
        return rc;
    rc = asset_free_of_leases(asset, "transferred", error);
    if (rc)
        return rc;
    rc = ledger_scope_account(act->scope, what->to, &to, error);
    if (rc)
        return rc;
    if (to == act->signer)
        return ledger_refuse(error, LEDGER_RULE_ASSET_RECEIVER,
                             "the asset belongs to that account already");
    rc = ledger_refuse_as(error, LEDGER_RULE_STAKE_BOND,
                          proof_stake_verify(to->bonded, act->params->bond_provider,
                                             "offer assets (it is to receive one)", error));
    if (rc)
        return rc;
    rc = asset_list(act, asset, asset->owner, false, false, error);
    if (rc == 0)
        rc = asset_list(act, asset, what->to, true, true, error);
    if (rc)
        return rc;
    asset->owner = what->to;
    act->signer->assets--;
    to->assets++;
    asset_changed(act, asset);
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, NULL, error);
}

int ledger_op_asset_retire(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error)
{
    Hypermesh__Asset *asset;
    int rc = asset_owned(act, op->asset_retire->asset, &asset, error);

    if (rc)
        return rc;
    rc = asset_free_of_leases(asset, "retired", error);
    if (rc)
        return rc;
    rc = asset_list(act, asset, asset->owner, false, true, error);
    if (rc)
        return rc;
    asset->state = HYPERMESH__ASSET_STATE__RETIRED;
    act->signer->assets--;
    asset_changed(act, asset);
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, NULL, error);
}

int ledger_op_privacy_set(struct ledger_act *act, const Hypermesh__Operation *op,
                          struct hm_error *error)
{
    Hypermesh__Asset *asset;
    int rc = asset_owned(act, op->privacy_set->asset, &asset, error);

    if (rc)
        return rc;
    rc = ledger_privacy_check(act, op->privacy_set->privacy, error);
    if (rc)
        return rc;
    asset->privacy = op->privacy_set->privacy;
    asset_changed(act, asset);
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, NULL, error);
}
