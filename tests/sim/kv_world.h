/* Commands as bytes, run against a ledger and the model of etcd side by side. The property test draws them, the
 * fuzzer finds them; any bytes are commands. */
#ifndef KV_WORLD_H
#define KV_WORLD_H

#include "kv_model.h"

#define KV_COMMAND_BYTES 24
#define KV_COMMANDS_MAX  400

struct kv_world_counts {
    size_t blocks;
    size_t good; /* transactions */
    size_t refused;
    size_t of_kind[LEDGER_OP_COUNT + 1]; /* good operations */
    size_t expired; /* leases that block time ended */
    size_t compactions;
    size_t changes; /* given to watches */
    size_t replays;
};

/* Fixture parameters: much for little. */
void kv_world_params(Hypermesh__Params *params);
/* Restarts the fixture and runs the commands, up to KV_COMMANDS_MAX. true: the ledger did what the model did;
 * else why (of why_size bytes) says where not. replay: at the end the chain is applied again and compared. */
bool kv_world_run(struct fixture *fixture, const uint8_t *commands, size_t count, bool replay,
                  struct kv_world_counts *counts, char *why, size_t why_size);
/* One command a line. */
void kv_world_print(const uint8_t *commands, size_t count);

#endif
