/* One step that happens whole or not at all: the accounts, assets and leases it has opened, as messages
 * that rules read and change in place. Opening the same id twice gives the same object. Nothing reaches
 * the block before ledger_scope_commit; a scope that is dropped did nothing. Lives in an arena.
 *
 * Totals in `supply` follow every move of money; ledger_supply.c checks them against the objects. */
#ifndef HM_LEDGER_SCOPE_H
#define HM_LEDGER_SCOPE_H

#include "ledger_private.h"

struct ledger_scope {
    struct ledger_block *block;
    struct hm_arena *arena;
    struct ledger_map objects;
    Hypermesh__Supply supply;
    struct ledger_lines lines;
    struct hm_slice tx_digest; /* empty when the ledger acts by itself */
    size_t opened; /* bytes of the state; HM_ELIMIT past LEDGER_TX_OPENED_MAX_BYTES */
};

void ledger_scope_init(struct ledger_scope *scope, struct ledger_block *block,
                       struct hm_arena *arena, struct hm_slice tx_digest);
int ledger_scope_commit(struct ledger_scope *scope, struct hm_error *error);

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
/* Queue entries that are free by now_ms go back to the balance. */
int ledger_money_release_unbonding(struct ledger_scope *scope, Hypermesh__Account *account,
                                   uint64_t now_ms, struct hm_error *error);

#endif
