/* A cluster that lost so many validators for good that no block was made any more goes on with those that are left: a decision of
 * people, which the engine's genesis announces and the first block's header records, so that every replay sees it. */
#ifndef HM_LEDGER_RECOVERY_H
#define HM_LEDGER_RECOVERY_H

#include "ledger_validator.h"

#define LEDGER_RECOVERY_VOTERS_MAX 1024

/* Is it well formed? HM_EINVAL. Pure. */
int ledger_recovery_check(const Hypermesh__EngineRecovery *recovery, struct hm_error *error);
/* Does the operator go on? */
bool ledger_recovery_names(const Hypermesh__EngineRecovery *recovery,
                           ProtobufCBinaryData operator_id);
/* The rule, in the first block of the new engine: who may have power and is not named is jailed as for absence, without losing
 * stake; what the engine has is the named ones, by the state before the block; the engine's chain has its new name. */
int ledger_recovery_apply(struct ledger_scope *scope, Hypermesh__EngineState *state,
                          const Hypermesh__EngineRecovery *recovery, struct hm_error *error);
/* info->engine_chain, by the state. */
int ledger_recovery_read_chain(struct store_txn *txn, struct ledger_info *info,
                               struct hm_error *error);

#endif
