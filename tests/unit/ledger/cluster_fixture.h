/* Blocks as an engine outside orders them, on top of the fixture: headers with EngineFacts, notes. */
#ifndef CLUSTER_FIXTURE_H
#define CLUSTER_FIXTURE_H

#include "ledger_fixture.h"

/* Facts of the block at height: hashes drawn from it, nobody absent, no fault; in the fixture's arena, to be changed. */
Hypermesh__EngineFacts *cluster_facts(struct fixture *fixture, uint64_t height);
/* A note with this time as an item. */
struct hm_slice cluster_note(struct fixture *fixture, uint64_t time_ms);
/* Any note as an item. */
struct hm_slice cluster_note_item(struct fixture *fixture, const Hypermesh__BlockNote *note);
/* A request for the block at height by asker number who. */
struct hm_slice cluster_request(struct fixture *fixture, uint64_t height, uint64_t who);

/* fixture_propose with the facts (NULL: cluster_facts), whose time is the fixture's next. */
void cluster_propose(struct fixture *fixture, Hypermesh__EngineFacts *facts,
                     const struct hm_slice *items, size_t count, struct ledger_proposal *out);
/* Proposes with a note in front, processes, finalizes, commits, as fixture_block. out may be NULL; what it borrows from
 * the ledger stays until the next block. */
int cluster_block(struct fixture *fixture, const struct hm_slice *items, size_t count,
                  struct ledger_outcome *out);
/* The same without items and note: what an engine makes by itself. */
int cluster_empty(struct fixture *fixture, struct ledger_outcome *out);
/* One batch of one operation by its session key in a block of its own; NULL: the block failed. */
Hypermesh__TxResult *cluster_do(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *op, struct ledger_outcome *out);

#endif
