/* A cluster on this machine: several nodes in one folder, FOLDER/node0, FOLDER/node1, ..., and FOLDER/cluster.json, which
 * says how each is started. Each node is one as any other: it is started as `up` does, and asked over its own socket. */
#ifndef HM_NEXUS_CLUSTER_H
#define HM_NEXUS_CLUSTER_H

#include "nexus_call.h"
#include "nexus_daemon.h"

#define NEXUS_CLUSTER_MAX       20
#define NEXUS_CLUSTER_FILE      "cluster.json"
#define NEXUS_CLUSTER_ID_BYTES  4
#define NEXUS_CLUSTER_WORDS_MAX 32
/* nexus_cluster_node.place of the node whose data folder is the cluster's own folder: it was a single node's before. */
#define NEXUS_CLUSTER_HERE "."
/* nexus_cluster.begins: its first block goes on from an older ledger, so that new nodes begin with a snapshot. */
#define NEXUS_CLUSTER_BEGINS_SNAPSHOT "snapshot"

/* Texts lie in the call's arena. */
struct nexus_cluster_node {
    const char *name; /* "node0" */
    const char *data; /* FOLDER/node0, or FOLDER where place says so */
    const char *place; /* NEXUS_CLUSTER_HERE, or "" */
    const char *node_id, *validator, *account, *user; /* hexadecimal */
    const char *key,
        *proof; /* hexadecimal: with which its operator declares its validator; "": an older node's */
    const char *p2p; /* "ADDRESS:PORT" */
    const char *metrics; /* "127.0.0.1:PORT" of its engine */
    const char *netns; /* network namespace it runs in; "": this machine's */
    const char *door; /* "ADDRESS:PORT", UDP, where it answers newcomers; "" or NULL: nowhere */
    const char *const *words; /* of its daemon, instead of --listen none */
    size_t word_count;
};

struct nexus_cluster {
    const char *folder; /* absolute */
    const char *id; /* eight digits that tell its namespaces from others' */
    const char *chain_id;
    const char *bridge; /* of its namespaces; "": none */
    const char *engine_path, *plot, *runtime, *log_level; /* handed on; "": not */
    const char *snapshot_blocks; /* likewise */
    const char *
        peers; /* of its nodes on other machines, "ID@ADDRESS:PORT", with commas between; "" or NULL: none */
    const char *
        address; /* of this machine, where others reach its nodes; "" or NULL: loopback, or namespaces */
    const char *begins; /* NEXUS_CLUSTER_BEGINS_SNAPSHOT, or "" */
    /* Of a join that is not at its end: "yes" where a member pays; what its validator is to bond, "0": nothing yet. "" or NULL. */
    const char *funded, *bond;
    size_t count;
    struct nexus_cluster_node nodes[NEXUS_CLUSTER_MAX];
};

/* --- nexus_cluster.c: what it is ----------------------------------------------------------------------- */
/* Of the call's --data. HM_ENOTFOUND: none is there; HM_EPARSE. */
int nexus_cluster_load(struct nexus_call *call, struct nexus_cluster *out);
int nexus_cluster_save(struct nexus_call *call, const struct nexus_cluster *cluster);
/* Has hypermeshd make the folders of `count` nodes, finds each a place on the network, and saves. namespaces: each in its own. */
int nexus_cluster_make(struct nexus_call *call, size_t count, bool namespaces,
                       struct nexus_cluster *out);
/* Makes the folder of one more, finds it a place, and saves. With --snapshot it begins with one of the nodes that run. */
int nexus_cluster_grow(struct nexus_call *call, struct nexus_cluster *cluster);
/* HM_ECONFLICT: it lies in the cluster's own folder, or is the only one. */
int nexus_cluster_can_shrink(struct nexus_call *call, const struct nexus_cluster *cluster,
                             size_t at);
/* Forgets and removes one node, which must not run, and saves. */
int nexus_cluster_shrink(struct nexus_call *call, struct nexus_cluster *cluster, size_t at);
/* Forgets and removes all of it. Nothing of it may run. */
int nexus_cluster_remove(struct nexus_call *call, const struct nexus_cluster *cluster);
/* The nodes that the operands name, or all; chosen has room for all. HM_ENOTFOUND. */
int nexus_cluster_choose(struct nexus_call *call, const struct nexus_cluster *cluster,
                         size_t *chosen, size_t *count);

/* --- nexus_cluster_net.c: where its nodes meet --------------------------------------------------------- */
/* Free ports on loopback, or an address in a namespace of its own each. */
int nexus_cluster_net_plan(struct nexus_call *call, bool namespaces, struct nexus_cluster *cluster);
/* The same for its last node alone, where the others are. */
int nexus_cluster_net_plan_last(struct nexus_call *call, struct nexus_cluster *cluster);
/* Makes what the plan needs and is not there: after a restart of the machine namespaces are gone. */
int nexus_cluster_net_up(struct nexus_call *call, const struct nexus_cluster *cluster);
void nexus_cluster_net_down(const struct nexus_cluster *cluster);
void nexus_cluster_net_down_node(const struct nexus_cluster_node *node);
bool nexus_cluster_net_can(void); /* namespaces: root, and the programs are there */

/* The node whose data folder is the cluster's own; cluster->count: none. */
size_t nexus_cluster_here(const struct nexus_cluster *cluster);
/* As load, of a folder that may be any: *out has no nodes where no cluster.json is. */
int nexus_cluster_look(struct nexus_call *call, struct nexus_cluster *out);
/* The folder of the cluster that the call's --data is a node of, with the node's name; NULL: it is none, or has a cluster.json of its
 * own. In the arena. */
const char *nexus_cluster_above(const struct nexus_call *call, const char **name);
/* "nexus cluster start node4 --data FOLDER"; NULL likewise. */
const char *nexus_cluster_above_start(const struct nexus_call *call);
int nexus_cluster_new_id(struct nexus_call *call, struct nexus_cluster *cluster);

/* --- nexus_cluster_run.c: its nodes as processes ------------------------------------------------------- */
/* Who answers on the node's socket; 0: nobody. */
pid_t nexus_cluster_pid(const struct nexus_cluster_node *node);
/* One request to one node; body may be NULL. */
int nexus_cluster_ask(struct nexus_call *call, const struct nexus_cluster_node *node,
                      const char *method, const char *path, const json_t *body, json_t **reply,
                      struct hm_error *error);
/* Starts those that do not run, and waits until all of them are ready. A node that ends early is a failure, with its last
 * words told; the others go on. Positive: interrupted. */
int nexus_cluster_start(struct nexus_call *call, const struct nexus_cluster *cluster,
                        const size_t *chosen, size_t count, uint64_t wait_ms);
/* The words that make a daemon the cluster's node, by the arena; from argv[*count] on, which has room for `room` in all. */
int nexus_cluster_words(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                        const char **argv, size_t room, size_t *count);
/* Asks those that run to stop, and waits until they have. */
int nexus_cluster_stop(struct nexus_call *call, const struct nexus_cluster *cluster,
                       const size_t *chosen, size_t count, uint64_t wait_ms);
/* --- nexus_cluster_seen.c: what its validators together see of it ---------------------------------------- */
/* Puts "witness" and "vdf" beside the "nodes" of a state, as the node that is furthest says; null: nothing yet. */
int nexus_cluster_put_seen(struct nexus_call *call, const struct nexus_cluster *cluster,
                           json_t *state);
/* What it says of one node; NULL: nothing. The texts below take NULL. */
const json_t *nexus_cluster_seen(const json_t *state, const char *node_id);
const char *nexus_cluster_rtt(struct nexus_call *call, const json_t *seen);
const char *nexus_cluster_clock(struct nexus_call *call, const json_t *seen);
/* "", or what follows its state. */
const char *nexus_cluster_doubts(struct nexus_call *call, const json_t *seen);
/* "", or what follows then: to which of the cluster's nodes (of state) its links are bad. */
const char *nexus_cluster_links(struct nexus_call *call, const json_t *state, const json_t *node);
/* Lines for all of the cluster. */
int nexus_cluster_seen_lines(struct nexus_call *call, const json_t *state, struct hm_buf *out);
/* --- nexus_cluster_vote.c: which of them vote ---------------------------------------------------------- */
/* Will the node vote for the next block? HM_EBUSY: its engine does not answer yet. error may be NULL. */
int nexus_cluster_votes(struct nexus_call *call, const struct nexus_cluster_node *node, bool *out,
                        struct hm_error *error);
/* --commission, a number at most a million; 0: not given. */
int nexus_cluster_commission(struct nexus_call *call, uint64_t *out);
/* Its operator bonds so many HYPER and declares it a validator; waits until it votes. */
int nexus_cluster_declare(struct nexus_call *call, const struct nexus_cluster_node *node,
                          const char *bond, uint64_t wait_ms);
/* Its operator retires it; waits until the others do without its vote. HM_ECONFLICT: they could not. */
int nexus_cluster_retire(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                         uint64_t wait_ms);

/* --- nexus_cluster_leave.c: one goes for ever, and may be dead already ----------------------------------- */
/* Does a bond of its count for the next blocks? By the others' word where it does not run itself. NEXUS_EUNREACHABLE: none runs. */
int nexus_cluster_may_vote(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                           bool *out);
/* What is lost with its keys and is not to be lost unasked, for a sentence; NULL: no more than a newcomer is given. */
int nexus_cluster_loss(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                       const char **out);

/* --- nexus_cluster_before.c: looked at before anything is made ------------------------------------------ */
/* CometBFT, at this path or where it is looked for ("" or NULL). HM_EIO. */
int nexus_cluster_engine(struct nexus_call *call, const char *path);
/* "ADDRESS:PORT", of this machine, on which nobody listens (type: SOCK_STREAM or SOCK_DGRAM). HM_EINVAL, HM_EBUSY. */
int nexus_cluster_place_free(struct nexus_call *call, const char *option, const char *text,
                             int type);
/* An address of this machine in digits; *out as it stands before a port, with brackets where it needs them. HM_EINVAL. */
int nexus_cluster_address(struct nexus_call *call, const char *given, const char **out);
/* How its nodes are started from now on, by --engine-path, --address, and of one --p2p-listen and --door-listen. Saves. */
int nexus_cluster_change(struct nexus_call *call, struct nexus_cluster *cluster,
                         const size_t *chosen, size_t count);
/* What hypermeshd says went wrong, without who says it; rc. */
int nexus_cluster_daemon_refused(struct nexus_call *call, int rc);

/* Runs a program to its end; both outputs go to out, at most 1 MiB. HM_EIO: it could not be started, or its exit code was not
 * 0, and then its last line is the error. argv ends with NULL. */
int nexus_cluster_command(const char *const *argv, struct hm_buf *out, struct hm_error *error);
/* The same with this on its standard input; at most NEXUS_CLUSTER_INPUT_MAX bytes. */
#define NEXUS_CLUSTER_INPUT_MAX 4096
int nexus_cluster_command_fed(const char *const *argv, struct hm_slice input, struct hm_buf *out,
                              struct hm_error *error);

#endif
