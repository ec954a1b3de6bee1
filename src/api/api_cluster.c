/* How the engine of a cluster does, in few figures: what a fault shows in first. */
#include "api_core.h"

#define VALIDATORS_PAGE      256
#define VALIDATORS_PAGES_MAX 16

static unsigned bits_of(ProtobufCBinaryData map)
{
    unsigned count = 0;

    for (size_t i = 0; i < map.len; i++)
        count += (unsigned)__builtin_popcount(map.data[i]);
    return count;
}

void api_votes_init(struct api_votes_kept *kept)
{
    (void)pthread_mutex_init(&kept->lock, NULL);
}

void api_votes_release(struct api_votes_kept *kept)
{
    (void)pthread_mutex_destroy(&kept->lock);
}

static bool votes_find(struct api_call *call, uint64_t height, struct api_votes *out)
{
    const Hypermesh__EngineFacts *facts;
    struct api_block *block = NULL;
    size_t count = 0;

    if (height == 0 || call->backend->blocks(call->backend->ctx, height, 1, &call->arena, &block,
                                             &count, NULL) != 0)
        return false;
    facts = count > 0 && block->header ? block->header->engine : NULL;
    if (!facts || block->header->height != height)
        return false;
    *out = (struct api_votes){.height = height,
                              .round = facts->round,
                              .absent = bits_of(facts->absent),
                              .nil = bits_of(facts->nil)};
    return true;
}

void api_votes_read(struct api_call *call, uint64_t height, struct api_votes *out)
{
    struct api_votes_kept *kept = &call->core->votes;

    (void)pthread_mutex_lock(&kept->lock);
    *out = kept->votes;
    (void)pthread_mutex_unlock(&kept->lock);
    if (out->height == height)
        return;
    *out = (struct api_votes){0};
    if (!votes_find(call, height, out))
        return;
    (void)pthread_mutex_lock(&kept->lock);
    kept->votes = *out;
    (void)pthread_mutex_unlock(&kept->lock);
}

/* --- for Prometheus ----------------------------------------------------------------------------- */

static int missed_line(const Hypermesh__Validator *validator, const char *name, struct hm_buf *out)
{
    char text[WIRE_ID_TEXT_MAX];

    if (validator->retired || validator->tombstoned || validator->operator_.len != WIRE_ID_BYTES)
        return 0;
    wire_account_text(validator->operator_.data, text);
    return hm_buf_printf(out, "%s{validator=\"%s\"} %llu\n", name, text,
                         (unsigned long long)validator->missed);
}

/* Those that have left stay in the ledger, and anybody with a bond can be one of them: they are passed over. */
static int missed_write(struct api_call *call, struct hm_buf *out)
{
    static const char name[] = "hypermesh_validator_missed_blocks_total";
    struct api_page page = {.limit = VALIDATORS_PAGE};
    int rc = hm_buf_printf(
        out,
        "# HELP %s Blocks with transactions that have no vote of the validator.\n"
        "# TYPE %s counter\n",
        name, name);

    for (size_t pages = 0; rc == 0 && pages < VALIDATORS_PAGES_MAX; pages++) {
        Hypermesh__Validator **items = NULL;
        size_t count = 0;

        if (call->backend->validators(call->backend->ctx, &page, &call->arena, &items, &count,
                                      NULL) != 0)
            return 0;
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = missed_line(items[i], name, out);
        if (count < page.limit || items[count - 1]->operator_.len != WIRE_ID_BYTES)
            return rc;
        page.after = items[count - 1]->operator_.data;
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
        {"quorum", "gauge", "1 when more than two thirds of the votes may be in reach.",
         cluster->quorum},
        {"votes_in_reach_ratio", "gauge", "At most so much of all votes is in reach.",
         cluster->votes_percent / 100.0},
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
