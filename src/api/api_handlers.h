/* One handler a route; api_routes.c puts them together. Each returns 0 after writing the answer,
 * or an HM_E* code. */
#ifndef HM_API_HANDLERS_H
#define HM_API_HANDLERS_H

#include "api_core.h"
#include "api_tables.h"

int api_handle_livez(struct api_call *call, struct hm_error *error);
int api_handle_readyz(struct api_call *call, struct hm_error *error);
int api_handle_openapi(struct api_call *call, struct hm_error *error);
int api_handle_metrics(struct api_call *call, struct hm_error *error);
int api_handle_node(struct api_call *call, struct hm_error *error);
int api_handle_node_stop(struct api_call *call, struct hm_error *error);
int api_handle_scan(struct api_call *call, struct hm_error *error);
int api_handle_doctor(struct api_call *call, struct hm_error *error);

int api_handle_accounts(struct api_call *call, struct hm_error *error);
int api_handle_account_create(struct api_call *call, struct hm_error *error);
int api_handle_account(struct api_call *call, struct hm_error *error);
int api_handle_signing(struct api_call *call, struct hm_error *error);
int api_handle_transfer(struct api_call *call, struct hm_error *error);
int api_handle_bond(struct api_call *call, struct hm_error *error);
int api_handle_unbond(struct api_call *call, struct hm_error *error);
int api_handle_session_revoke(struct api_call *call, struct hm_error *error);

int api_handle_asset_register(struct api_call *call, struct hm_error *error);
int api_handle_assets(struct api_call *call, struct hm_error *error);
int api_handle_asset(struct api_call *call, struct hm_error *error);
int api_handle_asset_history(struct api_call *call, struct hm_error *error);
int api_handle_asset_update(struct api_call *call, struct hm_error *error);
int api_handle_asset_transfer(struct api_call *call, struct hm_error *error);
int api_handle_asset_retire(struct api_call *call, struct hm_error *error);
int api_handle_privacy_set(struct api_call *call, struct hm_error *error);
int api_handle_privacy(struct api_call *call, struct hm_error *error);

int api_handle_allocate(struct api_call *call, struct hm_error *error);
int api_handle_release(struct api_call *call, struct hm_error *error);
int api_handle_leases(struct api_call *call, struct hm_error *error);
int api_handle_lease(struct api_call *call, struct hm_error *error);
int api_handle_renew(struct api_call *call, struct hm_error *error);

int api_handle_validate(struct api_call *call, struct hm_error *error);
int api_handle_consensus(struct api_call *call, struct hm_error *error);
int api_handle_blocks(struct api_call *call, struct hm_error *error);
int api_handle_block(struct api_call *call, struct hm_error *error);
int api_handle_tx(struct api_call *call, struct hm_error *error);
int api_handle_tx_submit(struct api_call *call, struct hm_error *error);
int api_handle_state(struct api_call *call, struct hm_error *error);
int api_handle_light(struct api_call *call, struct hm_error *error);
int api_handle_genesis(struct api_call *call, struct hm_error *error);
int api_handle_verify(struct api_call *call, struct hm_error *error);

int api_handle_job_create(struct api_call *call, struct hm_error *error);
int api_handle_jobs(struct api_call *call, struct hm_error *error);
int api_handle_job(struct api_call *call, struct hm_error *error);
int api_handle_job_cancel(struct api_call *call, struct hm_error *error);
int api_handle_job_logs(struct api_call *call, struct hm_error *error);
int api_handle_job_wait(struct api_call *call, struct hm_error *error);

int api_handle_images(struct api_call *call, struct hm_error *error);
int api_handle_image_import(struct api_call *call, struct hm_error *error);
int api_handle_image_base(struct api_call *call, struct hm_error *error);
int api_handle_image_remove(struct api_call *call, struct hm_error *error);

int api_handle_peers_set(struct api_call *call, struct hm_error *error);
int api_handle_peers(struct api_call *call, struct hm_error *error);
int api_handle_proxy_set(struct api_call *call, struct hm_error *error);
int api_handle_proxy(struct api_call *call, struct hm_error *error);

int api_handle_network_create(struct api_call *call, struct hm_error *error);
int api_handle_networks(struct api_call *call, struct hm_error *error);
int api_handle_network(struct api_call *call, struct hm_error *error);
int api_handle_members(struct api_call *call, struct hm_error *error);
int api_handle_network_join(struct api_call *call, struct hm_error *error);
int api_handle_network_leave(struct api_call *call, struct hm_error *error);
int api_handle_network_invite(struct api_call *call, struct hm_error *error);
int api_handle_network_expel(struct api_call *call, struct hm_error *error);
int api_handle_network_dissolve(struct api_call *call, struct hm_error *error);

int api_handle_challenge_open(struct api_call *call, struct hm_error *error);
int api_handle_challenges(struct api_call *call, struct hm_error *error);
int api_handle_challenge(struct api_call *call, struct hm_error *error);

int api_handle_validators(struct api_call *call, struct hm_error *error);
int api_handle_validator(struct api_call *call, struct hm_error *error);
int api_handle_delegations(struct api_call *call, struct hm_error *error);
int api_handle_stakes(struct api_call *call, struct hm_error *error);
int api_handle_validator_declare(struct api_call *call, struct hm_error *error);
int api_handle_validator_update(struct api_call *call, struct hm_error *error);
int api_handle_validator_retire(struct api_call *call, struct hm_error *error);
int api_handle_unjail(struct api_call *call, struct hm_error *error);
int api_handle_delegate(struct api_call *call, struct hm_error *error);
int api_handle_undelegate(struct api_call *call, struct hm_error *error);
int api_handle_redelegate(struct api_call *call, struct hm_error *error);
int api_handle_rewards_take(struct api_call *call, struct hm_error *error);

int api_handle_witness(struct api_call *call, struct hm_error *error);
int api_handle_vdf(struct api_call *call, struct hm_error *error);

int api_handle_ticket_create(struct api_call *call, struct hm_error *error);
int api_handle_tickets(struct api_call *call, struct hm_error *error);
int api_handle_ticket_revoke(struct api_call *call, struct hm_error *error);

int api_handle_kv_get(struct api_call *call, struct hm_error *error);
int api_handle_kv_put(struct api_call *call, struct hm_error *error);
int api_handle_kv_delete(struct api_call *call, struct hm_error *error);
int api_handle_kv_list(struct api_call *call, struct hm_error *error);
int api_handle_kv_watch(struct api_call *call, struct hm_error *error);
int api_handle_kv_txn(struct api_call *call, struct hm_error *error);
int api_handle_kv_lease_grant(struct api_call *call, struct hm_error *error);
int api_handle_kv_leases(struct api_call *call, struct hm_error *error);
int api_handle_kv_lease(struct api_call *call, struct hm_error *error);
int api_handle_kv_keep_alive(struct api_call *call, struct hm_error *error);
int api_handle_kv_lease_revoke(struct api_call *call, struct hm_error *error);
int api_handle_kv_compact(struct api_call *call, struct hm_error *error);
int api_handle_kv_rules(struct api_call *call, struct hm_error *error);
int api_handle_kv_rule_set(struct api_call *call, struct hm_error *error);
int api_handle_kv_rule_remove(struct api_call *call, struct hm_error *error);
int api_handle_kv_state(struct api_call *call, struct hm_error *error);

int api_handle_events(struct api_call *call, struct hm_error *error);
int api_handle_audit(struct api_call *call, struct hm_error *error);
int api_handle_backup(struct api_call *call, struct hm_error *error);

/* etcd's v3 JSON gateway: api_etcd.h */
int api_etcd_version(struct api_call *call, struct hm_error *error);
int api_etcd_health(struct api_call *call, struct hm_error *error);
int api_etcd_range(struct api_call *call, struct hm_error *error);
int api_etcd_put(struct api_call *call, struct hm_error *error);
int api_etcd_delete_range(struct api_call *call, struct hm_error *error);
int api_etcd_txn(struct api_call *call, struct hm_error *error);
int api_etcd_compaction(struct api_call *call, struct hm_error *error);
int api_etcd_lease_grant(struct api_call *call, struct hm_error *error);
int api_etcd_lease_revoke(struct api_call *call, struct hm_error *error);
int api_etcd_lease_keep_alive(struct api_call *call, struct hm_error *error);
int api_etcd_lease_time_to_live(struct api_call *call, struct hm_error *error);
int api_etcd_lease_leases(struct api_call *call, struct hm_error *error);
int api_etcd_watch(struct api_call *call, struct hm_error *error);
int api_etcd_status(struct api_call *call, struct hm_error *error);
int api_etcd_alarm(struct api_call *call, struct hm_error *error);
int api_etcd_members(struct api_call *call, struct hm_error *error);
int api_etcd_authenticate(struct api_call *call, struct hm_error *error);
int api_etcd_unsupported(struct api_call *call, struct hm_error *error);

/* --- shared by handlers ----------------------------------------------------------------------- */

/* Submits one operation as account (name or text id). */
int api_submit(struct api_call *call, const char *account, Hypermesh__Operation *op,
               struct api_receipt *receipt, struct hm_error *error);
/* The same, then calls ending, which gives the result: now, or when the act is durable (API_BEGUN, which the
 * handler returns at once, as API_WAITS). op, ctx and what they point to must be in the call's arena. */
int api_submit_then(struct api_call *call, const char *account, Hypermesh__Operation *op,
                    api_ending ending, void *ctx, struct hm_error *error);
/* The same, and answers with the receipt. */
int api_submit_answer(struct api_call *call, const char *account, Hypermesh__Operation *op,
                      struct hm_error *error);
/* The same of an operation that makes one thing: its id is receipt->created[0]. what: names it in the
 * error. */
int api_submit_making(struct api_call *call, const char *account, Hypermesh__Operation *op,
                      const char *what, struct api_receipt *receipt, struct hm_error *error);
/* The same, and answers {"WHAT": the id as put writes it, "receipt": ...}. */
int api_submit_made(struct api_call *call, const char *account, Hypermesh__Operation *op,
                    const char *what, void (*put)(struct json_out *json, struct hm_slice id),
                    struct hm_error *error);
/* Who acts: the request's "account", or whose acts these are when it names nobody. */
const char *api_actor(struct api_call *call, const struct api_record *from);
void api_receipt_json(struct json_out *json, const struct api_receipt *receipt);
void api_receipt_put(struct json_out *json, const struct api_receipt *receipt); /* with its key */
/* Id of an account given by name or id, into the arena. */
int api_account_id(struct api_call *call, const char *name_or_id, ProtobufCBinaryData *out,
                   struct hm_error *error);
/* The same of a list. */
int api_account_ids(struct api_call *call, const struct api_value *names, size_t *count,
                    ProtobufCBinaryData **out, struct hm_error *error);
/* Text form of an account's id, into the arena; NULL: memory, or not 32 bytes. */
const char *api_account_text(struct api_call *call, ProtobufCBinaryData id);
int api_no_memory(struct hm_error *error);

/* --- api_handle_asset.c, api_handle_privacy.c ---------------------------------------------------- */
int api_asset_find(struct api_call *call, const uint8_t id[WIRE_ID_BYTES], Hypermesh__Asset **out,
                   struct hm_error *error);
/* The same, and who acts on it: the "account" of from, or the asset's owner (NULL: memory). */
int api_asset_acting(struct api_call *call, const uint8_t id[WIRE_ID_BYTES],
                     const struct api_record *from, Hypermesh__Asset **out, const char **actor,
                     struct hm_error *error);
/* One page of assets, cut; *next as of api_page_cut. */
int api_asset_page(struct api_call *call, const char *owner, Hypermesh__AssetKind kind,
                   bool retired, Hypermesh__Asset ***items, size_t *count, const char **next,
                   struct hm_error *error);
/* The privacy fields of a request. */
int api_privacy_of(struct api_call *call, const struct api_record *from, Hypermesh__Privacy *out,
                   struct hm_error *error);

/* --- api_page.c: pages of what comes as a whole, sorted by name -------------------------------- */
struct api_name_page {
    size_t first, count; /* what to show of the list */
    const char *next; /* cursor, or NULL */
};
/* names: sorted, may not be NULL. The cursor is the last name shown. */
int api_page_names(struct api_call *call, const char *const *names, size_t count,
                   struct api_name_page *out, struct hm_error *error);

/* --- api_page.c: pages of things that have 32-byte ids ------------------------------------------- */
struct api_id_kind {
    int (*parse)(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
    void (*text)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
    size_t at; /* where the message has its ProtobufCBinaryData */
};
extern const struct api_id_kind api_id_asset, api_id_lease, api_id_network, api_id_member,
    api_id_challenge, api_id_validator, api_id_delegator;

struct api_id_page {
    struct api_page
        page; /* for the backend: one more than limit, which shows whether more follow */
    size_t limit;
    uint8_t cursor[WIRE_ID_BYTES];
};
/* Reads ?after= and ?limit=. */
int api_page_open(struct api_call *call, const struct api_id_kind *kind, struct api_id_page *out,
                  struct hm_error *error);
/* Cuts what the backend gave (an array of messages of that kind) to the page; *next: the cursor of
 * the page after it, in the arena, or NULL. */
int api_page_cut(struct api_call *call, const struct api_id_kind *kind,
                 const struct api_id_page *page, void *items, size_t *count, const char **next,
                 struct hm_error *error);
/* Cuts and answers with the messages. */
int api_page_answer(struct api_call *call, const struct api_id_kind *kind,
                    const struct api_id_page *page, void *items, size_t count,
                    struct hm_error *error);
/* The answer: a list of messages. items: an array of pointers to any of them. */
void api_messages_json(struct api_call *call, void *items, size_t count, const char *next);

#endif
