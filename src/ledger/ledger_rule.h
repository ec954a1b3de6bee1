/* The rules by which operations are refused: each has a name that programs may rely on, one code, and a line for
 * docs/ledger.md, whose table a test compares with this one. The sentence of a refusal ends with
 * " (rule NAME)", so that the name travels with it through every room. */
#ifndef HM_LEDGER_RULE_H
#define HM_LEDGER_RULE_H

#include "base.h"

/* X(symbol, name, code, what holds) */
#define LEDGER_RULE_TABLE(X)                                                                       \
    X(FORM_ID, "form.id", HM_EINVAL, "an id has 32 bytes")                                         \
    X(FORM_TEXT, "form.text", HM_EINVAL, "texts hold no control characters")                       \
    X(FORM_TEXT_LENGTH, "form.text_length", HM_ELIMIT, "texts are not longer than their limit")    \
    X(TX_OPENED, "tx.opened", HM_ELIMIT, "one transaction opens at most 64 MiB of the state")      \
    X(FUNDS_HYPER, "funds.hyper", HM_EFUNDS, "the account has the HYPER that it spends")           \
    X(FUNDS_CAES, "funds.caes", HM_EFUNDS, "the account has the CAES that it spends")              \
    X(TOKEN_AMOUNT, "token.amount", HM_EINVAL, "an amount is not 0")                               \
    X(TOKEN_KIND, "token.kind", HM_EINVAL, "a token is HYPER or CAES")                             \
    X(STAKE_BOND, "stake.bond", HM_EPROOF_STAKE,                                                   \
      "who offers or leases has bonded what that needs")                                           \
    X(BOND_PROVIDER, "bond.provider", HM_ECONFLICT,                                                \
      "`bond_provider` stays bonded while the account owns active assets")                         \
    X(BOND_CHALLENGED, "bond.challenged", HM_ECONFLICT,                                            \
      "what open challenges could slash stays bonded")                                             \
    X(BOND_AMOUNT, "bond.amount", HM_EFUNDS, "no more is unbonded than is bonded")                 \
    X(BOND_QUEUE, "bond.queue", HM_ELIMIT, "at most 16 amounts unbond at a time")                  \
    X(SESSION_KEY, "session.key", HM_EINVAL, "a session key is an Ed25519 key")                    \
    X(SESSION_SCOPE, "session.scope", HM_EINVAL,                                                   \
      "a scope names operations, and only those there are")                                        \
    X(SESSION_EXPIRY, "session.expiry", HM_ERANGE,                                                 \
      "a session ends after block time, at most `session_max_ms` after it")                        \
    X(SESSION_COUNT, "session.count", HM_ELIMIT, "at most `max_sessions` an account")              \
    X(SESSION_UNKNOWN, "session.unknown", HM_ENOTFOUND, "the session to revoke exists")            \
    X(SPACE_PLOT, "space.plot", HM_EPROOF_SPACE,                                                   \
      "a plot is as large and as shaped as the chain asks")                                        \
    X(SPACE_OPENINGS, "space.openings", HM_EPROOF_SPACE,                                           \
      "the openings show that the plot was labelled as it should be")                              \
    X(SPACE_CHALLENGED, "space.challenged", HM_ECONFLICT,                                          \
      "a plot is not replaced while its space is challenged")                                      \
    X(ASSET_KIND, "asset.kind", HM_EINVAL, "an asset is of a kind there is")                       \
    X(ASSET_HARDWARE, "asset.hardware", HM_EINVAL, "`hardware_id` is not empty")                   \
    X(ASSET_CAPACITY, "asset.capacity", HM_EINVAL, "a capacity is not 0")                          \
    X(ASSET_ATTRIBUTES, "asset.attributes", HM_ELIMIT, "at most 64 attributes an asset")           \
    X(ASSET_ATTRIBUTE_NAME, "asset.attribute_name", HM_EINVAL,                                     \
      "an attribute's name is 1-64 characters of a-z 0-9 . _ -")                                   \
    X(ASSET_ATTRIBUTE_ORDER, "asset.attribute_order", HM_EINVAL,                                   \
      "attributes are sorted by name, each once")                                                  \
    X(ASSET_REGISTERED, "asset.registered", HM_EEXIST,                                             \
      "what is registered is not registered again")                                                \
    X(ASSET_UNKNOWN, "asset.unknown", HM_ENOTFOUND, "the asset exists")                            \
    X(ASSET_OWNER, "asset.owner", HM_EPERM, "only its owner changes an asset")                     \
    X(ASSET_RETIRED, "asset.retired", HM_ECONFLICT,                                                \
      "a retired asset is neither changed nor leased")                                             \
    X(ASSET_LEASED, "asset.leased", HM_ECONFLICT,                                                  \
      "a leased asset is not made smaller, transferred or retired")                                \
    X(ASSET_RECEIVER, "asset.receiver", HM_EINVAL, "an asset is transferred to another account")   \
    X(PRIVACY_LEVEL, "privacy.level", HM_EINVAL, "a privacy level is 1 to 5")                      \
    X(PRIVACY_LIMITS, "privacy.limits", HM_EINVAL,                                                 \
      "an owner's limits on share, leases and duration are within the chain's")                    \
    X(PRIVACY_REWARD, "privacy.reward", HM_EINVAL, "at most the whole reward is waived")           \
    X(PRIVACY_DEMAND, "privacy.demand", HM_EINVAL,                                                 \
      "what is demanded of a consumer is within what can be brought")                              \
    X(PRIVACY_LISTS, "privacy.lists", HM_ELIMIT,                                                   \
      "a privacy lists at most 64 accounts, 64 networks")                                          \
    X(PRIVACY_ACCOUNTS, "privacy.accounts", HM_EINVAL, "only P2P lists accounts")                  \
    X(PRIVACY_NETWORKS, "privacy.networks", HM_EINVAL,                                             \
      "only Private, PrivateNetwork and PublicNetwork list networks")                              \
    X(PRIVACY_NETWORK_OWN, "privacy.network_own", HM_EPERM,                                        \
      "Private lists networks that the asset's owner owns")                                        \
    X(PRIVACY_NETWORK_OPEN, "privacy.network_open", HM_ECONFLICT,                                  \
      "PublicNetwork lists open networks")                                                         \
    X(PRIVACY_PRIVATE, "privacy.private", HM_EPERM,                                                \
      "Private: leased by the owner and members of its listed networks")                           \
    X(PRIVACY_PRIVATE_NETWORK, "privacy.private_network", HM_EPERM,                                \
      "PrivateNetwork: leased by the owner and members of the listed networks")                    \
    X(PRIVACY_P2P, "privacy.p2p", HM_EPERM, "P2P: leased by the owner and the listed accounts")    \
    X(PRIVACY_P2P_PEER, "privacy.p2p_peer", HM_EPERM,                                              \
      "P2P: the consumer has the owner among its own peers")                                       \
    X(PRIVACY_PUBLIC_NETWORK, "privacy.public_network", HM_EPERM,                                  \
      "PublicNetwork: leased by the owner and members of the listed networks")                     \
    X(PRIVACY_DURATION, "privacy.duration", HM_ELIMIT,                                             \
      "a lease lasts no longer than the asset allows")                                             \
    X(PRIVACY_CONCURRENCY, "privacy.concurrency", HM_ELIMIT,                                       \
      "no more leases at once than the asset allows")                                              \
    X(PRIVACY_SHARE, "privacy.share", HM_ECONFLICT,                                                \
      "all leases together take no more than the asset gives")                                     \
    X(PRIVACY_DEMAND_BOND, "privacy.demand.bond", HM_EPROOF_STAKE,                                 \
      "Stake: the consumer bonded `min_bond`")                                                     \
    X(PRIVACY_DEMAND_WORK, "privacy.demand.work", HM_EPROOF_WORK,                                  \
      "Work: the leasing transaction has `min_work_bits`")                                         \
    X(PRIVACY_DEMAND_ANCHOR, "privacy.demand.anchor", HM_EPROOF_TIME,                              \
      "Time: its anchor is at most `max_anchor_age` blocks old")                                   \
    X(PRIVACY_DEMAND_PLOT, "privacy.demand.plot", HM_EPROOF_SPACE,                                 \
      "Space: the consumer committed `min_plot_labels` itself")                                    \
    X(LEASE_ITEMS, "lease.items", HM_ELIMIT, "a lease has 1 to `max_lease_items` items")           \
    X(LEASE_DURATION, "lease.duration", HM_EINVAL, "a duration is not 0")                          \
    X(LEASE_DURATION_MAX, "lease.duration_max", HM_ELIMIT, "a lease lasts at most `max_lease_ms`") \
    X(LEASE_JOB, "lease.job", HM_EINVAL, "a job's digest has 32 bytes")                            \
    X(LEASE_SHARE, "lease.share", HM_EINVAL, "a share is 1 to 1,000,000 parts per million")        \
    X(LEASE_TWICE, "lease.twice", HM_EINVAL, "the assets of a lease are distinct")                 \
    X(LEASE_OWNERS, "lease.owners", HM_EINVAL, "the assets of a lease have one owner")             \
    X(LEASE_PRICE, "lease.price", HM_ECONFLICT,                                                    \
      "an asset costs no more than was offered or agreed")                                         \
    X(LEASE_COST, "lease.cost", HM_ERANGE, "what a lease costs can be counted")                    \
    X(LEASE_ESCROW, "lease.escrow", HM_EFUNDS, "the consumer has the HYPER for the whole lease")   \
    X(LEASE_UNKNOWN, "lease.unknown", HM_ENOTFOUND, "the lease exists")                            \
    X(LEASE_CONSUMER, "lease.consumer", HM_EPERM, "only its consumer renews and releases a lease") \
    X(LEASE_ENDED, "lease.ended", HM_ECONFLICT,                                                    \
      "a lease that has ended is neither renewed nor released")                                    \
    X(SETTLE_PROVIDER, "settle.provider", HM_EPERM, "only its provider settles a lease")           \
    X(SETTLE_ONCE, "settle.once", HM_ECONFLICT, "a lease is settled once")                         \
    X(SETTLE_USAGE_COUNT, "settle.usage_count", HM_ELIMIT,                                         \
      "at most 256 usage records a settlement")                                                    \
    X(SETTLE_USAGE, "settle.usage", HM_EINVAL, "a usage record fits the lease")                    \
    X(SETTLE_COMPLETE, "settle.complete", HM_EINVAL,                                               \
      "each leased item has a usage record of its kind")                                           \
    X(SETTLE_RESULT, "settle.result", HM_EINVAL, "a result's digest has 32 bytes")                 \
    X(SETTLE_OUTCOME, "settle.outcome", HM_EINVAL, "an outcome is one that a provider reports")    \
    X(NETWORK_NAME, "network.name", HM_EINVAL,                                                     \
      "a network's name is 1-64 characters of a-z 0-9 . _ -")                                      \
    X(NETWORK_COUNT, "network.count", HM_ELIMIT, "an account owns at most `max_networks`")         \
    X(NETWORK_UNKNOWN, "network.unknown", HM_ENOTFOUND, "the network exists")                      \
    X(NETWORK_OWNER, "network.owner", HM_EPERM, "only its owner invites, expels and dissolves")    \
    X(NETWORK_OWNER_STAYS, "network.owner_stays", HM_ECONFLICT,                                    \
      "the owner neither leaves nor is expelled: it dissolves the network")                        \
    X(NETWORK_MEMBERS, "network.members", HM_ELIMIT,                                               \
      "members and invitations are at most `max_members`")                                         \
    X(NETWORK_CLOSED, "network.closed", HM_EPERM, "a closed network is joined when invited")       \
    X(NETWORK_EXPELLED, "network.expelled", HM_EPERM, "who was expelled joins when invited again") \
    X(NETWORK_JOINED, "network.joined", HM_EEXIST, "a member neither joins nor is invited again")  \
    X(NETWORK_INVITED, "network.invited", HM_EEXIST, "who is invited is not invited again")        \
    X(NETWORK_MEMBER, "network.member", HM_ENOTFOUND,                                              \
      "who leaves or is expelled is a member or invited")                                          \
    X(NETWORK_DISSOLVE, "network.dissolve", HM_ECONFLICT,                                          \
      "a network is dissolved when nobody but its owner is a member or invited")                   \
    X(PEERS_COUNT, "peers.count", HM_ELIMIT, "at most 64 peers an account")                        \
    X(PROXY_COUNT, "proxy.count", HM_ELIMIT, "at most 64 relays an account")                       \
    X(PROXY_ANY, "proxy.any", HM_EINVAL, "either every relay or a list of them")                   \
    X(CHALLENGE_SELF, "challenge.self", HM_EPERM, "nobody challenges himself")                     \
    X(CHALLENGE_PLOT, "challenge.plot", HM_ENOTFOUND,                                              \
      "the node whose space is challenged has committed a plot")                                   \
    X(CHALLENGE_PROVIDER, "challenge.provider", HM_EINVAL,                                         \
      "a result is challenged of the lease's provider")                                            \
    X(CHALLENGE_RESULT, "challenge.result", HM_ECONFLICT, "the lease was settled with a result")   \
    X(CHALLENGE_WINDOW, "challenge.window", HM_ERANGE,                                             \
      "a result is challenged within `result_window_ms` after it was settled")                     \
    X(CHALLENGE_DECIDED, "challenge.decided", HM_ECONFLICT,                                        \
      "a result that was refuted is not challenged again")                                         \
    X(CHALLENGE_TWICE, "challenge.twice", HM_EEXIST,                                               \
      "a result has one open challenge, a plot one of each challenger")                            \
    X(CHALLENGE_OWN, "challenge.own", HM_EPERM,                                                    \
      "a result is challenged when the consumer is not the provider itself")                       \
    X(CHALLENGE_COUNT, "challenge.count", HM_ELIMIT,                                               \
      "at most `max_open_challenges` of its space wait for one node")                              \
    X(CHALLENGE_DEPOSIT, "challenge.deposit", HM_EFUNDS,                                           \
      "the challenger has the HYPER for the deposit")                                              \
    X(CHALLENGE_UNKNOWN, "challenge.unknown", HM_ENOTFOUND, "the challenge exists")                \
    X(CHALLENGE_NODE, "challenge.node", HM_EPERM, "only the challenged node answers")              \
    X(CHALLENGE_ENDED, "challenge.ended", HM_ECONFLICT, "only an open challenge is answered")      \
    X(CHALLENGE_FORM, "challenge.form", HM_EINVAL,                                                 \
      "an answer holds what its kind of challenge asks for, nothing else")                         \
    LEDGER_RULE_TABLE_KV(X)                                                                        \
    LEDGER_RULE_TABLE_STAKE(X)

/* Of the key-value store. */
#define LEDGER_RULE_TABLE_KV(X)                                                                   \
    X(KV_KEY, "kv.key", HM_EINVAL, "a key is not empty and not longer than its limit")            \
    X(KV_VALUE, "kv.value", HM_ELIMIT, "a value has at most 1 MiB")                               \
    X(KV_FLAGS, "kv.flags", HM_EINVAL, "what is to be ignored is not given")                      \
    X(KV_MISSING, "kv.missing", HM_ENOTFOUND, "what keeps its value or lease exists")             \
    X(KV_READ, "kv.read", HM_EPERM, "the rules let the account read every key of the range")      \
    X(KV_WRITE, "kv.write", HM_EPERM, "the rules let the account write every key of the range")   \
    X(KV_DELETE, "kv.delete", HM_ELIMIT, "one operation deletes at most 100,000 keys")            \
    X(KV_TXN, "kv.txn", HM_ELIMIT,                                                                \
      "at most 128 compares, 128 operations and 4 levels a transaction of the store")             \
    X(KV_TXN_FORM, "kv.txn_form", HM_EINVAL, "compares and operations are of kinds there are")    \
    X(KV_TXN_TWICE, "kv.txn_twice", HM_EINVAL,                                                    \
      "a transaction of the store puts a key once, and does not also delete it")                  \
    X(KV_ANSWER, "kv.answer", HM_ELIMIT,                                                          \
      "what ranges answer in a transaction, and in a block, is limited")                          \
    X(KV_WORK, "kv.work", HM_EFUNDS, "`fee_limit` and balance pay for every key that is touched") \
    X(KV_WORK_BLOCK, "kv.work_block", HM_ELIMIT, "the work fits the block: else send it again")   \
    X(KV_LEASE_ID, "kv.lease_id", HM_EINVAL, "a lease's id is below 2^63")                        \
    X(KV_LEASE_TTL, "kv.lease_ttl", HM_ERANGE, "a lease lives 1 second to 365 days")              \
    X(KV_LEASE_TAKEN, "kv.lease_taken", HM_EEXIST, "a lease's id is free")                        \
    X(KV_LEASE_COUNT, "kv.lease_count", HM_ELIMIT, "an account holds at most `kv_max_leases`")    \
    X(KV_LEASE_UNKNOWN, "kv.lease_unknown", HM_ENOTFOUND, "the lease exists")                     \
    X(KV_LEASE_OWNER, "kv.lease_owner", HM_EPERM,                                                 \
      "only its owner attaches keys to a lease, keeps it alive and revokes it")                   \
    X(KV_LEASE_FULL, "kv.lease_full", HM_ELIMIT, "a lease holds at most 100,000 keys")            \
    X(KV_COMPACT, "kv.compact", HM_EPERM, "who compacts may write every key")                     \
    X(KV_COMPACTED, "kv.compacted", HM_ERANGE, "a revision is compacted once")                    \
    X(KV_FUTURE, "kv.future", HM_ERANGE, "a revision that is compacted has been")                 \
    X(KV_RULE_FORM, "kv.rule_form", HM_EINVAL,                                                    \
      "a rule names accounts, each once; one that removes names none")                            \
    X(KV_RULE_OWNER, "kv.rule_owner", HM_EPERM,                                                   \
      "the owner of the longest rule over a prefix sets rules there")                             \
    X(KV_RULE_UNKNOWN, "kv.rule_unknown", HM_ENOTFOUND, "the rule to remove exists")              \
    X(KV_RULE_COUNT, "kv.rule_count", HM_ELIMIT,                                                  \
      "at most 4096 rules a chain, 64 writers and 64 readers a rule")

/* Of validators and what is delegated to them. */
#define LEDGER_RULE_TABLE_STAKE(X)                                                                \
    X(VALIDATOR_KEY, "validator.key", HM_EINVAL, "a validator's key is an Ed25519 key")           \
    X(VALIDATOR_PROOF, "validator.proof", HM_EAUTH, "who declares a validator has its key")       \
    X(VALIDATOR_KEY_TAKEN, "validator.key_taken", HM_EEXIST, "a key is one validator's for ever") \
    X(VALIDATOR_DECLARED, "validator.declared", HM_EEXIST, "an account operates one validator")   \
    X(VALIDATOR_COUNT, "validator.count", HM_ELIMIT,                                              \
      "four validators for each of the `max_validators` places; then the least stake goes first") \
    X(VALIDATOR_BOND, "validator.bond", HM_EPROOF_STAKE,                                          \
      "a validator bonds `validator_bond` of its own")                                            \
    X(VALIDATOR_SELF_BOND, "validator.self_bond", HM_ECONFLICT,                                   \
      "that stays with it until it retires")                                                      \
    X(VALIDATOR_COMMISSION, "validator.commission", HM_ERANGE,                                    \
      "a commission is at most `commission_max_ppm`")                                             \
    X(VALIDATOR_COMMISSION_STEP, "validator.commission_step", HM_ERANGE,                          \
      "it changes by at most `commission_step_ppm`")                                              \
    X(VALIDATOR_COMMISSION_TIME, "validator.commission_time", HM_ECONFLICT,                       \
      "it changes once in `commission_step_ms`")                                                  \
    X(VALIDATOR_UNKNOWN, "validator.unknown", HM_ENOTFOUND, "the account operates a validator")   \
    X(VALIDATOR_RETIRED, "validator.retired", HM_ECONFLICT,                                       \
      "a retired validator takes no stake and is not changed")                                    \
    X(VALIDATOR_TOMBSTONED, "validator.tombstoned", HM_EPERM,                                     \
      "nor is one that signed two blocks of one height")                                          \
    X(VALIDATOR_FREE, "validator.free", HM_ECONFLICT, "who is let out is jailed")                 \
    X(VALIDATOR_JAIL_TIME, "validator.jail_time", HM_ERANGE, "jail lasts `jail_ms`")              \
    X(DELEGATE_AMOUNT, "delegate.amount", HM_ERANGE, "at least `delegation_min` is delegated")    \
    X(DELEGATE_ALL, "delegate.all", HM_EINVAL, "either an amount or all is taken out")            \
    X(DELEGATE_NONE, "delegate.none", HM_ENOTFOUND, "the account has delegated to the validator") \
    X(DELEGATE_SHARES, "delegate.shares", HM_EFUNDS, "no more is taken out than was delegated")   \
    X(DELEGATE_QUEUE, "delegate.queue", HM_ELIMIT,                                                \
      "at most 16 amounts of a delegation leave at a time")                                       \
    X(DELEGATE_SAME, "delegate.same", HM_EINVAL, "stake goes to another validator")               \
    X(DELEGATE_WORTH, "delegate.worth", HM_ERANGE, "a stake is a countable number of shares")

enum ledger_rule {
#define LEDGER_X(symbol, name, code, says) LEDGER_RULE_##symbol,
    LEDGER_RULE_TABLE(LEDGER_X)
#undef LEDGER_X
        LEDGER_RULE_COUNT
};

#define LEDGER_RULE_NAME_MAX_BYTES 32
/* What callers may put before a refusal ("allocate: item 3: ") without cutting the rule's name off. */
#define LEDGER_REFUSAL_PREFIX_BYTES 56

/* Refuses by a rule: sets the sentence with the rule's name after it, cut so that the name always fits; returns
 * the rule's code. */
int ledger_refuse(struct hm_error *error, enum ledger_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Names the rule in a refusal whose sentence and code come from elsewhere. Returns code; a fatal code, and 0, are no
 * refusal and change nothing. */
int ledger_refuse_as(struct hm_error *error, enum ledger_rule rule, int code);
/* Name of the rule at the end of a sentence (static), or "" when there is none. */
const char *ledger_rule_in(const char *sentence);

#endif
