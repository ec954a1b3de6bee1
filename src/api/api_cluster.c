/* How the engine of a cluster does, in few figures: what a fault shows in first. */
#include "api_cluster.h"

/* More than a ledger has validators that vote, and some that no longer do. */
#define VALIDATORS_SHOWN_MAX 256

static unsigned bits_of(ProtobufCBinaryData map)
{
    unsigned count = 0;

    for (size_t i = 0; i < map.len; i++)
        count += (unsigned)__builtin_popcount(map.data[i]);
    return count;
}

void api_votes_read(struct api_call *call, uint64_t height, struct api_votes *out)
{
    const Hypermesh__EngineFacts *facts = NULL;
    struct api_block block = {0};
    uint8_t(*digests)[32] = NULL;

    *out = (struct api_votes){0};
    if (height > 0 &&
        call->backend->block(call->backend->ctx, height, &call->arena, &block, &digests, NULL) == 0)
        facts = block.header ? block.header->engine : NULL;
    if (facts)
        *out = (struct api_votes){
            .round = facts->round, .absent = bits_of(facts->absent), .nil = bits_of(facts->nil)};
}

/* --- for Prometheus ----------------------------------------------------------------------------- */

static int missed_write(struct api_call *call, struct hm_buf *out)
{
    static const char name[] = "hypermesh_validator_missed_blocks_total";
    const struct api_page page = {.limit = VALIDATORS_SHOWN_MAX};
    Hypermesh__Validator **items = NULL;
    char text[WIRE_ID_TEXT_MAX];
    size_t count = 0;
    int rc;

    if (call->backend->validators(call->backend->ctx, &page, &call->arena, &items, &count, NULL) !=
        0)
        return 0;
    rc = hm_buf_printf(out,
                       "# HELP %s Blocks with transactions that have no vote of the validator.\n"
                       "# TYPE %s counter\n",
                       name, name);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (items[i]->operator_.len != WIRE_ID_BYTES)
            continue;
        wire_account_text(items[i]->operator_.data, text);
        rc = hm_buf_printf(out, "%s{validator=\"%s\"} %llu\n", name, text,
                           (unsigned long long)items[i]->missed);
    }
    return rc;
}

int api_cluster_metrics(struct api_call *call, struct hm_buf *out)
{
    struct api_status status = {0};
    struct api_votes votes;

    if (call->backend->status(call->backend->ctx, &call->arena, &status, NULL) != 0 ||
        !status.cluster)
        return 0;
    api_votes_read(call, status.height, &votes);
    const struct api_cluster *cluster = status.cluster;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"reachable", "gauge", "1 when the engine answers.", cluster->reachable},
        {"catching_up", "gauge", "1 while it gets blocks that others have.", cluster->catching_up},
        {"validator", "gauge", "1 when this node votes.", cluster->validator},
        {"validators", "gauge", "Those that may vote now.", (double)cluster->validators},
        {"peers", "gauge", "Other nodes that are connected.", cluster->peers},
        {"starts_total", "counter", "Starts of the engine since the node's own.", cluster->starts},
        {"pending", "gauge", "Transactions handed to it that are in no block yet.",
         (double)cluster->pending},
        {"block_age_seconds", "gauge", "Since the newest block, by this machine's clock.",
         (double)cluster->block_age_ms / 1e3},
        {"votes_round", "gauge",
         "Round in which the block before the newest was decided; 0: the "
         "first.",
         votes.round},
        {"votes_absent", "gauge", "Validators without a vote for it.", votes.absent},
        {"votes_nil", "gauge", "Validators that voted for no block instead.", votes.nil},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(rows); i++)
        rc = hm_buf_printf(out,
                           "# HELP hypermesh_cluster_%s %s\n# TYPE hypermesh_cluster_%s %s\n"
                           "hypermesh_cluster_%s %.15g\n",
                           rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                           rows[i].value);
    return rc ? rc : missed_write(call, out);
}
