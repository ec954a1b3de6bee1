/* Networks, peers, relays, challenges, events, exports and backups: what requests hold and answers
 * say. */
#include "api_rows.h"

/* clang-format off */

/* --- networks */
static const struct api_field network_new[] = {
    {.name = "name", .form = JSON_FORM_TEXT, MUST, .about = "1 to 64 of a-z, 0-9, point, underscore, minus; need not be unique."},
    {.name = "open", .form = JSON_FORM_BOOL, .about = "Anyone may join; else only who was invited."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_network = {.name = "NetworkNew", ROWS(network_new)};
static const struct api_field acting[] = {ACCOUNT_ROW};
const struct api_fields api_body_acting = {.name = "Acting", ROWS(acting)};
static const struct api_field member_who[] = {
    {.name = "who", .form = JSON_FORM_ACCOUNT, MUST, .about = "Name or id."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_member = {.name = "MemberNew", ROWS(member_who)};
static const struct api_field networks_query[] = {
    PAGE_ROWS,
    {.name = "member", .form = JSON_FORM_ACCOUNT, .about = "Only networks that it joined, was invited to or owns: name or id."},
};
const struct api_fields api_query_networks = {.name = "NetworksQuery", ROWS(networks_query)};
static const struct api_field network_made[] = {
    {.name = "network", .form = JSON_FORM_NETWORK, MUST},
    RECEIPT_ROW,
};
const struct api_fields api_answer_network_made = {.name = "NetworkMade", ROWS(network_made)};
const struct api_fields api_answer_network = {.name = "Network", MESSAGE(network)};
LIST_OF_MESSAGES(networks, "NetworkList", network);
LIST_OF_MESSAGES(members, "MemberList", member);

/* --- peers and relays */
static const struct api_field peers_new[] = {
    {.name = "accounts", .form = JSON_FORM_ACCOUNT, .flags = API_REQUIRED | API_LIST, .about = "With whom the account deals P2P; replaces those there were."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_peers = {.name = "PeersNew", ROWS(peers_new)};
static const struct api_field peers[] = {
    {.name = "account", .form = JSON_FORM_ACCOUNT, MUST},
    {.name = "accounts", .form = JSON_FORM_ACCOUNT, MUST_LIST},
};
const struct api_fields api_answer_peers = {.name = "Peers", ROWS(peers)};
static const struct api_field proxy_new[] = {
    {.name = "any", .form = JSON_FORM_BOOL, .about = "Every relay may carry traffic to the account's assets."},
    {.name = "relays", .form = JSON_FORM_ACCOUNT, .flags = API_LIST, .about = "Those that may; none when left out and any is false."},
    {.name = "sealed_only", .form = JSON_FORM_BOOL, .about = "Only traffic that is sealed end to end."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_proxy = {.name = "ProxyNew", ROWS(proxy_new)};
static const struct api_field proxy[] = {
    {.name = "account", .form = JSON_FORM_ACCOUNT, MUST},
};
const struct api_fields api_answer_proxy = {.name = "Proxy", ROWS(proxy), MESSAGE(proxies)};

/* --- challenges */
static const struct api_field challenge_new[] = {
    {.name = "node", .form = JSON_FORM_ACCOUNT, .about = "Whose space is challenged: name or id."},
    {.name = "lease", .form = JSON_FORM_LEASE, .about = "Or whose result: a lease that was settled."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_challenge = {.name = "ChallengeNew", ROWS(challenge_new)};
static const struct api_field challenges_query[] = {
    PAGE_ROWS,
    {.name = "party", .form = JSON_FORM_ACCOUNT, .about = "Challenger or node: name or id."},
    {.name = "open", .form = JSON_FORM_BOOL, .about = "Only those that wait for an answer."},
};
const struct api_fields api_query_challenges = {.name = "ChallengesQuery", ROWS(challenges_query)};
static const struct api_field challenge_made[] = {
    {.name = "challenge", .form = JSON_FORM_CHALLENGE, MUST},
    {.name = "due_ms", .form = JSON_FORM_UINT, MUST, .about = "When the node must have answered."},
    RECEIPT_ROW,
};
const struct api_fields api_answer_challenge_made = {.name = "ChallengeMade", ROWS(challenge_made)};
static const struct api_field challenge[] = {
    {.name = "indices", .form = JSON_FORM_UINT, MUST, .about = "Positions of the plot that it asks for; 0: it asks for a result."},
};
const struct api_fields api_answer_challenge = {.name = "ChallengeDetail", ROWS(challenge), MESSAGE(challenge)};
LIST_OF_MESSAGES(challenges, "ChallengeList", challenge);

/* --- events, exports, backups */
static const struct api_field events[] = {
    {.name = "since", .form = JSON_FORM_TEXT, .about = "HEIGHT.INDEX: what came after that event; HEIGHT: after that block; the next block when left out. A Last-Event-ID header says the same and comes first."},
    {.name = "type", .form = JSON_FORM_TEXT, .about = "Only these, separated by commas."},
    {.name = "account", .form = JSON_FORM_ACCOUNT, .about = "Only what it did: name or id."},
    {.name = "asset", .form = JSON_FORM_ASSET},
    {.name = "lease", .form = JSON_FORM_LEASE},
    {.name = "network", .form = JSON_FORM_NETWORK},
    {.name = "follow", .form = JSON_FORM_BOOL, .about = "0: ends at the newest block."},
};
const struct api_fields api_query_events = {.name = "EventsQuery", ROWS(events)};
static const struct api_field audit[] = {
    {.name = "from", .form = JSON_FORM_UINT, .about = "First block; 1 when left out."},
    {.name = "to", .form = JSON_FORM_UINT, .about = "Last block; the newest when left out or higher."},
};
const struct api_fields api_query_audit = {.name = "AuditQuery", ROWS(audit)};
static const struct api_field backup_new[] = {
    {.name = "path", .form = JSON_FORM_TEXT, MUST, .about = "File on the node's machine, absolute; must not exist."},
    {.name = "passphrase", .form = JSON_FORM_TEXT, .flags = API_REQUIRED | API_SECRET, .about = "Encrypts it; nothing opens it without."},
};
const struct api_fields api_body_backup = {.name = "BackupNew", ROWS(backup_new)};
static const struct api_field backup[] = {
    {.name = "path", .form = JSON_FORM_TEXT, MUST},
    {.name = "bytes", .form = JSON_FORM_UINT, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST, .about = "Newest block in it."},
    {.name = "state_root", .form = JSON_FORM_DIGEST, MUST},
};
const struct api_fields api_answer_backup = {.name = "Backup", ROWS(backup)};
/* clang-format on */
