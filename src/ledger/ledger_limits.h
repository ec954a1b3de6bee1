/* Limits that every HyperMesh ledger shares; what a chain may choose for itself stands in Params. */
#ifndef HM_LEDGER_LIMITS_H
#define HM_LEDGER_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define LEDGER_ID_BYTES    32
#define LEDGER_SHARE_WHOLE UINT32_C(1000000) /* parts per million: a whole asset */
#define LEDGER_HOUR_MS     UINT64_C(3600000)
#define LEDGER_PPM         UINT64_C(1000000)

#define LEDGER_MEMO_MAX_BYTES            128
#define LEDGER_ENDPOINT_MAX_BYTES        256
#define LEDGER_HARDWARE_ID_MAX_BYTES     128
#define LEDGER_ATTRIBUTES_MAX            64
#define LEDGER_ATTRIBUTE_VALUE_MAX_BYTES 256
#define LEDGER_PRIVACY_ACCOUNTS_MAX      64
#define LEDGER_PRIVACY_NETWORKS_MAX      64
#define LEDGER_RELAYS_MAX                64
#define LEDGER_NAME_MAX_BYTES            64 /* of an attribute, a network */
#define LEDGER_UNBONDING_MAX             16
#define LEDGER_USAGE_MAX                 256
#define LEDGER_USAGE_UNIT_MAX_BYTES      32
#define LEDGER_GENESIS_SHARES_MAX        64
#define LEDGER_CHAIN_ID_MAX_BYTES        32

#define LEDGER_GENESIS_MAX_BYTES ((size_t)64 * 1024)
/* A batch's head beside its transactions: openings of a large plot. */
#define LEDGER_HEAD_MAX_BYTES   ((size_t)256 * 1024)
#define LEDGER_HEADER_MAX_BYTES ((size_t)64 * 1024)
#define LEDGER_STATE_MAX_BYTES  ((size_t)1024 * 1024) /* one value of the state table */
#define LEDGER_EXPIRE_MAX       ((size_t)4096) /* things ended by the time of one block */

/* What a block keeps until it is written: values of the state as they were and as they are now, lines of
 * history. Past it transactions are refused and leases that are due wait. The same on every machine, so it
 * is counted in bytes of the state; the arena below is there for several times as much. */
#define LEDGER_BLOCK_HELD_MAX_BYTES ((size_t)512 << 20)
/* What one transaction may open of the state. A lease's end opens its assets: at most 1024 of 24 KiB, far less. */
#define LEDGER_TX_OPENED_MAX_BYTES ((size_t)64 << 20)
#define LEDGER_ENTRY_BYTES         ((size_t)256) /* counted for each beside its bytes */

#define LEDGER_BLOCK_ARENA_BYTES ((size_t)4 << 30)
#define LEDGER_TX_ARENA_BYTES    ((size_t)1 << 30)

#endif
