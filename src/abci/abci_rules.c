/* What the engine takes as an answer: the conditions of CometBFT v0.38 (state/execution.go, consensus/replay.go, statesync/messages.go)
 * that one message can break, so that they are found here, before it leaves. */
#include "abci_private.h"

size_t abci_tx_bytes(size_t tx_bytes)
{
    uint8_t header[ABCI_FRAME_HEADER_MAX_BYTES];

    return 1 + abci_frame_header(tx_bytes, header) + tx_bytes;
}

size_t abci_txs_bytes(const struct hm_slice *txs, size_t count)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += abci_tx_bytes(txs[i].len);
    return sum;
}

static int size_check(const char *what, size_t len, size_t limit, struct hm_error *error)
{
    if (len > limit)
        return hm_fail(error, HM_EINTERNAL, "%s has %zu bytes, at most %zu are taken", what, len,
                       limit);
    return 0;
}

static int info_check(const Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    if (answer->last_block_height < 0)
        return hm_fail(error, HM_EINTERNAL, "info: last_block_height %lld is negative",
                       (long long)answer->last_block_height);
    return size_check("info: last_block_app_hash", answer->last_block_app_hash.len,
                      ABCI_APP_HASH_MAX_BYTES, error);
}

/* What abci_updates_* refuse is, in an answer, this program's fault. */
static int updates_failed(int rc, const char *where, struct hm_error *error)
{
    if (rc == 0 || rc == HM_ENOMEM)
        return rc;
    return hm_error_prefix(error, HM_EINTERNAL, "%s", where);
}

static int init_chain_check(const Hypermesh__Abci__RequestInitChain *request,
                            const Hypermesh__Abci__ResponseInitChain *answer,
                            struct hm_error *error)
{
    int rc = size_check("init_chain: app_hash", answer->app_hash.len, ABCI_APP_HASH_MAX_BYTES,
                        error);

    if (rc == 0)
        rc = abci_params_check(answer->consensus_params, error);
    if (rc)
        return rc;
    if (answer->n_validators == 0 && request->n_validators == 0)
        return hm_fail(error, HM_EINTERNAL,
                       "init_chain: neither the genesis nor the application names a validator");
    rc = abci_updates_check(NULL, 0, answer->validators, answer->n_validators, error);
    return updates_failed(rc, "init_chain", error);
}

static int prepare_check(const Hypermesh__Abci__RequestPrepareProposal *request,
                         const Hypermesh__Abci__ResponsePrepareProposal *answer,
                         struct hm_error *error)
{
    size_t limit = request->max_tx_bytes > 0 ? (size_t)request->max_tx_bytes : 0;
    size_t sum = 0;

    for (size_t i = 0; i < answer->n_txs; i++)
        sum += abci_tx_bytes(answer->txs[i].len);
    return size_check("prepare_proposal: the sum of all txs", sum, limit, error);
}

static int finalize_check(const Hypermesh__Abci__RequestFinalizeBlock *request,
                          const Hypermesh__Abci__ResponseFinalizeBlock *answer,
                          struct hm_error *error)
{
    int rc;

    if (answer->n_tx_results != request->n_txs)
        return hm_fail(error, HM_EINTERNAL,
                       "finalize_block: %zu tx_results for the %zu txs of block %lld",
                       answer->n_tx_results, request->n_txs, (long long)request->height);
    rc = size_check("finalize_block: app_hash", answer->app_hash.len, ABCI_APP_HASH_MAX_BYTES,
                    error);
    if (rc == 0)
        rc = abci_params_check(answer->consensus_param_updates, error);
    if (rc)
        return rc;
    rc = abci_updates_form(answer->validator_updates, answer->n_validator_updates, error);
    return updates_failed(rc, "finalize_block", error);
}

static int snapshots_check(const Hypermesh__Abci__ResponseListSnapshots *answer,
                           struct hm_error *error)
{
    for (size_t i = 0; i < answer->n_snapshots; i++) {
        const Hypermesh__Abci__Snapshot *snapshot = answer->snapshots[i];
        int rc;

        if (snapshot->height == 0 || snapshot->chunks == 0 || snapshot->hash.len == 0)
            return hm_fail(error, HM_EINTERNAL,
                           "list_snapshots: snapshot %zu lacks its height, chunks or hash", i);
        rc = size_check("list_snapshots: a snapshot's hash and metadata",
                        snapshot->hash.len + snapshot->metadata.len, ABCI_METADATA_MAX_BYTES,
                        error);
        if (rc)
            return rc;
    }
    return 0;
}

static int choice_check(const char *what, int choice, int last, struct hm_error *error)
{
    if (choice < 1 || choice > last) /* 0 is UNKNOWN, at which the engine panics */
        return hm_fail(error, HM_EINTERNAL, "%s: %d is none of its values", what, choice);
    return 0;
}

/* The kinds have been compared; the members below are there. */
static int body_check(const Hypermesh__Abci__Request *request,
                      const Hypermesh__Abci__Response *answer, struct hm_error *error)
{
    switch (answer->value_case) {
    case HYPERMESH__ABCI__RESPONSE__VALUE_INFO:
        return info_check(answer->info, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_INIT_CHAIN:
        return init_chain_check(request->init_chain, answer->init_chain, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_PREPARE_PROPOSAL:
        return prepare_check(request->prepare_proposal, answer->prepare_proposal, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_PROCESS_PROPOSAL:
        return choice_check("process_proposal", (int)answer->process_proposal->status,
                            HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_EXTEND_VOTE:
        return size_check("extend_vote: the extension", answer->extend_vote->vote_extension.len,
                          ABCI_EXTENSION_MAX_BYTES, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_VERIFY_VOTE_EXTENSION:
        return choice_check("verify_vote_extension", (int)answer->verify_vote_extension->status,
                            HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_FINALIZE_BLOCK:
        return finalize_check(request->finalize_block, answer->finalize_block, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_LIST_SNAPSHOTS:
        return snapshots_check(answer->list_snapshots, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_OFFER_SNAPSHOT:
        return choice_check("offer_snapshot", (int)answer->offer_snapshot->result,
                            HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__REJECT_SENDER, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_LOAD_SNAPSHOT_CHUNK:
        return size_check("load_snapshot_chunk: the chunk", answer->load_snapshot_chunk->chunk.len,
                          ABCI_CHUNK_MAX_BYTES, error);
    case HYPERMESH__ABCI__RESPONSE__VALUE_APPLY_SNAPSHOT_CHUNK:
        return choice_check("apply_snapshot_chunk", (int)answer->apply_snapshot_chunk->result,
                            HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__REJECT_SNAPSHOT,
                            error);
    default:
        return 0;
    }
}

/* In the engine's schema an answer's number is its request's and one more. */
static bool kinds_match(const Hypermesh__Abci__Request *request,
                        const Hypermesh__Abci__Response *answer)
{
    return request->value_case != HYPERMESH__ABCI__REQUEST__VALUE__NOT_SET &&
           (unsigned)answer->value_case == (unsigned)request->value_case + 1;
}

int abci_answer_check(const Hypermesh__Abci__Request *request,
                      const Hypermesh__Abci__Response *answer, struct hm_error *error)
{
    size_t size;
    int rc;

    if (!kinds_match(request, answer) || answer->echo == NULL)
        return hm_fail(error, HM_EINTERNAL, "an answer of kind %d to a request of kind %d",
                       (int)answer->value_case, (int)request->value_case);
    /* All members of the oneof are pointers to a message; lists may hold what is none. */
    if (!protobuf_c_message_check((const ProtobufCMessage *)answer->echo))
        return hm_fail(error, HM_EINTERNAL, "an answer of kind %d holds a NULL that may not be",
                       (int)answer->value_case);
    rc = body_check(request, answer, error);
    if (rc)
        return rc;
    size = hypermesh__abci__response__get_packed_size(answer);
    return size_check("an answer", size, ABCI_MESSAGE_MAX_BYTES, error);
}
