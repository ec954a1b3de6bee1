/* Names of enum values, as requests and answers have them. */
#include "json.h"

#define NAMES_MAX 8

/* Enums that wire has no names for; in order of their numbers, from 0. */
static const struct {
    const ProtobufCEnumDescriptor *descriptor;
    const char *names[NAMES_MAX];
} listed[] = {
    {&hypermesh__asset_state__descriptor, {"none", "active", "retired"}},
    {&hypermesh__job_state__descriptor,
     {"none", "queued", "leased", "running", "settling", "done"}},
    {&hypermesh__token__descriptor, {"hyper", "caes"}},
    {&hypermesh__member_state__descriptor, {"none", "invited", "joined", "expelled"}},
    {&hypermesh__challenge_state__descriptor, {"none", "open", "answered", "failed", "silent"}},
    {&hypermesh__kv_compare_result__descriptor, {"equal", "greater", "less", "not_equal"}},
    {&hypermesh__kv_compare_target__descriptor, {"version", "create", "mod", "value", "lease"}},
};

static const char *const *names_of(const ProtobufCEnumDescriptor *descriptor)
{
    for (size_t i = 0; i < HM_COUNT_OF(listed); i++) {
        if (listed[i].descriptor == descriptor)
            return listed[i].names;
    }
    return NULL;
}

const char *json_enum_name(const ProtobufCEnumDescriptor *descriptor, int value)
{
    const char *const *names = names_of(descriptor);

    if (descriptor == &hypermesh__asset_kind__descriptor)
        return wire_asset_kind_name((Hypermesh__AssetKind)value);
    if (descriptor == &hypermesh__privacy_level__descriptor)
        return wire_privacy_name((Hypermesh__PrivacyLevel)value);
    if (descriptor == &hypermesh__job_outcome__descriptor)
        return wire_outcome_name((Hypermesh__JobOutcome)value);
    if (descriptor == &hypermesh__lease_state__descriptor)
        return wire_lease_state_name((Hypermesh__LeaseState)value);
    /* Enums of proto3 are open: a number from outside may be none of ours. */
    if (!names || value < 0 || value >= NAMES_MAX || !names[value])
        return "unknown";
    return names[value];
}

int json_enum_parse(const ProtobufCEnumDescriptor *descriptor, const char *name, int *value)
{
    for (unsigned i = 0; i < descriptor->n_values; i++) {
        int number = descriptor->values[i].value;

        if (strcmp(json_enum_name(descriptor, number), name) == 0) {
            *value = number;
            return 0;
        }
    }
    return HM_EPARSE;
}
