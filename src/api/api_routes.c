/* Every route: one row. Rows with fixed paths stand before rows whose parameter would fit the
 * same path. */
#include "api_handlers.h"

#define TEXT_PLAIN  "text/plain; charset=utf-8"
#define TEXT_METRIC "text/plain; version=0.0.4; charset=utf-8"
#define NO_BODY     API_BODY_NONE, NULL

#define API_EVENTS "text/event-stream"
#define API_LINES  "application/x-ndjson"
/* clang-format off */
/* etcd's gateway: answers are etcd's and described there. */
#define ETCD(method, path, id, handle, status, about, body) \
    {method, path, id, handle, status, body, NULL, NULL, NULL, "application/json", about, 0}
#define ETCD_LATER(method, path, id, handle, status, about, body) \
    {method, path, id, handle, status, body, NULL, NULL, NULL, "application/json", about, API_LATER}
#define ETCD_QUICK(method, path, id, handle, status, about, body) \
    {method, path, id, handle, status, body, NULL, NULL, NULL, "application/json", about, API_QUICK}

const struct api_route api_routes[] = {
    {"GET", "/livez", "livez", api_handle_livez, 200, NO_BODY, NULL, NULL, TEXT_PLAIN, "The process answers.", API_OPEN | API_QUICK},
    {"GET", "/readyz", "readyz", api_handle_readyz, 200, NO_BODY, NULL, NULL, TEXT_PLAIN, "The node can act.", API_OPEN | API_QUICK},
    {"GET", "/openapi.json", "openapi", api_handle_openapi, 200, NO_BODY, NULL, NULL, "application/json", "This document.", API_QUICK},
    {"GET", "/metrics", "metrics", api_handle_metrics, 200, NO_BODY, NULL, NULL, TEXT_METRIC, "Figures for Prometheus.", 0},
    {"GET", "/node", "node_status", api_handle_node, 200, NO_BODY, NULL, &api_answer_status, NULL, "State of the node.", API_QUICK},
    {"POST", "/node/stop", "node_stop", api_handle_node_stop, 202, NO_BODY, NULL, &api_answer_empty, NULL, "Ends the node in order: jobs are cancelled and settled.", 0},
    {"GET", "/node/scan", "node_scan", api_handle_scan, 200, NO_BODY, NULL, &api_answer_scan, NULL, "This machine's hardware as it is now.", 0},
    {"GET", "/node/doctor", "node_doctor", api_handle_doctor, 200, NO_BODY, NULL, &api_answer_doctor, NULL, "What works on this machine and what to do about the rest.", 0},

    {"GET", "/accounts", "account_list", api_handle_accounts, 200, NO_BODY, &api_query_page, &api_answer_accounts, NULL, "Accounts of the node's keystore.", API_LEDGER},
    {"POST", "/accounts", "account_create", api_handle_account_create, 201, API_BODY_JSON, &api_body_account, NULL, &api_answer_account, NULL, "Makes keys and keeps them in the keystore.", 0},
    {"GET", "/accounts/{account}", "account_show", api_handle_account, 200, NO_BODY, NULL, &api_answer_account, NULL, "One account, by name or id.", API_QUICK | API_TAGGED | API_LEDGER},
    {"GET", "/accounts/{account}/signing", "account_signing", api_handle_signing, 200, NO_BODY, NULL, &api_answer_signing, NULL, "What a client needs to sign a transaction by itself.", API_QUICK | API_LEDGER},
    {"POST", "/accounts/{account}/transfer", "account_transfer", api_handle_transfer, 200, API_BODY_JSON, &api_body_transfer, NULL, &api_answer_receipt, NULL, "Sends tokens.", 0},
    {"POST", "/accounts/{account}/bond", "account_bond", api_handle_bond, 200, API_BODY_JSON, &api_body_amount, NULL, &api_answer_receipt, NULL, "Bonds HYPER.", 0},
    {"POST", "/accounts/{account}/unbond", "account_unbond", api_handle_unbond, 200, API_BODY_JSON, &api_body_amount, NULL, &api_answer_receipt, NULL, "Frees bonded HYPER after the chain's delay.", 0},
    {"POST", "/accounts/{account}/sessions/revoke", "session_revoke", api_handle_session_revoke, 200, API_BODY_JSON, &api_body_session_key, NULL, &api_answer_receipt, NULL, "Ends a session key.", 0},

    {"POST", "/assets/register", "asset_register", api_handle_asset_register, 201, API_BODY_JSON, &api_body_register, NULL, &api_answer_registered, NULL, "Puts an asset on the ledger.", 0},
    {"GET", "/assets", "asset_list", api_handle_assets, 200, NO_BODY, &api_query_assets, &api_answer_assets, NULL, "Assets of the mesh.", API_LEDGER},
    {"GET", "/assets/{asset}", "asset_show", api_handle_asset, 200, NO_BODY, NULL, &api_answer_asset, NULL, "One asset.", API_QUICK | API_TAGGED | API_LEDGER},
    {"PUT", "/assets/{asset}", "asset_update", api_handle_asset_update, 200, API_BODY_JSON, &api_body_update, NULL, &api_answer_receipt, NULL, "Changes capacity, price or attributes.", 0},
    {"DELETE", "/assets/{asset}", "asset_retire", api_handle_asset_retire, 200, NO_BODY, &api_query_account, &api_answer_receipt, NULL, "Takes an asset out of use.", 0},
    {"GET", "/assets/{asset}/history", "asset_history", api_handle_asset_history, 200, NO_BODY, &api_query_page, &api_answer_history, NULL, "What happened to an asset, oldest first.", API_LEDGER},
    {"POST", "/assets/{asset}/transfer", "asset_transfer", api_handle_asset_transfer, 200, API_BODY_JSON, &api_body_asset_transfer, NULL, &api_answer_receipt, NULL, "Gives an asset to another owner.", 0},
    {"PUT", "/assets/{asset}/allocate", "asset_allocate", api_handle_allocate, 200, API_BODY_JSON, &api_body_allocate, NULL, &api_answer_allocated, NULL, "Leases a share of an asset.", 0},
    {"DELETE", "/assets/{asset}/release", "asset_release", api_handle_release, 200, NO_BODY, &api_query_release, &api_answer_receipt, NULL, "Ends a lease; the time used is paid, the rest comes back.", 0},

    {"GET", "/leases", "lease_list", api_handle_leases, 200, NO_BODY, &api_query_leases, &api_answer_leases, NULL, "Leases.", API_LEDGER},
    {"GET", "/leases/{lease}", "lease_show", api_handle_lease, 200, NO_BODY, NULL, &api_answer_lease, NULL, "One lease.", API_QUICK | API_TAGGED | API_LEDGER},
    {"POST", "/leases/{lease}/renew", "lease_renew", api_handle_renew, 200, API_BODY_JSON, &api_body_renew, NULL, &api_answer_receipt, NULL, "Makes a lease last longer.", 0},

    {"POST", "/consensus/validate", "consensus_validate", api_handle_validate, 200, API_BODY_JSON, &api_body_validate, NULL, &api_answer_validation, NULL, "Checks the four proofs of a transaction and says what each shows.", 0},
    {"GET", "/consensus/status", "consensus_status", api_handle_consensus, 200, NO_BODY, NULL, &api_answer_consensus, NULL, "Where the chain stands.", API_QUICK | API_LEDGER},

    {"PUT", "/privacy/level", "privacy_set", api_handle_privacy_set, 200, API_BODY_JSON, &api_body_privacy_level, NULL, &api_answer_receipt, NULL, "Who may lease an asset, and how much of it.", API_OF_ASSET},
    {"GET", "/privacy/settings", "privacy_settings", api_handle_privacy, 200, NO_BODY, &api_query_privacy, &api_answer_privacies, NULL, "Who may lease what: all assets, or one.", API_LEDGER},

    {"POST", "/jobs", "job_create", api_handle_job_create, 201, API_BODY_JOB, NULL, &api_query_account, &api_answer_job, NULL, "Leases what the job needs and runs it.", 0},
    {"GET", "/jobs", "job_list", api_handle_jobs, 200, NO_BODY, &api_query_page, &api_answer_jobs, NULL, "Jobs, newest first.", 0},
    {"GET", "/jobs/{job}", "job_show", api_handle_job, 200, NO_BODY, NULL, &api_answer_job_detail, NULL, "One job (id or latest) with its lease and receipts.", API_TAGGED | API_LEDGER},
    {"DELETE", "/jobs/{job}", "job_cancel", api_handle_job_cancel, 202, NO_BODY, NULL, &api_answer_empty, NULL, "Cancels a job; what was used is settled.", 0},
    {"GET", "/jobs/{job}/logs", "job_logs", api_handle_job_logs, 200, NO_BODY, &api_query_logs, NULL, "application/octet-stream", "Output of a job, as a stream.", 0},
    {"GET", "/jobs/{job}/wait", "job_wait", api_handle_job_wait, 200, NO_BODY, &api_query_wait, &api_answer_job, NULL, "The job when it is done, or as it is at the timeout.", 0},

    {"GET", "/images", "image_list", api_handle_images, 200, NO_BODY, &api_query_page, &api_answer_images, NULL, "Container images.", 0},
    {"POST", "/images", "image_import", api_handle_image_import, 201, API_BODY_JSON, &api_body_image, NULL, &api_answer_image, NULL, "Takes in an OCI layout or a docker-save archive.", 0},
    {"POST", "/images/base", "image_base", api_handle_image_base, 201, NO_BODY, NULL, &api_answer_image, NULL, "Makes the busybox image from this machine's static busybox.", 0},
    {"DELETE", "/images/{image}", "image_remove", api_handle_image_remove, 200, NO_BODY, NULL, &api_answer_empty, NULL, "Removes an image.", 0},

    {"GET", "/blocks", "block_list", api_handle_blocks, 200, NO_BODY, &api_query_blocks, &api_answer_blocks, NULL, "Blocks, newest first.", API_LEDGER},
    {"GET", "/blocks/{height}", "block_show", api_handle_block, 200, NO_BODY, NULL, &api_answer_block, NULL, "One block (height or latest).", API_QUICK | API_TAGGED | API_LEDGER},
    {"GET", "/txs/{digest}", "tx_show", api_handle_tx, 200, NO_BODY, NULL, &api_answer_tx, NULL, "One transaction and how it ended.", API_QUICK | API_TAGGED | API_LEDGER},
    {"POST", "/txs", "tx_submit", api_handle_tx_submit, 200, API_BODY_BYTES, NULL, NULL, &api_answer_receipt, NULL, "Takes a packed transaction that the client signed.", 0},
    {"GET", "/state/{key}", "state_proof", api_handle_state, 200, NO_BODY, NULL, &api_answer_state, NULL, "A value of the ledger with its proof of existence or absence.", API_QUICK | API_LEDGER | API_PROVES},
    {"GET", "/light/{height}", "light_block", api_handle_light, 200, NO_BODY, &api_query_light, NULL, "application/octet-stream", "Header, votes and validators of a block (height or latest), as a packed LightBlock (proto/abci.proto); 501 where nobody else signs blocks.", API_PROVES},
    {"POST", "/chain/verify", "chain_verify", api_handle_verify, 200, NO_BODY, NULL, NULL, "application/x-ndjson", "Replays the chain from genesis; a line of progress at a time, the last one says ok or is a problem.", 0},
    {"GET", "/genesis", "genesis", api_handle_genesis, 200, NO_BODY, NULL, &api_answer_genesis, NULL, "What the chain began with.", API_QUICK | API_LEDGER},

    {"PUT", "/privacy/peers", "peers_set", api_handle_peers_set, 200, API_BODY_JSON, &api_body_peers, NULL, &api_answer_receipt, NULL, "With whom an account deals P2P, as owner and as consumer.", 0},
    {"GET", "/privacy/peers", "peers_show", api_handle_peers, 200, NO_BODY, &api_query_account, &api_answer_peers, NULL, "With whom an account deals P2P.", API_QUICK | API_LEDGER},
    {"POST", "/privacy/proxy", "proxy_set", api_handle_proxy_set, 200, API_BODY_JSON, &api_body_proxy, NULL, &api_answer_receipt, NULL, "Which relays may carry traffic to an account's assets.", 0},
    {"GET", "/privacy/proxy", "proxy_show", api_handle_proxy, 200, NO_BODY, &api_query_account, &api_answer_proxy, NULL, "Which relays may carry traffic to an account's assets.", API_QUICK | API_LEDGER},

    {"POST", "/networks", "network_create", api_handle_network_create, 201, API_BODY_JSON, &api_body_network, NULL, &api_answer_network_made, NULL, "Makes a network: a set of accounts that assets may be opened to.", 0},
    {"GET", "/networks", "network_list", api_handle_networks, 200, NO_BODY, &api_query_networks, &api_answer_networks, NULL, "Networks.", API_LEDGER},
    {"GET", "/networks/{network}", "network_show", api_handle_network, 200, NO_BODY, NULL, &api_answer_network, NULL, "One network.", API_QUICK | API_TAGGED | API_LEDGER},
    {"DELETE", "/networks/{network}", "network_dissolve", api_handle_network_dissolve, 200, NO_BODY, &api_query_account, &api_answer_receipt, NULL, "Ends a network that has no member but its owner.", 0},
    {"GET", "/networks/{network}/members", "network_members", api_handle_members, 200, NO_BODY, &api_query_page, &api_answer_members, NULL, "Who joined, is invited or was expelled.", API_LEDGER},
    {"POST", "/networks/{network}/join", "network_join", api_handle_network_join, 200, API_BODY_JSON, &api_body_acting, NULL, &api_answer_receipt, NULL, "Joins an open network, or one that invited the account.", 0},
    {"POST", "/networks/{network}/leave", "network_leave", api_handle_network_leave, 200, API_BODY_JSON, &api_body_acting, NULL, &api_answer_receipt, NULL, "Ends the account's membership.", 0},
    {"POST", "/networks/{network}/invite", "network_invite", api_handle_network_invite, 200, API_BODY_JSON, &api_body_member, NULL, &api_answer_receipt, NULL, "Lets an account join.", 0},
    {"POST", "/networks/{network}/expel", "network_expel", api_handle_network_expel, 200, API_BODY_JSON, &api_body_member, NULL, &api_answer_receipt, NULL, "Ends a membership or an invitation.", 0},

    {"POST", "/consensus/challenge", "challenge_open", api_handle_challenge_open, 201, API_BODY_JSON, &api_body_challenge, NULL, &api_answer_challenge_made, NULL, "Asks a node to show its space, or a result that it settled, again.", 0},
    {"GET", "/consensus/challenges", "challenge_list", api_handle_challenges, 200, NO_BODY, &api_query_challenges, &api_answer_challenges, NULL, "Challenges.", API_LEDGER},
    {"GET", "/consensus/challenges/{challenge}", "challenge_show", api_handle_challenge, 200, NO_BODY, NULL, &api_answer_challenge, NULL, "One challenge.", API_QUICK | API_TAGGED | API_LEDGER},

    {"GET", "/validators", "validator_list", api_handle_validators, 200, NO_BODY, &api_query_page, &api_answer_validators, NULL, "Validators.", API_LEDGER},
    {"POST", "/validators", "validator_declare", api_handle_validator_declare, 200, API_BODY_JSON, &api_body_declare, NULL, &api_answer_receipt, NULL, "Makes the account a validator's operator.", 0},
    {"GET", "/validators/{account}", "validator_show", api_handle_validator, 200, NO_BODY, NULL, &api_answer_validator, NULL, "One validator, by its operator.", API_QUICK | API_LEDGER},
    {"DELETE", "/validators/{account}", "validator_retire", api_handle_validator_retire, 200, NO_BODY, NULL, &api_answer_receipt, NULL, "The validator leaves for good.", 0},
    {"POST", "/validators/{account}/commission", "validator_update", api_handle_validator_update, 200, API_BODY_JSON, &api_body_commission, NULL, &api_answer_receipt, NULL, "Changes its commission.", 0},
    {"POST", "/validators/{account}/unjail", "unjail", api_handle_unjail, 200, NO_BODY, NULL, &api_answer_receipt, NULL, "Lets a validator that was absent too much take part again.", 0},
    {"GET", "/validators/{account}/delegations", "delegation_list", api_handle_delegations, 200, NO_BODY, &api_query_page, &api_answer_delegations, NULL, "Who delegated to it.", API_LEDGER},
    {"POST", "/validators/{account}/delegate", "delegate", api_handle_delegate, 200, API_BODY_JSON, &api_body_delegate, NULL, &api_answer_receipt, NULL, "Delegates HYPER to it.", 0},
    {"POST", "/validators/{account}/undelegate", "undelegate", api_handle_undelegate, 200, API_BODY_JSON, &api_body_undelegate, NULL, &api_answer_receipt, NULL, "Takes delegated HYPER out, free after the chain's delay.", 0},
    {"POST", "/validators/{account}/redelegate", "redelegate", api_handle_redelegate, 200, API_BODY_JSON, &api_body_redelegate, NULL, &api_answer_receipt, NULL, "Moves delegated HYPER to another validator, after the chain's delay.", 0},
    {"POST", "/validators/{account}/rewards", "rewards_take", api_handle_rewards_take, 200, API_BODY_JSON, &api_body_acting, NULL, &api_answer_receipt, NULL, "Pays out what a delegation has earned.", 0},
    {"GET", "/accounts/{account}/stakes", "stake_list", api_handle_stakes, 200, NO_BODY, &api_query_page, &api_answer_stakes, NULL, "What the account has delegated, and earned.", API_LEDGER},

    {"GET", "/cluster/witness", "cluster_witness", api_handle_witness, 200, NO_BODY, NULL, &api_answer_witness, NULL, "Where and when the validators of a cluster together see each node; 404 before any block says it, 501 where there is no cluster.", API_QUICK | API_LEDGER},
    {"GET", "/cluster/vdf", "cluster_vdf", api_handle_vdf, 200, NO_BODY, NULL, &api_answer_vdf, NULL, "Newest link of a cluster's chain of delays; 404 before the first, 501 where there is no cluster.", API_QUICK | API_LEDGER},

    {"POST", "/cluster/tickets", "ticket_create", api_handle_ticket_create, 201, API_BODY_JSON, &api_body_ticket, NULL, &api_answer_ticket, NULL, "Issues a ticket with which one machine may join the cluster; 501 where there is none.", 0},
    {"GET", "/cluster/tickets", "ticket_list", api_handle_tickets, 200, NO_BODY, NULL, &api_answer_tickets, NULL, "Join tickets that this node has issued lately, oldest first.", 0},
    {"DELETE", "/cluster/tickets/{ticket}", "ticket_revoke", api_handle_ticket_revoke, 200, NO_BODY, NULL, &api_answer_empty, NULL, "A join ticket is good no more.", 0},

    {"GET", "/kv", "kv_list", api_handle_kv_list, 200, NO_BODY, &api_query_kv_list, &api_answer_kv_items, NULL, "Keys and values of a range.", API_LEDGER},
    {"GET", "/kv/{name}", "kv_get", api_handle_kv_get, 200, NO_BODY, &api_query_kv_get, &api_answer_kv_item, NULL, "One key; its ETag is its mod_revision.", API_QUICK | API_LEDGER},
    {"PUT", "/kv/{name}", "kv_put", api_handle_kv_put, 200, API_BODY_JSON, &api_body_kv_put, NULL, &api_answer_kv_written, NULL, "Sets a key. If-Match: its ETag, or If-None-Match: *, is compared in the ledger; 412 when it does not hold.", API_MATCHES | API_LATER},
    {"DELETE", "/kv/{name}", "kv_delete", api_handle_kv_delete, 200, NO_BODY, &api_query_kv_delete, &api_answer_kv_deleted, NULL, "Deletes a key, or every key that begins so. Takes If-Match.", API_MATCHES | API_LATER},
    {"GET", "/kv-watch", "kv_watch", api_handle_kv_watch, 200, NO_BODY, &api_query_kv_watch, NULL, API_EVENTS, "Changes of keys from any revision, as server-sent events.", API_LEDGER},
    {"POST", "/kv-txn", "kv_txn", api_handle_kv_txn, 200, API_BODY_TREE, &api_body_kv_txn, NULL, &api_answer_kv_txn, NULL, "If every compare holds then these operations, else those; all at once.", API_LATER},
    {"POST", "/kv-leases", "kv_lease_grant", api_handle_kv_lease_grant, 201, API_BODY_JSON, &api_body_kv_lease, NULL, &api_answer_kv_lease_made, NULL, "Makes a lease: its keys go when it is not kept alive.", 0},
    {"GET", "/kv-leases", "kv_lease_list", api_handle_kv_leases, 200, NO_BODY, &api_query_page, &api_answer_kv_leases, NULL, "Leases of the key-value store.", API_LEDGER},
    {"GET", "/kv-leases/{number}", "kv_lease_show", api_handle_kv_lease, 200, NO_BODY, NULL, &api_answer_kv_lease, NULL, "One lease and its keys.", API_LEDGER},
    {"POST", "/kv-leases/{number}/keep-alive", "kv_lease_keep_alive", api_handle_kv_keep_alive, 200, NO_BODY, &api_query_account, &api_answer_kv_lease_made, NULL, "Counts the lease's time from now again.", 0},
    {"DELETE", "/kv-leases/{number}", "kv_lease_revoke", api_handle_kv_lease_revoke, 200, NO_BODY, &api_query_account, &api_answer_receipt, NULL, "Ends a lease and deletes its keys.", 0},
    {"POST", "/kv-compact", "kv_compact", api_handle_kv_compact, 200, API_BODY_JSON, &api_body_kv_compact, NULL, &api_answer_receipt, NULL, "Forgets history before a revision.", 0},
    {"GET", "/kv-rules", "kv_rule_list", api_handle_kv_rules, 200, NO_BODY, &api_query_page, &api_answer_kv_rules, NULL, "Who may read and write which keys.", API_LEDGER},
    {"PUT", "/kv-rules", "kv_rule_set", api_handle_kv_rule_set, 200, API_BODY_JSON, &api_body_kv_rule, NULL, &api_answer_receipt, NULL, "Sets the rule at a prefix.", 0},
    {"DELETE", "/kv-rules", "kv_rule_remove", api_handle_kv_rule_remove, 200, NO_BODY, &api_query_kv_rule, &api_answer_receipt, NULL, "Removes the rule at exactly a prefix.", 0},
    {"GET", "/kv-state", "kv_state", api_handle_kv_state, 200, NO_BODY, NULL, &api_answer_kv_state, NULL, "Revision and size of the key-value store.", API_QUICK | API_LEDGER},

    {"GET", "/events", "events", api_handle_events, 200, NO_BODY, &api_query_events, NULL, API_EVENTS, "What happens on the ledger, from any point, as server-sent events.", API_LEDGER},
    {"GET", "/audit", "audit_export", api_handle_audit, 200, NO_BODY, &api_query_audit, NULL, API_LINES, "Every operation as JSON lines that prove that none was left out.", API_LEDGER},
    {"POST", "/backup", "backup_create", api_handle_backup, 201, API_BODY_JSON, &api_body_backup, NULL, &api_answer_backup, NULL, "Writes an encrypted backup of the node while it runs.", 0},

    ETCD_QUICK("GET", "/version", "etcd_version", api_etcd_version, 200, "Which etcd this gateway behaves like.", API_BODY_NONE),
    ETCD_QUICK("GET", "/health", "etcd_health", api_etcd_health, 200, "As etcd's.", API_BODY_NONE),
    ETCD_QUICK("POST", "/v3/kv/range", "etcd_range", api_etcd_range, 200, "etcd v3: RangeRequest.", API_BODY_LOOSE),
    ETCD_LATER("POST", "/v3/kv/put", "etcd_put", api_etcd_put, 200, "etcd v3: PutRequest.", API_BODY_LOOSE),
    ETCD_LATER("POST", "/v3/kv/deleterange", "etcd_delete_range", api_etcd_delete_range, 200, "etcd v3: DeleteRangeRequest.", API_BODY_LOOSE),
    ETCD_LATER("POST", "/v3/kv/txn", "etcd_txn", api_etcd_txn, 200, "etcd v3: TxnRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/kv/compaction", "etcd_compaction", api_etcd_compaction, 200, "etcd v3: CompactionRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/lease/grant", "etcd_lease_grant", api_etcd_lease_grant, 200, "etcd v3: LeaseGrantRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/lease/revoke", "etcd_lease_revoke", api_etcd_lease_revoke, 200, "etcd v3: LeaseRevokeRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/kv/lease/revoke", "etcd_kv_lease_revoke", api_etcd_lease_revoke, 200, "etcd v3: LeaseRevokeRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/lease/keepalive", "etcd_lease_keep_alive", api_etcd_lease_keep_alive, 200, "etcd v3: LeaseKeepAliveRequest, one or several; a line for each.", API_BODY_LOOSE),
    ETCD("POST", "/v3/lease/timetolive", "etcd_lease_time_to_live", api_etcd_lease_time_to_live, 200, "etcd v3: LeaseTimeToLiveRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/kv/lease/timetolive", "etcd_kv_lease_time_to_live", api_etcd_lease_time_to_live, 200, "etcd v3: LeaseTimeToLiveRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/lease/leases", "etcd_lease_leases", api_etcd_lease_leases, 200, "etcd v3: LeaseLeasesRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/kv/lease/leases", "etcd_kv_lease_leases", api_etcd_lease_leases, 200, "etcd v3: LeaseLeasesRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/watch", "etcd_watch", api_etcd_watch, 200, "etcd v3: WatchRequests, one or several; lines of WatchResponse.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/status", "etcd_status", api_etcd_status, 200, "etcd v3: StatusRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/alarm", "etcd_alarm", api_etcd_alarm, 200, "etcd v3: AlarmRequest; there are none.", API_BODY_LOOSE),
    ETCD("POST", "/v3/cluster/member/list", "etcd_members", api_etcd_members, 200, "etcd v3: MemberListRequest.", API_BODY_LOOSE),
    ETCD("POST", "/v3/auth/authenticate", "etcd_authenticate", api_etcd_authenticate, 412, "etcd v3: AuthenticateRequest; authentication is not etcd's here.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/defragment", "etcd_defragment", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/hash", "etcd_hash", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/snapshot", "etcd_snapshot", api_etcd_unsupported, 501, "Not supported yet: POST /backup.", API_BODY_LOOSE),
    ETCD("POST", "/v3/maintenance/transfer-leadership", "etcd_transfer_leadership", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/cluster/member/add", "etcd_member_add", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/cluster/member/remove", "etcd_member_remove", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/cluster/member/update", "etcd_member_update", api_etcd_unsupported, 501, "Not supported yet.", API_BODY_LOOSE),
    ETCD("POST", "/v3/auth/enable", "etcd_auth_enable", api_etcd_unsupported, 501, "Not supported yet: who may read and write is said by /kv-rules.", API_BODY_LOOSE),
};
/* clang-format on */
const size_t api_route_count = HM_COUNT_OF(api_routes);
_Static_assert(HM_COUNT_OF(api_routes) < API_METRIC_ROUTES_MAX,
               "one place is for requests without a route");
