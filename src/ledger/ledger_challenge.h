/* Challenges: a node shows again what it claimed, or loses a part of its bond. */
#ifndef HM_LEDGER_CHALLENGE_H
#define HM_LEDGER_CHALLENGE_H

#include "ledger_op.h"

/* Ends an open challenge that was answered rightly: the deposit goes to the node, but for the part that is burnt. */
int ledger_challenge_pass(struct ledger_scope *scope, Hypermesh__Challenge *challenge,
                          struct hm_error *error);
/* Ends one that was answered wrongly or not at all: the bond is slashed, the challenger paid and given its deposit
 * back, the node marked; a plot that was not shown is forgotten, a result that was not shown refuted.
 * state: CHALLENGE_FAILED or CHALLENGE_SILENT; reason is copied. */
int ledger_challenge_fail(struct ledger_scope *scope, Hypermesh__Challenge *challenge,
                          Hypermesh__ChallengeState state, const char *reason,
                          struct hm_error *error);
/* Its time is over. HM_ENOTFOUND: there is no such challenge. */
int ledger_challenge_silence(struct ledger_scope *scope, ProtobufCBinaryData id,
                             struct hm_error *error);

/* May the signer unbond amount, replace its plot, while challenges wait for it? */
int ledger_challenge_bond_free(const struct ledger_act *act, uint64_t amount,
                               struct hm_error *error);
int ledger_challenge_plot_free(const struct ledger_act *act, struct hm_error *error);

/* Adds to, or takes from, the index of both parties. */
int ledger_challenge_list(struct ledger_scope *scope, const Hypermesh__Challenge *challenge,
                          bool open, struct hm_error *error);

#endif
