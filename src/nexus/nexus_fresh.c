#include "nexus_fresh.h"

const char *nexus_fresh_reason(const json_t *node, struct hm_arena *arena)
{
    const json_t *cluster = json_object_get(node, "cluster");
    uint64_t peers = nexus_json_u64(cluster, "peers");
    uint64_t validators = nexus_json_u64(cluster, "validators");
    uint64_t pending = nexus_json_u64(cluster, "pending");

    if (!json_is_object(cluster))
        return NULL;
    if (!json_is_true(json_object_get(cluster, "reachable")))
        return "the node's engine does not answer";
    if (validators > 0 && peers < validators && 3 * (peers + 1) <= 2 * validators)
        return hm_arena_printf(arena,
                               "no quorum, %llu of %llu other nodes are connected, and two thirds "
                               "must be",
                               (unsigned long long)peers, (unsigned long long)validators - 1);
    if (json_is_true(json_object_get(cluster, "catching_up")))
        return "the node is catching up with the cluster";
    return pending > 0 ? hm_arena_printf(arena, "%llu transactions wait for the next one",
                                         (unsigned long long)pending)
                       : NULL;
}

void nexus_fresh_say(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *node = NULL;
    uint64_t height = 0, age_ms = 0;
    const char *reason;

    if (!call->client || !nexus_client_read_at(call->client, &height, &age_ms) ||
        age_ms <= NEXUS_FRESH_MS ||
        nexus_client_call(call->client, "GET", "/node", NULL, &node, NULL) != 0)
        return;
    reason = nexus_fresh_reason(node, call->arena);
    if (reason)
        nexus_say("read at block %llu, %s old: %s", (unsigned long long)height,
                  nexus_show_span_ms(age_ms / 1000 * 1000, call->arena), reason);
}
