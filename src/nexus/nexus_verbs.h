/* Every verb, by its row; each stands in verb_GROUP.c or verb_NAME.c. */
#ifndef HM_NEXUS_VERBS_H
#define HM_NEXUS_VERBS_H

#include "nexus_option.h"

extern const struct nexus_verb verb_up, verb_down, verb_status, verb_run, verb_verify, verb_doctor,
    verb_completion, verb_version, verb_help;
extern const struct nexus_verb verb_asset_ls, verb_asset_show, verb_asset_history, verb_asset_scan;
extern const struct nexus_verb verb_asset_register, verb_asset_update, verb_asset_transfer,
    verb_asset_retire, verb_asset_privacy;
extern const struct nexus_verb verb_asset_lease, verb_asset_release;
extern const struct nexus_verb verb_lease_ls, verb_lease_show, verb_lease_renew;
extern const struct nexus_verb verb_job_ls, verb_job_show, verb_job_logs, verb_job_wait,
    verb_job_cancel;
extern const struct nexus_verb verb_image_ls, verb_image_import, verb_image_build_base,
    verb_image_rm;
extern const struct nexus_verb verb_account_ls, verb_account_show, verb_account_create,
    verb_account_transfer, verb_account_bond, verb_account_unbond, verb_account_revoke;
extern const struct nexus_verb verb_block_ls, verb_block_show;
extern const struct nexus_verb verb_tx_show, verb_tx_send, verb_tx_validate;
extern const struct nexus_verb verb_state_prove;
extern const struct nexus_verb verb_events, verb_top;
extern const struct nexus_verb verb_account_peers, verb_account_relays;
extern const struct nexus_verb verb_network_ls, verb_network_create, verb_network_show,
    verb_network_members, verb_network_join, verb_network_leave, verb_network_invite,
    verb_network_expel, verb_network_dissolve;
extern const struct nexus_verb verb_cluster_create, verb_cluster_status, verb_cluster_start,
    verb_cluster_stop, verb_cluster_destroy, verb_cluster_add, verb_cluster_remove,
    verb_cluster_join, verb_cluster_trust, verb_cluster_ticket, verb_cluster_ticket_ls,
    verb_cluster_ticket_revoke;
extern const struct nexus_verb verb_node_promote, verb_cluster_recover;
extern const struct nexus_verb verb_challenge_node, verb_challenge_result, verb_challenge_ls,
    verb_challenge_show;
extern const struct nexus_verb verb_validator_ls, verb_validator_show, verb_validator_declare,
    verb_validator_commission, verb_validator_retire, verb_validator_unjail;
extern const struct nexus_verb verb_stake_ls, verb_stake_give, verb_stake_take, verb_stake_move,
    verb_stake_rewards;
extern const struct nexus_verb verb_kv_get, verb_kv_put, verb_kv_del, verb_kv_ls, verb_kv_watch,
    verb_kv_txn, verb_kv_compact, verb_kv_state;
extern const struct nexus_verb verb_kv_lease_grant, verb_kv_lease_keep, verb_kv_lease_revoke,
    verb_kv_lease_ls, verb_kv_lease_show;
extern const struct nexus_verb verb_kv_rule_ls, verb_kv_rule_set, verb_kv_rule_rm;
extern const struct nexus_verb verb_audit_export, verb_audit_verify;
extern const struct nexus_verb verb_backup_create, verb_backup_verify, verb_backup_restore;

#endif
