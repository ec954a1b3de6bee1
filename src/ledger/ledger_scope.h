/* One step that happens whole or not at all: the accounts, assets and leases it has opened, as messages
 * that rules read and change in place. Opening the same id twice gives the same object. Nothing reaches
 * the block before ledger_scope_commit; a scope that is dropped did nothing. Lives in an arena.
 *
 * Totals in `supply` follow every move of money; ledger_supply.c checks them against the objects. */
#ifndef HM_LEDGER_SCOPE_H
#define HM_LEDGER_SCOPE_H

#include "ledger_private.h"

/* An open thing of the state. */
struct ledger_object {
    ProtobufCMessage *message; /* NULL: absent. Set it to create the thing, NULL to delete it */
    uint64_t due_ms; /* under which the index of due things holds it; 0: it does not */
    struct ledger_overlay_entry *entry; /* where it is written */
    bool ready; /* accounts: what time changes has been brought up to date */
};

struct ledger_scope {
    struct ledger_block *block;
    struct hm_arena *arena;
    struct ledger_map objects; /* key of the state -> struct ledger_object */
    Hypermesh__Supply supply;
    struct ledger_lines lines;
    struct ledger_listings listings;
    struct hm_slice tx_digest; /* empty when the ledger acts by itself */
    size_t opened; /* bytes of the state; HM_ELIMIT past LEDGER_TX_OPENED_MAX_BYTES */
    uint64_t work; /* weight of what was found to be done while doing it */
    uint64_t work_paid; /* how much of it fee_limit and balance pay for */
    uint64_t work_room; /* how much of it the block takes */
};

void ledger_scope_init(struct ledger_scope *scope, struct ledger_block *block,
                       struct hm_arena *arena, struct hm_slice tx_digest);
int ledger_scope_commit(struct ledger_scope *scope, struct hm_error *error);
/* Before anything was opened: goes on with what `done`, of the same arena and just committed, had opened, as if it
 * were opened again. `done` is not used any more. */
void ledger_scope_go_on(struct ledger_scope *scope, const struct ledger_scope *done);
/* Takes back what does not wait for the commit: keys of the key-value store. */
void ledger_scope_drop(struct ledger_scope *scope);
/* Counts work whose extent shows only now (keys of a range). Refused past what is paid for. */
int ledger_scope_work(struct ledger_scope *scope, uint64_t weight, struct hm_error *error);

/* Opens what is under a key of the state; absent is not an error. */
int ledger_scope_open(struct ledger_scope *scope, struct hm_slice key,
                      const ProtobufCMessageDescriptor *descriptor, struct ledger_object **out,
                      struct hm_error *error);
/* An id that came from outside: refused unless it has 32 bytes. */
int ledger_id_check(ProtobufCBinaryData id, struct hm_error *error);

/* Never HM_ENOTFOUND: an account nobody touched is blank. Opening frees what has finished unbonding and
 * drops sessions that are over. */
int ledger_scope_account(struct ledger_scope *scope, ProtobufCBinaryData id,
                         Hypermesh__Account **out, struct hm_error *error);
/* HM_ENOTFOUND names the asset. */
int ledger_scope_asset(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Asset **out,
                       struct hm_error *error);
/* As above, but an asset that was never there comes back as NULL. */
int ledger_scope_asset_find(struct ledger_scope *scope, ProtobufCBinaryData id,
                            Hypermesh__Asset **out, struct hm_error *error);
/* The id must be free. The asset has nothing but its id. */
int ledger_scope_asset_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Asset **out, struct hm_error *error);
int ledger_scope_lease(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Lease **out,
                       struct hm_error *error);
int ledger_scope_lease_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Lease **out, struct hm_error *error);

/* As with assets: find gives NULL for what is not there, new has nothing but its id. */
int ledger_scope_network(struct ledger_scope *scope, ProtobufCBinaryData id,
                         Hypermesh__Network **out, struct hm_error *error);
int ledger_scope_network_find(struct ledger_scope *scope, ProtobufCBinaryData id,
                              Hypermesh__Network **out, struct hm_error *error);
int ledger_scope_network_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                             Hypermesh__Network **out, struct hm_error *error);
int ledger_scope_network_delete(struct ledger_scope *scope, ProtobufCBinaryData id,
                                struct hm_error *error);
int ledger_scope_member_find(struct ledger_scope *scope, ProtobufCBinaryData network,
                             ProtobufCBinaryData account, Hypermesh__Member **out,
                             struct hm_error *error);
/* MEMBER_NONE: removes it. */
int ledger_scope_member_set(struct ledger_scope *scope, ProtobufCBinaryData network,
                            ProtobufCBinaryData account, Hypermesh__MemberState state,
                            struct hm_error *error);
int ledger_scope_challenge(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Challenge **out, struct hm_error *error);
int ledger_scope_challenge_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                               Hypermesh__Challenge **out, struct hm_error *error);

/* Puts an entry into LEDGER_TABLE_INDEX, or takes it out: who and what have 32 bytes each. */
int ledger_scope_list(struct ledger_scope *scope, uint8_t kind, const uint8_t *who,
                      const uint8_t *what, bool present, struct hm_error *error);

/* Adds a line to the asset's history. op: field number in Operation, 0 for expiry; lease may be NULL. */
int ledger_scope_event(struct ledger_scope *scope, Hypermesh__Asset *asset, uint32_t op,
                       ProtobufCBinaryData account, const Hypermesh__Lease *lease,
                       struct hm_error *error);

/* Copies into the scope's arena; len 0 gives empty bytes. */
int ledger_scope_bytes(struct ledger_scope *scope, const void *data, size_t len,
                       ProtobufCBinaryData *out, struct hm_error *error);
/* count of size bytes, zeroed. */
int ledger_scope_alloc(struct ledger_scope *scope, size_t size, void **out, struct hm_error *error);

/* Moves of money: each changes the objects and the totals together. HM_EFUNDS and HM_ERANGE leave both
 * as they were. */
int ledger_money_transfer(struct ledger_scope *scope, Hypermesh__Account *from,
                          Hypermesh__Account *to, uint64_t amount, struct hm_error *error);
int ledger_money_transfer_caes(Hypermesh__Account *from, Hypermesh__Account *to, uint64_t amount,
                               struct hm_error *error);
int ledger_money_burn(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                      struct hm_error *error);
int ledger_money_bond(struct ledger_scope *scope, Hypermesh__Account *account, uint64_t amount,
                      struct hm_error *error);
/* From bonded to the end of the queue. */
int ledger_money_unbond(struct ledger_scope *scope, Hypermesh__Account *account, uint64_t amount,
                        uint64_t free_ms, struct hm_error *error);
int ledger_money_escrow(struct ledger_scope *scope, Hypermesh__Account *from,
                        Hypermesh__Lease *lease, uint64_t amount, struct hm_error *error);
/* Empties the lease's escrow: paid to the provider, the rest to the consumer. paid <= escrow. */
int ledger_money_pay(struct ledger_scope *scope, Hypermesh__Lease *lease,
                     Hypermesh__Account *provider, Hypermesh__Account *consumer, uint64_t paid,
                     struct hm_error *error);
int ledger_money_mint_caes(struct ledger_scope *scope, Hypermesh__Account *to, uint64_t amount,
                           struct hm_error *error);
/* From the balance to what is locked in challenges, and back. */
int ledger_money_deposit(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                         struct hm_error *error);
/* A deposit of `from` ends: burnt of it is burnt, the rest goes free to `to`, which may be the same. */
int ledger_money_deposit_give(struct ledger_scope *scope, Hypermesh__Account *from,
                              Hypermesh__Account *to, uint64_t amount, uint64_t burnt,
                              struct hm_error *error);
/* Takes amount of what the account has bonded and then of its queue, newest first; paid of it goes to `to`, the
 * rest is burnt. amount <= bonded and queued; paid <= amount. */
int ledger_money_slash(struct ledger_scope *scope, Hypermesh__Account *account,
                       Hypermesh__Account *to, uint64_t amount, uint64_t paid,
                       struct hm_error *error);
/* Bonded and unbonding: what can be slashed. */
uint64_t ledger_money_at_stake(const Hypermesh__Account *account);
/* Queue entries that are free by now_ms go back to the balance. */
int ledger_money_release_unbonding(struct ledger_scope *scope, Hypermesh__Account *account,
                                   uint64_t now_ms, struct hm_error *error);

#endif
