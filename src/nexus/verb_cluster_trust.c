/* cluster trust: the block that others may begin with, HEIGHT:HASH. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_light.h"
#include "nexus_verbs.h"

/* Of an idle chain the newest block's time is old, and the next one's too: it is that of the votes for this one. */
#define FRESH_MS 60000
#define MORE_MAX 2

struct asked {
    struct nexus_call *call;
    struct light_anchor anchor;
    char chain_id[LIGHT_CHAIN_ID_MAX_BYTES + 1];
    uint64_t time_ms;
};

/* A block by itself; whose validators these are, only their operator can say. */
static int take_block(struct asked *asked, const Hypermesh__Abci__LightBlock *message,
                      struct hm_arena *arena)
{
    const Hypermesh__Abci__Header *header;
    struct light_block block;
    int rc = light_block_check(message, arena, &block, &asked->call->error);

    if (rc)
        return rc;
    header = message->signed_header->header;
    asked->anchor.height = header->height;
    memcpy(asked->anchor.hash, block.hash, sizeof(block.hash));
    (void)snprintf(asked->chain_id, sizeof(asked->chain_id), "%s", header->chain_id);
    asked->time_ms = header->time->seconds < 0 ? 0 : (uint64_t)header->time->seconds * 1000;
    return 0;
}

static int ask_block(struct asked *asked, struct nexus_light *light, int64_t height, bool wait)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *message = NULL;
    int rc;

    hm_arena_init(&arena, LIGHT_BLOCK_MAX_MEMORY);
    rc = nexus_light_block(light, height, wait, &arena, &message, &asked->call->error);
    return rc ? rc : take_block(asked, message, &arena);
}

/* The newest block; of an idle chain one that is made now, so that it is trusted for the whole period. */
static int ask_newest(struct asked *asked, struct nexus_client *client)
{
    struct nexus_light light = {.client = client, .clock = hm_clock_system()};
    int rc = ask_block(asked, &light, 0, false);

    for (unsigned i = 0; !rc && i < MORE_MAX; i++) {
        uint64_t now_ms = hm_wall_ms(light.clock);

        if (now_ms <= asked->time_ms + FRESH_MS ||
            ask_block(asked, &light, asked->anchor.height + 1, true) != 0)
            break; /* too few are there to make one: what there is will do */
    }
    asked->call->error = rc ? asked->call->error : (struct hm_error){0};
    return rc;
}

/* Another node of the same operator must have the same block. */
static int compare(struct asked *asked, const struct nexus_cluster_node *node)
{
    struct asked other = {.call = asked->call};
    struct nexus_light light = {.clock = hm_clock_system()};
    struct nexus_call *call = asked->call;
    struct nexus_place place;
    int rc = nexus_place_find(node->data, NULL, NULL, call->arena, &place, &call->error);

    if (!rc)
        rc = nexus_client_open(&place, &light.client, &call->error);
    if (!rc)
        rc = ask_block(&other, &light, asked->anchor.height, true);
    nexus_client_close(light.client);
    if (rc == NEXUS_EUNREACHABLE) {
        nexus_say("%s: %s", node->name, call->error.text);
        call->error = (struct hm_error){0};
        return 0;
    }
    if (!rc && memcmp(&other.anchor.hash, &asked->anchor.hash, sizeof(other.anchor.hash)) != 0)
        rc = hm_fail(&call->error, HM_ECORRUPT,
                     "%s has another block of height %lld than the others: find out why before "
                     "anybody trusts one of them",
                     node->name, (long long)asked->anchor.height);
    return rc;
}

static int ask_cluster(struct asked *asked, const struct nexus_cluster *cluster)
{
    struct nexus_call *call = asked->call;
    bool known = false;
    int rc = 0;

    for (size_t i = 0; !rc && i < cluster->count; i++) {
        const struct nexus_cluster_node *node = &cluster->nodes[i];
        struct nexus_client *client = NULL;
        struct nexus_place place;

        if (nexus_cluster_pid(node) == 0)
            continue;
        if (known) {
            rc = compare(asked, node);
            continue;
        }
        rc = nexus_place_find(node->data, NULL, NULL, call->arena, &place, &call->error);
        if (!rc)
            rc = nexus_client_open(&place, &client, &call->error);
        if (!rc)
            rc = ask_newest(asked, client);
        nexus_client_close(client);
        known = !rc;
    }
    if (!rc && !known)
        rc = hm_fail(&call->error, NEXUS_EUNREACHABLE,
                     "none of the cluster's nodes runs: nexus cluster start");
    return rc;
}

static int show_anchor(struct nexus_call *call, const struct asked *asked)
{
    char text[LIGHT_ANCHOR_TEXT_MAX];
    NEXUS_AUTOJSON json_t *value = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    light_anchor_format(&asked->anchor, text);
    value = json_pack("{s:s, s:s, s:I}", "trust", text, "chain_id", asked->chain_id, "time_ms",
                      (json_int_t)asked->time_ms);
    if (!value || hm_buf_printf(&out, "%s\n", text) != 0)
        return nexus_no_memory(call);
    return call->format == NEXUS_FORMAT_TABLE ? nexus_write(call, &out)
                                              : nexus_show(call, value, nexus_table_object);
}

static int run_trust(struct nexus_call *call)
{
    struct asked asked = {.call = call};
    struct nexus_cluster cluster;
    const char *file = hm_arena_printf(call->arena, "%s/%s", call->place.data_dir,
                                       NEXUS_CLUSTER_FILE);
    int rc = file ? crypto_setup(&call->error) : nexus_no_memory(call);

    if (!rc && !call->place.url && access(file, F_OK) == 0) {
        rc = nexus_cluster_load(call, &cluster);
        if (!rc)
            rc = ask_cluster(&asked, &cluster);
    } else if (!rc) {
        rc = nexus_connect(call);
        if (!rc)
            rc = ask_newest(&asked, call->client);
    }
    return rc ? rc : show_anchor(call, &asked);
}

const struct nexus_verb verb_cluster_trust = {
    .group = "cluster",
    .name = "trust",
    .summary = "A block of this chain, HEIGHT:HASH, for others to check the chain from",
    .text =
        "For nexus verify --remote --trust, on any machine. Asks all nodes of the cluster in the\n"
        "data folder, which must agree, or the one node that --data or --url names.",
    .run = run_trust};
