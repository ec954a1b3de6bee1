#include <strings.h>

#include "wire.h"

static const struct {
    const char *name;
    const char *unit;
} asset_kinds[] = {
    [HYPERMESH__ASSET_KIND__ASSET_NONE] = {"none", ""},
    [HYPERMESH__ASSET_KIND__CPU] = {"cpu", "millicores"},
    [HYPERMESH__ASSET_KIND__MEMORY] = {"memory", "bytes"},
    [HYPERMESH__ASSET_KIND__STORAGE] = {"storage", "bytes"},
    [HYPERMESH__ASSET_KIND__GPU] = {"gpu", "millidevices"},
    [HYPERMESH__ASSET_KIND__CONTAINER] = {"container", "slots"},
    [HYPERMESH__ASSET_KIND__NETWORK] = {"network", "bits/s"},
};

static const char *const privacy_levels[] = {
    [HYPERMESH__PRIVACY_LEVEL__PRIVACY_NONE] = "none",
    [HYPERMESH__PRIVACY_LEVEL__PRIVATE] = "Private",
    [HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK] = "PrivateNetwork",
    [HYPERMESH__PRIVACY_LEVEL__P2P] = "P2P",
    [HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK] = "PublicNetwork",
    [HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC] = "FullPublic",
};

static const char *const outcomes[] = {
    [HYPERMESH__JOB_OUTCOME__OUTCOME_NONE] = "none",
    [HYPERMESH__JOB_OUTCOME__FINISHED] = "finished",
    [HYPERMESH__JOB_OUTCOME__FAILED] = "failed",
    [HYPERMESH__JOB_OUTCOME__CANCELLED] = "cancelled",
    [HYPERMESH__JOB_OUTCOME__TIMED_OUT] = "timed-out",
    [HYPERMESH__JOB_OUTCOME__EXPIRED] = "expired",
};

static const char *const lease_states[] = {
    [HYPERMESH__LEASE_STATE__LEASE_NONE] = "none",
    [HYPERMESH__LEASE_STATE__LEASE_ACTIVE] = "active",
    [HYPERMESH__LEASE_STATE__LEASE_SETTLED] = "settled",
    [HYPERMESH__LEASE_STATE__LEASE_RELEASED] = "released",
    [HYPERMESH__LEASE_STATE__LEASE_EXPIRED] = "expired",
};

/* Enums of proto3 are open: a number from outside may be none of ours. */
static const char *name_of(const char *const *names, size_t count, int value)
{
    return value >= 0 && (size_t)value < count ? names[value] : "unknown";
}

const char *wire_asset_kind_name(Hypermesh__AssetKind kind)
{
    return (unsigned)kind < HM_COUNT_OF(asset_kinds) ? asset_kinds[kind].name : "unknown";
}

const char *wire_asset_kind_unit(Hypermesh__AssetKind kind)
{
    return (unsigned)kind < HM_COUNT_OF(asset_kinds) ? asset_kinds[kind].unit : "";
}

int wire_asset_kind_parse(const char *text, Hypermesh__AssetKind *kind)
{
    for (unsigned i = 1; i < HM_COUNT_OF(asset_kinds); i++) {
        if (strcmp(text, asset_kinds[i].name) == 0) {
            *kind = (Hypermesh__AssetKind)i;
            return 0;
        }
    }
    return HM_EPARSE;
}

const char *wire_privacy_name(Hypermesh__PrivacyLevel level)
{
    return name_of(privacy_levels, HM_COUNT_OF(privacy_levels), (int)level);
}

int wire_privacy_parse(const char *text, Hypermesh__PrivacyLevel *level)
{
    for (unsigned i = 1; i < HM_COUNT_OF(privacy_levels); i++) {
        const char digit[2] = {(char)('0' + i), '\0'};

        if (strcmp(text, digit) == 0 || strcasecmp(text, privacy_levels[i]) == 0) {
            *level = (Hypermesh__PrivacyLevel)i;
            return 0;
        }
    }
    return HM_EPARSE;
}

const char *wire_outcome_name(Hypermesh__JobOutcome outcome)
{
    return name_of(outcomes, HM_COUNT_OF(outcomes), (int)outcome);
}

const char *wire_lease_state_name(Hypermesh__LeaseState state)
{
    return name_of(lease_states, HM_COUNT_OF(lease_states), (int)state);
}

const char *wire_op_name(unsigned op)
{
    const ProtobufCFieldDescriptor *field;

    if (op == 0)
        return "expire";
    field = protobuf_c_message_descriptor_get_field(&hypermesh__operation__descriptor, op);
    return field ? field->name : "unknown";
}
