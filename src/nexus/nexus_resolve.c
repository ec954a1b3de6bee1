#include "nexus_resolve.h"

#include "wire.h"

#define NETWORK_PREFIX   "net1"
#define PREFIX_CHARS_MIN 3 /* of an id, behind "asset1" */

static bool item_fits(const json_t *item, const char *text, const char *prefix)
{
    const char *id = nexus_json_text(item, "id");
    size_t len = strlen(text);

    if (strcmp(nexus_json_text(item, "hardware_id"), text) == 0 ||
        (strcmp(prefix, NETWORK_PREFIX) == 0 && strcmp(nexus_json_text(item, "name"), text) == 0))
        return true;
    return len >= strlen(prefix) + PREFIX_CHARS_MIN && strncmp(id, text, len) == 0;
}

static int resolve(struct nexus_call *call, const char *text, const char *what, const char *path,
                   const char *prefix, const char **id)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *found = NULL;
    int rc = nexus_list(call, path, 0, &items);

    if (rc)
        return rc;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (!item_fits(item, text, prefix))
            continue;
        if (found)
            return hm_fail(&call->error, HM_EINVAL,
                           "several %ss are called %s; give more of the id", what, text);
        found = nexus_json_text(item, "id");
    }
    if (!found) {
        call->hint = hm_arena_printf(call->arena, "nexus %s ls shows those there are", what);
        return hm_fail(&call->error, HM_ENOTFOUND, "there is no %s %s", what, text);
    }
    *id = hm_arena_strdup(call->arena, found);
    return *id ? 0 : nexus_no_memory(call);
}

int nexus_resolve_asset(struct nexus_call *call, const char *text, const char **id)
{
    uint8_t bytes[WIRE_ID_BYTES];

    if (wire_asset_parse(text, bytes, NULL) == 0) {
        *id = text;
        return 0;
    }
    return resolve(call, text, "asset", "/assets", "asset1", id);
}

int nexus_resolve_lease(struct nexus_call *call, const char *text, const char **id)
{
    uint8_t bytes[WIRE_ID_BYTES];

    if (wire_lease_parse(text, bytes, NULL) == 0) {
        *id = text;
        return 0;
    }
    return resolve(call, text, "lease", "/leases", "lease1", id);
}

int nexus_resolve_network(struct nexus_call *call, const char *text, const char **id)
{
    uint8_t bytes[WIRE_ID_BYTES];

    if (wire_network_parse(text, bytes, NULL) == 0) {
        *id = text;
        return 0;
    }
    return resolve(call, text, "network", "/networks", NETWORK_PREFIX, id);
}

int nexus_resolve_challenge(struct nexus_call *call, const char *text, const char **id)
{
    uint8_t bytes[WIRE_ID_BYTES];

    if (wire_challenge_parse(text, bytes, NULL) == 0) {
        *id = text;
        return 0;
    }
    return resolve(call, text, "challenge", "/consensus/challenges", "chal1", id);
}

json_t *nexus_accounts(struct nexus_call *call)
{
    struct hm_error saved = call->error;
    json_t *items = NULL;

    if (nexus_items(call, "/accounts", &items) != 0) {
        call->error = saved;
        return json_array();
    }
    return items;
}

const char *nexus_account_name_or_id(const json_t *accounts, const char *id)
{
    for (size_t i = 0; i < json_array_size(accounts); i++) {
        const json_t *account = json_array_get(accounts, i);
        const char *name = nexus_json_text(account, "name");

        if (name[0] && strcmp(nexus_json_text(account, "id"), id) == 0)
            return name;
    }
    return id;
}

const char *nexus_account_name(const json_t *accounts, const char *id, struct hm_arena *arena)
{
    const char *known = nexus_account_name_or_id(accounts, id);

    return known == id ? nexus_show_short(id, arena) : known;
}
