/* A counter that as many machines agree on as run it: each transaction is a number to add. Its state is in memory only: the
 * engine has the blocks, and gives them again when it is told height 0. docs/abci.md says how to build and run it. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "abci.h"

struct counter {
    _Atomic uint64_t sum; /* as committed; queries come while a block is counted */
    _Atomic int64_t height;
    uint64_t next_sum; /* after the block under way */
    int64_t next_height;
};

/* What all nodes must have in common after a block. */
static ProtobufCBinaryData root_of(uint64_t sum, struct hm_arena *arena)
{
    uint8_t *root = hm_arena_alloc(arena, 8);
    if (root != NULL)
        hm_put_be64(root, sum);
    return (ProtobufCBinaryData){.len = root != NULL ? 8 : 0, .data = root};
}

static bool read_tx(ProtobufCBinaryData tx, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < tx.len; i++) {
        if (tx.len > 9 || tx.data[i] < '0' || tx.data[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(tx.data[i] - '0');
    }
    return tx.len > 0;
}

static int info(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    struct counter *counter = ctx;
    (void)request;
    answer->last_block_height = counter->height;
    answer->last_block_app_hash = root_of(counter->sum, arena);
    return answer->last_block_app_hash.len ? 0 : hm_fail(error, HM_ENOMEM, "no memory");
}

static int query(void *ctx, const Hypermesh__Abci__RequestQuery *request, struct hm_arena *arena,
                 Hypermesh__Abci__ResponseQuery *answer, struct hm_error *error)
{
    struct counter *counter = ctx;
    (void)request;
    answer->height = counter->height;
    answer->log = hm_arena_printf(arena, "%llu", (unsigned long long)counter->sum);
    return answer->log ? 0 : hm_fail(error, HM_ENOMEM, "no memory for an answer");
}

static int finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *block,
                    struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                    struct hm_error *error)
{
    struct counter *counter = ctx;
    Hypermesh__Abci__ExecTxResult *results = hm_arena_alloc(arena, block->n_txs * sizeof(*results));
    counter->next_sum = counter->sum;
    counter->next_height = block->height;
    answer->tx_results = hm_arena_alloc(arena, block->n_txs * sizeof(*answer->tx_results));
    for (size_t i = 0; results && answer->tx_results && i < block->n_txs; i++) {
        uint64_t number;
        hypermesh__abci__exec_tx_result__init(&results[i]);
        if (read_tx(block->txs[i], &number))
            counter->next_sum += number;
        else /* whoever proposed the block may have put anything into it */
            results[i].code = 1;
        answer->tx_results[answer->n_tx_results++] = &results[i];
    }
    answer->app_hash = root_of(counter->next_sum, arena);
    return answer->app_hash.len ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a block's hash");
}

static int commit(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                  struct hm_error *error)
{
    struct counter *counter = ctx;
    (void)arena, (void)answer, (void)error;
    counter->sum = counter->next_sum;
    counter->height = counter->next_height;
    return 0;
}

int main(int argc, char **argv)
{
    static struct counter counter;
    const struct abci_handlers handlers = {
        .info = info, .query = query, .finalize_block = finalize, .commit = commit, .ctx = &counter};
    struct abci_server *server = NULL;
    struct hm_error error = {0};
    if (argc == 2 && abci_server_open(argv[1], &handlers, NULL, &server, &error) == 0)
        pause(); /* until a signal ends it; its successor replaces the socket's file */
    fprintf(stderr, "%s\n", argc == 2 ? error.text : "usage: abci-counter SOCKET");
    return EXIT_FAILURE;
}
