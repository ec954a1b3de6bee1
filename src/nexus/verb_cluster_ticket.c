/* cluster ticket, ticket-ls, ticket-revoke: what somebody on another machine joins the cluster with. */
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_verbs.h"

#define ID_DIGITS_SHOWN 8

/* The node that is asked: of a cluster's folder the first that runs, rather one with a door; else the one that --data or --url names.
 * *issuer: of the cluster; NULL: another. */
static int choose(struct nexus_call *call, struct nexus_cluster *cluster,
                  const struct nexus_cluster_node **issuer)
{
    const struct nexus_cluster_node *best = NULL;
    int rc = call->place.url ? 0 : nexus_cluster_look(call, cluster);

    *issuer = NULL;
    if (rc || cluster->count == 0)
        return rc;
    for (size_t i = 0; i < cluster->count; i++)
        if (nexus_cluster_pid(&cluster->nodes[i]) > 0 &&
            (!best || (!best->door[0] && cluster->nodes[i].door[0])))
            best = &cluster->nodes[i];
    *issuer = best;
    return best ? 0
                : hm_fail(&call->error, NEXUS_EUNREACHABLE,
                          "none of the cluster's nodes runs: nexus cluster start");
}

static int ask_one(struct nexus_call *call, const struct nexus_cluster_node *node,
                   const char *method, const char *path, const json_t *body, json_t **reply)
{
    return node
               ? nexus_cluster_ask(call, node, method, path, body, reply, &call->error)
               : nexus_ask(call, method, json_incref((json_t *)(uintptr_t)body), reply, "%s", path);
}

static int ask(struct nexus_call *call, const char *method, const char *path, json_t **reply)
{
    struct nexus_cluster cluster = {.count = 0};
    const struct nexus_cluster_node *node;
    int rc = choose(call, &cluster, &node);

    return rc ? rc : ask_one(call, node, method, path, NULL, reply);
}

/* --- issue --------------------------------------------------------------------------------------------------- */

static int add_addresses(struct nexus_call *call, json_t *body)
{
    char *rest = NULL,
         *list = hm_arena_strdup(call->arena,
                                 nexus_value(call, "address") ? nexus_value(call, "address") : "");
    json_t *addresses = json_array();
    size_t count = 0;

    if (!list || !addresses) {
        json_decref(addresses);
        return nexus_no_memory(call);
    }
    for (char *one = strtok_r(list, ",", &rest); one; one = strtok_r(NULL, ",", &rest), count++)
        json_array_append_new(addresses, json_string(one));
    if (count == 0) {
        json_decref(addresses);
        return 0;
    }
    return json_object_set_new(body, "addresses", addresses) == 0 ? 0 : nexus_no_memory(call);
}

static int ticket_body(struct nexus_call *call, json_t *body)
{
    uint64_t lasts_ms = 0;
    int rc = nexus_value_ms(call, "expires", &lasts_ms);

    if (!rc && nexus_value(call, "expires") &&
        json_object_set_new(body, "expires_ms", json_integer((json_int_t)lasts_ms)) != 0)
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "role", "role");
    if (!rc && nexus_has(call, "fund") && json_object_set_new(body, "fund", json_true()) != 0)
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "bond", "bond");
    return rc ? rc : add_addresses(call, body);
}

/* What a terminal would obey is none. */
static bool is_ticket(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    return text[0] && strspn(text, letters) == strlen(text);
}

/* The ticket alone on standard output, so that it can be piped to where it goes. */
static int table_ticket(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (!is_ticket(nexus_json_text(reply, "ticket")))
        return hm_fail(&call->error, HM_EIO, "the node's answer holds no join ticket");
    if (hm_buf_printf(out, "%s\n", nexus_json_text(reply, "ticket")) != 0)
        return nexus_no_memory(call);
    nexus_say(
        "ticket %.*s is good for one machine, until %s: nexus cluster join there. Whoever has "
        "it first can use it, so hand it over in private",
        ID_DIGITS_SHOWN, nexus_json_text(reply, "id"),
        nexus_show_time(nexus_json_u64(reply, "expires_ms"), call->arena));
    return 0;
}

/* A ticket that is of no use elsewhere is told of here, and not by the machine that tries it. */
static void warn_of_door(const struct nexus_cluster_node *node)
{
    bool space = node->netns[0] != '\0';

    if (!space && strncmp(node->door, "127.", 4) != 0 && strncmp(node->door, "[::1]", 5) != 0)
        return;
    nexus_say(
        "warning: this ticket is of no use on another machine: %s answers newcomers at %s, %s",
        node->name, node->door,
        space ? "in a network namespace of this machine" : "which is this machine alone");
    nexus_say("nexus cluster stop, and then nexus cluster start --address ADDR, let others reach "
              "the nodes at this machine's address; then issue another ticket");
}

static int run_ticket(struct nexus_call *call)
{
    struct nexus_cluster cluster = {.count = 0};
    const struct nexus_cluster_node *node = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = ticket_body(call, body);

    if (!rc)
        rc = choose(call, &cluster, &node);
    if (!rc)
        rc = ask_one(call, node, "POST", "/cluster/tickets", body, &reply);
    if (rc == HM_ECONFLICT && node && !node->door[0])
        call->hint = hm_arena_printf(call->arena,
                                     "%s is given a door by: nexus cluster stop, and then nexus "
                                     "cluster start %s --door-listen ADDRESS:PORT",
                                     node->name, node->name);
    if (!rc)
        rc = nexus_show(call, reply, table_ticket);
    if (!rc && node && node->door[0] && !nexus_has(call, "address"))
        warn_of_door(node);
    return rc;
}

static const struct nexus_option ticket_options[] = {
    {.name = "expires", .value = "TIME", .help = "how long it is good, at most 12h; default: 1h"},
    {.name = "role",
     .value = "ROLE",
     .help = "what the newcomer is to be; default: full, which follows the others",
     .words = "full validator"},
    {.name = "address",
     .value = "ADDR:PORT",
     .help = "where the newcomer reaches this node's door (UDP); several with commas between; "
             "default: where it listens"},
    {.name = "fund", .help = "this node's user pays the newcomer's accounts 11000 HYPER"},
    {.name = "bond", .value = "HYPER", .help = "and so much more for a validator's bond"},
};

const struct nexus_verb verb_cluster_ticket = {
    .group = "cluster",
    .name = "ticket",
    .summary = "Issue a ticket with which one other machine joins the cluster",
    .text = "Prints it; there it is given to nexus cluster join, and nothing else. It names the "
            "chain, a\n"
            "block to trust and where this node's door is (nexus cluster start --door-listen), and "
            "is a\n"
            "secret until it is used. Other machines reach the nodes of a cluster that has an "
            "--address.",
    .options = ticket_options,
    .option_count = HM_COUNT_OF(ticket_options),
    .run = run_ticket};

/* --- list, revoke ---------------------------------------------------------------------------------------------- */

static const char *ticket_state(struct nexus_call *call, const json_t *ticket)
{
    if (nexus_json_bool(ticket, "revoked"))
        return "revoked";
    if (nexus_json_u64(ticket, "used_ms") > 0)
        return hm_arena_printf(call->arena, "used by %.*s", ID_DIGITS_SHOWN,
                               nexus_json_text(ticket, "used_by"));
    return nexus_json_u64(ticket, "expires_ms") <= hm_wall_ms(hm_clock_system()) ? "expired"
                                                                                 : "good";
}

static int table_tickets(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"TICKET", false}, {"ROLE", false}, {"PAID", false}, {"EXPIRES", false}, {"STATE", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *ticket = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table, nexus_json_text(ticket, "id"), nexus_json_text(ticket, "role"),
                        nexus_json_bool(ticket, "funded") ? "yes" : "no",
                        nexus_show_time(nexus_json_u64(ticket, "expires_ms"), call->arena),
                        ticket_state(call, ticket));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ticket_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = ask(call, "GET", "/cluster/tickets", &reply);

    return rc ? rc : nexus_show(call, nexus_json_list(reply, "items"), table_tickets);
}

const struct nexus_verb verb_cluster_ticket_ls = {
    .group = "cluster",
    .name = "ticket-ls",
    .summary = "List the join tickets that a node has issued lately",
    .text = "The secret in a ticket is shown once, when it is issued.",
    .run = run_ticket_ls};

static int run_ticket_revoke(struct nexus_call *call)
{
    const char *path = hm_arena_printf(call->arena, "/cluster/tickets/%s",
                                       nexus_part(call, nexus_operand(call, 0)));

    return path ? ask(call, "DELETE", path, NULL) : nexus_no_memory(call);
}

const struct nexus_verb verb_cluster_ticket_revoke = {
    .group = "cluster",
    .name = "ticket-revoke",
    .operands = "ID",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Make a join ticket good no more",
    .text =
        "A node that has joined with it stays; what it may still read at this node's door ends.",
    .run = run_ticket_revoke};
