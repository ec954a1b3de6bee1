/* What a cluster's validators together see of its nodes, and its chain of delays, for `cluster status`. */
#include "nexus_cluster.h"
#include "nexus_show.h"

#define US_A_MS 1000

/* The node that runs and is furthest; NULL: none runs. */
static const struct nexus_cluster_node *furthest(const struct nexus_cluster *cluster,
                                                 const json_t *nodes)
{
    const struct nexus_cluster_node *best = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < cluster->count; i++) {
        const json_t *state = json_array_get(nodes, i);
        uint64_t height = nexus_json_u64(json_object_get(state, "node"), "height");

        if (nexus_json_bool(state, "running") && (!best || height > most)) {
            best = &cluster->nodes[i];
            most = height;
        }
    }
    return best;
}

/* Not being there yet is no failure: the cluster may be young. */
static json_t *ask(struct nexus_call *call, const struct nexus_cluster_node *node, const char *path)
{
    struct hm_error error = {0};
    json_t *reply = NULL;

    if (!node || nexus_cluster_ask(call, node, "GET", path, NULL, &reply, &error) != 0 || !reply)
        return json_null();
    return reply;
}

int nexus_cluster_put_seen(struct nexus_call *call, const struct nexus_cluster *cluster,
                           json_t *state)
{
    const struct nexus_cluster_node *node = furthest(cluster, nexus_json_list(state, "nodes"));

    if (json_object_set_new(state, "witness", ask(call, node, "/cluster/witness")) != 0 ||
        json_object_set_new(state, "vdf", ask(call, node, "/cluster/vdf")) != 0)
        return nexus_no_memory(call);
    return 0;
}

const json_t *nexus_cluster_seen(const json_t *state, const char *node_id)
{
    const json_t *nodes = nexus_json_list(json_object_get(state, "witness"), "nodes");

    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (strcmp(nexus_json_text(json_array_get(nodes, i), "node"), node_id) == 0)
            return json_array_get(nodes, i);
    return NULL;
}

const char *nexus_cluster_rtt(struct nexus_call *call, const json_t *seen)
{
    uint64_t us = nexus_json_u64(seen, "rtt_us");

    return seen ? hm_arena_printf(call->arena, "%llu.%llu ms", (unsigned long long)(us / US_A_MS),
                                  (unsigned long long)(us % US_A_MS / 100))
                : "-";
}

const char *nexus_cluster_clock(struct nexus_call *call, const json_t *seen)
{
    return seen ? hm_arena_printf(call->arena, "%+lld ms",
                                  (long long)nexus_json_i64(seen, "clock_ms"))
                : "-";
}

const char *nexus_cluster_doubts(struct nexus_call *call, const json_t *seen)
{
    const json_t *doubts = nexus_json_list(seen, "doubts");
    const char *text = "";

    for (size_t i = 0; text && i < json_array_size(doubts); i++)
        text = hm_arena_printf(call->arena, "%s; its %s is doubted", text,
                               nexus_json_cell(json_array_get(doubts, i), call->arena));
    return text ? text : "";
}

static const char *name_of(const json_t *state, const char *node_id)
{
    const json_t *nodes = nexus_json_list(state, "nodes");

    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (strcmp(nexus_json_text(json_array_get(nodes, i), "node_id"), node_id) == 0)
            return nexus_json_text(json_array_get(nodes, i), "name");
    return node_id; /* on another machine */
}

const char *nexus_cluster_links(struct nexus_call *call, const json_t *state, const json_t *node)
{
    const json_t *links = nexus_json_list(json_object_get(json_object_get(node, "node"), "cluster"),
                                          "links");
    const char *text = "";

    for (size_t i = 0; text && i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);

        if (nexus_json_bool(link, "bad"))
            text = hm_arena_printf(call->arena, "%s%s %s", text,
                                   *text == '\0' ? "; bad links to" : ",",
                                   name_of(state, nexus_json_text(link, "node")));
    }
    return text ? text : "";
}

/* Of those that run, whoever has the most in reach; nothing where none says. */
static int quorum_line(const json_t *state, struct hm_buf *out)
{
    const json_t *nodes = nexus_json_list(state, "nodes");
    unsigned long long percent = 0;
    bool told = false;

    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_object_get(json_array_get(nodes, i), "node");
        const json_t *cluster = json_object_get(node, "cluster");

        if (!json_is_object(cluster))
            continue;
        if (nexus_json_bool(cluster, "quorum"))
            return 0;
        told = true;
        if (nexus_json_u64(cluster, "votes_percent") > percent)
            percent = nexus_json_u64(cluster, "votes_percent");
    }
    if (!told)
        return 0;
    return hm_buf_printf(out,
                         "NO QUORUM: at most %llu %% of the votes are in reach, and more than two "
                         "thirds must be: no block can be made\n",
                         percent);
}

int nexus_cluster_seen_lines(struct nexus_call *call, const json_t *state, struct hm_buf *out)
{
    const json_t *seen = json_object_get(state, "witness"), *link = json_object_get(state, "vdf");
    int rc = quorum_line(state, out);

    if (!rc && json_is_object(seen))
        rc = hm_buf_printf(
            out, "seen by %llu validators with %llu %% of the power, told in block %llu\n",
            (unsigned long long)nexus_json_u64(seen, "voters"),
            (unsigned long long)nexus_json_u64(seen, "power_ppm") / 10000,
            (unsigned long long)nexus_json_u64(seen, "height"));
    if (!rc && json_is_object(link))
        rc = hm_buf_printf(
            out,
            "chain of delays: link %llu of %llu squarings, from block %llu, in block %llu (%s)\n",
            (unsigned long long)nexus_json_u64(link, "index"),
            (unsigned long long)nexus_json_u64(link, "steps"),
            (unsigned long long)nexus_json_u64(link, "height"),
            (unsigned long long)nexus_json_u64(link, "linked_height"),
            nexus_show_time(nexus_json_u64(link, "linked_ms"), call->arena));
    return rc ? nexus_no_memory(call) : 0;
}
