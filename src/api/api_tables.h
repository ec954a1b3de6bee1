/* Tables of what requests hold and answers say; api_routes.c puts them to routes. */
#ifndef HM_API_TABLES_H
#define HM_API_TABLES_H

#include "api_field.h"

/* Bodies. */
extern const struct api_fields api_body_account, api_body_transfer, api_body_amount,
    api_body_session_key, api_body_privacy, api_body_register, api_body_update,
    api_body_asset_transfer, api_body_allocate, api_body_renew, api_body_validate,
    api_body_privacy_level, api_body_image;

/* Queries. */
extern const struct api_fields api_query_page, api_query_assets, api_query_leases,
    api_query_account, api_query_release, api_query_privacy, api_query_logs, api_query_wait,
    api_query_blocks, api_query_light;

/* Answers. */
extern const struct api_fields api_answer_empty, api_answer_status, api_answer_scan,
    api_answer_doctor, api_answer_accounts, api_answer_account, api_answer_signing,
    api_answer_receipt, api_answer_registered, api_answer_assets, api_answer_asset,
    api_answer_history, api_answer_allocated, api_answer_leases, api_answer_lease,
    api_answer_validation, api_answer_consensus, api_answer_privacies, api_answer_jobs,
    api_answer_job, api_answer_job_detail, api_answer_images, api_answer_image, api_answer_blocks,
    api_answer_block, api_answer_tx, api_answer_state, api_answer_genesis, api_answer_problem;

/* api_tables_mesh.c */
extern const struct api_fields api_body_network, api_body_acting, api_body_member, api_body_peers,
    api_body_proxy, api_body_challenge, api_body_backup, api_query_networks, api_query_challenges,
    api_query_events, api_query_audit, api_answer_network_made, api_answer_network,
    api_answer_networks, api_answer_members, api_answer_peers, api_answer_proxy,
    api_answer_challenge_made, api_answer_challenge, api_answer_challenges, api_answer_backup;

/* api_tables_stake.c */
extern const struct api_fields api_body_declare, api_body_commission, api_body_delegate,
    api_body_undelegate, api_body_redelegate, api_answer_validator, api_answer_validators,
    api_answer_delegations, api_answer_stakes;

/* api_tables_witness.c */
extern const struct api_fields api_answer_witness, api_answer_vdf;

/* api_tables_ticket.c */
extern const struct api_fields api_body_ticket, api_answer_ticket, api_answer_tickets;

/* api_tables_kv.c */
extern const struct api_fields api_query_kv_get, api_query_kv_delete, api_query_kv_list,
    api_query_kv_watch, api_query_kv_rule, api_body_kv_put, api_body_kv_txn, api_body_kv_lease,
    api_body_kv_compact, api_body_kv_rule, api_answer_kv_item, api_answer_kv_written,
    api_answer_kv_deleted, api_answer_kv_items, api_answer_kv_txn, api_answer_kv_lease_made,
    api_answer_kv_lease, api_answer_kv_leases, api_answer_kv_rules, api_answer_kv_state;

#endif
