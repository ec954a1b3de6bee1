/* What a cluster's node sees of the others and says of itself with its votes, and the links of the chain of delays that it computes:
 * witness.c and node_vdf.c, between this node's engine and its ledger. */
#include "node_private.h"
#include "node_vdf.h"
#include "witness.h"

#define VIEW_KNOW_NS (UINT64_C(60) * 1000000000) /* between two looks at whom the validators see */

/* --- the others ------------------------------------------------------------------------------------------ */

int node_view_open(struct node *node, const char *keys_dir, const char *chain_id,
                   struct hm_error *error)
{
    struct crypto_ed25519_key key;
    struct witness_options options = {.key = &key,
                                      .chain_id = chain_id,
                                      .listen = node->options.p2p_listen,
                                      .peers = node->options.p2p_peers,
                                      .peer_count = node->options.p2p_peer_count,
                                      .clock = node->options.clock,
                                      .random = node->options.random};
    int rc = engine_key_load(keys_dir, ENGINE_NODE_KEY_NAME, &key, error);

    if (rc != 0)
        return rc;
    memcpy(options.validator, node->beside.address, sizeof(options.validator));
    rc = witness_open(&options, &node->beside.witness, error);
    crypto_ed25519_wipe(&key);
    return rc;
}

/* Now and then: an answer of a block ago is as good. */
static void node_view_know(struct node *node)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint64_t now_ns = hm_mono_ns(node->options.clock);
    Hypermesh__WitnessView *seen;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    if (node->beside.known_ns != 0 && now_ns - node->beside.known_ns < VIEW_KNOW_NS)
        return;
    node->beside.known_ns = now_ns;
    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return;
    if (ledger_view_witness(view, &arena, &seen, NULL) == 0)
        witness_know(node->beside.witness, seen);
    ledger_view_close(view);
}

/* A ledger that a snapshot brings has its name only then. */
int node_view_witness(void *ctx, struct hm_buf *out)
{
    struct node *node = ctx;
    struct witness *witness = node->beside.witness;
    struct ledger_info info;

    if (!witness_is_proven(witness) && ledger_info(node->ledger, &info, NULL) == 0)
        witness_prove(witness, info.chain_hash);
    node_view_know(node);
    return witness_pack(witness, out);
}

/* --- the chain of delays ---------------------------------------------------------------------------------- */

static int node_view_task(void *ctx, struct ledger_vdf_task *out)
{
    struct node *node = ctx;
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, NULL);

    if (rc != 0)
        return rc;
    rc = ledger_view_vdf_task(view, out, NULL);
    ledger_view_close(view);
    return rc;
}

/* Validators in the order of the engine's set, beginning with the one that the input picks. */
static size_t node_view_turn(void *ctx, const struct ledger_vdf_task *task)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_validator_update *set;
    uint8_t address[ENGINE_ADDRESS_BYTES];
    size_t count = 0, turn = SIZE_MAX;
    struct node *node = ctx;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return SIZE_MAX;
    if (ledger_view_engine_set(view, &arena, &set, &count, NULL) != 0)
        count = 0;
    ledger_view_close(view);
    for (size_t i = 0; i < count; i++)
        if (engine_config_address(set[i].key, address, NULL) == 0 &&
            memcmp(address, node->beside.address, sizeof(address)) == 0)
            turn = (i + count - hm_get_be64(task->input) % count) % count;
    return turn;
}

static int node_view_offer(void *ctx, uint64_t index, struct hm_slice output, struct hm_slice proof,
                           struct hm_error *error)
{
    struct node *node = ctx;

    return engine_offer_vdf(node->engine, index, output, proof, error);
}

static void node_view_nudge(void *ctx)
{
    struct node *node = ctx;

    (void)engine_nudge(node->engine, NULL);
}

int node_view_compute(struct node *node, struct hm_error *error)
{
    const struct node_vdf_options options = {.task = node_view_task,
                                             .turn = node_view_turn,
                                             .offer = node_view_offer,
                                             .nudge = node_view_nudge,
                                             .ctx = node};
    struct node_vdf *vdf;
    int rc = node_vdf_open(&options, &vdf, error);

    if (rc == 0)
        atomic_store(&node->beside.vdf, vdf);
    return rc;
}

/* --- both ------------------------------------------------------------------------------------------------ */

void node_view_saw_block(struct node *node)
{
    witness_saw_block(node->beside.witness);
    node_vdf_saw_block(atomic_load(&node->beside.vdf));
}

/* Blocks may come until the engine is closed: it is told of them, but computes nothing any more. */
void node_view_stop(struct node *node)
{
    if (atomic_load(&node->beside.vdf) != NULL)
        node_vdf_stop(atomic_load(&node->beside.vdf));
}

void node_view_close(struct node *node)
{
    node_vdf_close(atomic_exchange(&node->beside.vdf, NULL));
    witness_close(HM_TAKE(node->beside.witness));
}

void node_view_links(struct node *node, struct hm_arena *arena, struct api_cluster *out)
{
    struct witness_way ways[WITNESS_WAYS_MAX];
    struct api_link *links;

    if (atomic_load(&node->beside.vdf) == NULL) /* it comes last */
        return;
    size_t count = witness_get_ways(node->beside.witness, ways);
    links = hm_arena_alloc(arena, count * sizeof(*links));
    if (count == 0 || links == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        links[i] = (struct api_link){.packets = ways[i].packets,
                                     .lost = ways[i].lost,
                                     .overtaken = ways[i].late,
                                     .duplicated = ways[i].twice,
                                     .bad = ways[i].bad};
        memcpy(links[i].node, ways[i].node, sizeof(links[i].node));
    }
    out->links = links;
    out->link_count = count;
}

static int node_view_metric(struct hm_buf *out, const char *name, const char *type,
                            const char *help, double value)
{
    return hm_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
                         name, value);
}

int node_view_metrics(struct node *node, struct hm_buf *out)
{
    struct node_vdf *vdf = atomic_load(&node->beside.vdf);
    struct witness_stats seen;
    struct node_vdf_stats made;
    int rc = 0;

    if (vdf == NULL) /* it comes last: what it does not follow may be put there right now */
        return 0;
    witness_get_stats(node->beside.witness, &seen);
    node_vdf_get_stats(vdf, &made);
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"hypermesh_echo_listening", "gauge", "1 when this node's UDP port is open.",
         seen.listening},
        {"hypermesh_echo_peers", "gauge", "Nodes whose distance is to be measured.",
         (double)seen.peers},
        {"hypermesh_echo_answering", "gauge", "Of them, those that answered lately.",
         (double)seen.answering},
        {"hypermesh_echo_asked_total", "counter", "Questions sent to them.", (double)seen.asked},
        {"hypermesh_echo_answers_total", "counter", "Their answers.", (double)seen.answers},
        {"hypermesh_echo_answered_total", "counter", "Their questions that were answered.",
         (double)seen.answered},
        {"hypermesh_echo_refused_total", "counter",
         "Packets dropped: too many, forged, another chain's, or no answer to a question.",
         (double)seen.refused},
        {"hypermesh_links_bad", "gauge",
         "Peers to whom too many packets are lost, overtaken or duplicated.",
         (double)seen.links_bad},
        {"hypermesh_link_packets_total", "counter",
         "Questions sent to the peers that show how good the ways to them are.",
         (double)seen.link_sent},
        {"hypermesh_link_answered_total", "counter", "Of them, those that came back.",
         (double)seen.link_answered},
        {"hypermesh_link_lost_total", "counter",
         "Of them, those that were overtaken by 100 ms or more, mostly lost.",
         (double)seen.link_lost},
        {"hypermesh_link_overtaken_total", "counter", "Of them, those that a later one overtook.",
         (double)seen.link_late},
        {"hypermesh_link_duplicated_total", "counter", "Of them, those that came back twice.",
         (double)seen.link_twice},
        {"hypermesh_vdf_computed_total", "counter", "Links of the chain of delays computed here.",
         (double)made.computed},
        {"hypermesh_vdf_given_up_total", "counter",
         "Computations ended because another node's link was there.", (double)made.given_up},
        {"hypermesh_vdf_busy_seconds_total", "counter", "Time spent on links.",
         (double)made.busy_ns / 1e9},
    };
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(rows); i++)
        rc = node_view_metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    return rc;
}
