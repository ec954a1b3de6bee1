#include "nexus_cluster.h"

#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define FILE_VERSION   1

static const char *file_path(struct nexus_call *call, const char *folder)
{
    return hm_arena_printf(call->arena, "%s/" NEXUS_CLUSTER_FILE, folder);
}

/* --- the file -------------------------------------------------------------------------------------------- */

/* What a cluster and a node are made of, by the names in the file. */
struct member {
    const char *key;
    size_t offset;
    bool must;
};
#define MEMBER(type, name, must)                 \
    {                                            \
#name, offsetof(struct type, name), must \
    }
static const struct member cluster_members[] = {
    MEMBER(nexus_cluster, id, true),         MEMBER(nexus_cluster, chain_id, true),
    MEMBER(nexus_cluster, bridge, false),    MEMBER(nexus_cluster, engine_path, false),
    MEMBER(nexus_cluster, plot, false),      MEMBER(nexus_cluster, runtime, false),
    MEMBER(nexus_cluster, log_level, false), MEMBER(nexus_cluster, snapshot_blocks, false),
    MEMBER(nexus_cluster, begins, false),    MEMBER(nexus_cluster, peers, false),
    MEMBER(nexus_cluster, address, false),   MEMBER(nexus_cluster, funded, false),
    MEMBER(nexus_cluster, bond, false),
};
static const struct member node_members[] = {
    MEMBER(nexus_cluster_node, name, true),      MEMBER(nexus_cluster_node, node_id, true),
    MEMBER(nexus_cluster_node, validator, true), MEMBER(nexus_cluster_node, account, true),
    MEMBER(nexus_cluster_node, p2p, true),       MEMBER(nexus_cluster_node, metrics, true),
    MEMBER(nexus_cluster_node, user, true),      MEMBER(nexus_cluster_node, netns, false),
    MEMBER(nexus_cluster_node, key, false),      MEMBER(nexus_cluster_node, proof, false),
    MEMBER(nexus_cluster_node, place, false),    MEMBER(nexus_cluster_node, door, false),
};

static const char **member_of(void *object, const struct member *member)
{
    return (const char **)(void *)((char *)object + member->offset);
}

static int read_members(struct nexus_call *call, const json_t *json, const struct member *members,
                        size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = nexus_json_text(json, members[i].key);
        const char *kept = hm_arena_strdup(call->arena, text);

        if (!kept)
            return nexus_no_memory(call);
        if (members[i].must && !kept[0])
            return hm_fail(&call->error, HM_EPARSE, "%s/" NEXUS_CLUSTER_FILE " does not say %s",
                           call->place.data_dir, members[i].key);
        *member_of(out, &members[i]) = kept;
    }
    return 0;
}

#define NAME_DIGITS_MAX 4

/* The number in "node7"; -1: a name that we never give. It becomes part of paths that are removed. */
static int name_number(const char *name)
{
    uint64_t number;
    size_t len = strlen(name);

    if (strncmp(name, "node", 4) != 0 || len > 4 + NAME_DIGITS_MAX ||
        hm_u64_parse(name + 4, &number, NULL) != 0 || (name[4] == '0' && len > 5))
        return -1;
    return (int)number;
}

static int read_words(struct nexus_call *call, const json_t *json, struct nexus_cluster_node *node)
{
    const json_t *list = nexus_json_list(json, "words");
    size_t count = json_array_size(list);
    const char **words = hm_arena_alloc(call->arena, (count + 1) * sizeof(*words));

    if (count > NEXUS_CLUSTER_WORDS_MAX)
        return hm_fail(&call->error, HM_ELIMIT,
                       "%s/" NEXUS_CLUSTER_FILE ": %s has %zu words, at most %d are taken",
                       call->place.data_dir, node->name, count, NEXUS_CLUSTER_WORDS_MAX);
    for (size_t i = 0; words && i < count; i++) {
        const char *word = json_string_value(json_array_get(list, i));

        words[i] = hm_arena_strdup(call->arena, word ? word : "");
        if (!words[i])
            words = NULL;
    }
    node->words = words;
    node->word_count = count;
    return words ? 0 : nexus_no_memory(call);
}

/* Only one may be where the others' folders are. */
static int read_place(struct nexus_call *call, struct nexus_cluster *cluster, size_t at)
{
    struct nexus_cluster_node *node = &cluster->nodes[at];
    bool here = strcmp(node->place, NEXUS_CLUSTER_HERE) == 0;

    if ((node->place[0] && !here) || (here && nexus_cluster_here(cluster) < at))
        return hm_fail(&call->error, HM_EPARSE,
                       "%s/" NEXUS_CLUSTER_FILE ": %s has a place that no node has",
                       cluster->folder, node->name);
    node->data = here ? cluster->folder
                      : hm_arena_printf(call->arena, "%s/%s", cluster->folder, node->name);
    return node->data ? 0 : nexus_no_memory(call);
}

static int read_nodes(struct nexus_call *call, const json_t *list, struct nexus_cluster *out)
{
    out->count = json_array_size(list);
    if (out->count == 0 || out->count > NEXUS_CLUSTER_MAX)
        return hm_fail(&call->error, HM_EPARSE,
                       "%s/" NEXUS_CLUSTER_FILE " lists %zu nodes, not 1 to %d", out->folder,
                       out->count, NEXUS_CLUSTER_MAX);
    for (size_t i = 0; i < out->count; i++) {
        struct nexus_cluster_node *node = &out->nodes[i];
        int rc = read_members(call, json_array_get(list, i), node_members,
                              HM_COUNT_OF(node_members), node);

        if (rc)
            return rc;
        for (size_t j = 0; j < i; j++)
            if (strcmp(out->nodes[j].name, node->name) == 0)
                node->name = "";
        if (name_number(node->name) < 0)
            return hm_fail(&call->error, HM_EPARSE,
                           "%s/" NEXUS_CLUSTER_FILE
                           ": entry %zu has no name of its own such as node%zu",
                           out->folder, i, i);
        rc = read_place(call, out, i);
        if (!rc)
            rc = read_words(call, json_array_get(list, i), node);
        if (rc)
            return rc;
    }
    return 0;
}

size_t nexus_cluster_here(const struct nexus_cluster *cluster)
{
    size_t i = 0;

    while (i < cluster->count &&
           (!cluster->nodes[i].place || strcmp(cluster->nodes[i].place, NEXUS_CLUSTER_HERE) != 0))
        i++;
    return i;
}

int nexus_cluster_look(struct nexus_call *call, struct nexus_cluster *out)
{
    const char *path = file_path(call, call->place.data_dir);

    *out = (struct nexus_cluster){.folder = call->place.data_dir};
    if (!path)
        return nexus_no_memory(call);
    return access(path, F_OK) == 0 ? nexus_cluster_load(call, out) : 0;
}

const char *nexus_cluster_above(const struct nexus_call *call, const char **name)
{
    char *folder = hm_arena_strdup(call->arena, call->place.data_dir ? call->place.data_dir : "");
    const char *own = hm_arena_printf(call->arena, "%s/" NEXUS_CLUSTER_FILE, folder ? folder : "");
    size_t len = folder ? strlen(folder) : 0;
    char *slash;

    while (len > 1 && folder[len - 1] == '/')
        folder[--len] = '\0';
    slash = folder ? strrchr(folder, '/') : NULL;
    if (!own || !slash || slash == folder || name_number(slash + 1) < 0 || access(own, F_OK) == 0)
        return NULL;
    *slash = '\0';
    own = hm_arena_printf(call->arena, "%s/" NEXUS_CLUSTER_FILE, folder);
    if (!own || access(own, F_OK) != 0)
        return NULL;
    *name = slash + 1;
    return folder;
}

const char *nexus_cluster_above_start(const struct nexus_call *call)
{
    const char *name = NULL, *folder = nexus_cluster_above(call, &name);

    return folder ? hm_arena_printf(call->arena, "nexus cluster start %s --data %s", name, folder)
                  : NULL;
}

static int no_cluster(struct nexus_call *call, const char *folder)
{
    const char *name = NULL, *above = nexus_cluster_above(call, &name);

    if (above)
        return hm_fail(&call->error, HM_ENOTFOUND,
                       "%s is only %s of the cluster in %s: give that folder with --data", folder,
                       name, above);
    return hm_fail(&call->error, HM_ENOTFOUND,
                   "no cluster is in %s; nexus cluster create makes one", folder);
}

int nexus_cluster_load(struct nexus_call *call, struct nexus_cluster *out)
{
    struct nexus_cluster cluster = {.folder = call->place.data_dir};
    const char *path = file_path(call, cluster.folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    NEXUS_AUTOJSON json_t *json = NULL;
    int rc;

    if (!path)
        return nexus_no_memory(call);
    rc = hm_file_read(path, FILE_MAX_BYTES, &text, &call->error);
    if (rc == HM_ENOTFOUND)
        return no_cluster(call, cluster.folder);
    if (rc)
        return rc;
    if (hm_json_parse(hm_buf_slice(&text), JSON_REJECT_DUPLICATES, &json, NULL) != 0 ||
        nexus_json_u64(json, "version") != FILE_VERSION)
        return hm_fail(&call->error, HM_EPARSE, "%s is not one of this version's", path);
    rc = read_members(call, json, cluster_members, HM_COUNT_OF(cluster_members), &cluster);
    if (!rc)
        rc = read_nodes(call, nexus_json_list(json, "nodes"), &cluster);
    if (!rc)
        *out = cluster;
    return rc;
}

static json_t *put_members(const void *object, const struct member *members, size_t count)
{
    json_t *json = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(json, members[i].key,
                            json_string(*member_of((void *)(uintptr_t)object, &members[i])));
    return json;
}

static json_t *put_node(const struct nexus_cluster_node *node)
{
    json_t *json = put_members(node, node_members, HM_COUNT_OF(node_members));
    json_t *words = json_array();

    for (size_t i = 0; i < node->word_count; i++)
        json_array_append_new(words, json_string(node->words[i]));
    if (node->word_count > 0)
        json_object_set(json, "words", words);
    if (json_array_size(words) != node->word_count) {
        json_decref(json);
        json = NULL;
    }
    json_decref(words);
    return json;
}

int nexus_cluster_save(struct nexus_call *call, const struct nexus_cluster *cluster)
{
    NEXUS_AUTOJSON json_t *json = put_members(cluster, cluster_members,
                                              HM_COUNT_OF(cluster_members));
    const char *path = file_path(call, cluster->folder);
    json_t *nodes = json_array();
    char *text;
    int rc;

    json_object_set_new(json, "version", json_integer(FILE_VERSION));
    for (size_t i = 0; i < cluster->count; i++)
        json_array_append_new(nodes, put_node(&cluster->nodes[i]));
    json_object_set_new(json, "nodes", nodes);
    text = json_dumps(json, JSON_INDENT(1));
    /* A member that memory was out for is missing, and then the text is too: json_string(NULL) adds none. */
    if (!path || !text || json_array_size(nodes) != cluster->count)
        rc = nexus_no_memory(call);
    else
        rc = hm_file_replace(path, text, strlen(text), 0600, &call->error);
    free(text);
    return rc;
}

/* --- a new one ------------------------------------------------------------------------------------------- */

static int folder_must_be_free(struct nexus_call *call, const char *folder)
{
    const char *path = file_path(call, folder);
    const char *ledger = hm_arena_printf(call->arena, "%s/ledger", folder);

    if (!path || !ledger)
        return nexus_no_memory(call);
    if (access(path, F_OK) == 0)
        return hm_fail(&call->error, HM_EEXIST,
                       "a cluster is in %s already; nexus cluster start starts it", folder);
    if (access(ledger, F_OK) == 0)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s is the folder of a single node: give another one with --data", folder);
    return 0;
}

/* hypermeshd makes keys and genesis; here only what is public comes back. */
static int make_folders(struct nexus_call *call, struct nexus_cluster *cluster, json_t **made)
{
    const char *count = hm_arena_printf(call->arena, "%zu", cluster->count);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *program = NULL;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (rc)
        return rc;
    const char *argv[] = {
        program, "--cluster-create", count, "--data", cluster->folder, NULL, NULL, NULL, NULL,
        NULL};
    size_t at = 5;

    if (cluster->plot[0]) {
        argv[at++] = "--plot";
        argv[at++] = cluster->plot;
    }
    if (nexus_value(call, "vdf-blocks")) {
        argv[at++] = "--vdf-blocks";
        argv[at] = nexus_value(call, "vdf-blocks");
    }
    rc = nexus_cluster_command(argv, &text, &call->error);
    if (!rc && hm_json_parse(hm_buf_slice(&text), 0, made, NULL) != 0)
        rc = hm_fail(&call->error, HM_EPARSE, "%s answers what this nexus does not understand",
                     program);
    return rc;
}

static int take_node(struct nexus_call *call, const struct nexus_cluster *cluster,
                     const json_t *from, const char *name, struct nexus_cluster_node *out)
{
    out->name = hm_arena_strdup(call->arena, name);
    out->node_id = hm_arena_strdup(call->arena, nexus_json_text(from, "node_id"));
    out->validator = hm_arena_strdup(call->arena, nexus_json_text(from, "validator"));
    out->account = hm_arena_strdup(call->arena, nexus_json_text(from, "account"));
    out->user = hm_arena_strdup(call->arena, nexus_json_text(from, "user"));
    out->key = hm_arena_strdup(call->arena, nexus_json_text(from, "key"));
    out->proof = hm_arena_strdup(call->arena, nexus_json_text(from, "proof"));
    out->data = hm_arena_printf(call->arena, "%s/%s", cluster->folder, name);
    out->netns = out->place = out->door = "";
    if (!out->name || !out->node_id || !out->validator || !out->account || !out->user ||
        !out->key || !out->proof || !out->data)
        return nexus_no_memory(call);
    return name_number(name) >= 0 && out->node_id[0]
               ? 0
               : hm_fail(&call->error, HM_EPARSE,
                         "hypermeshd made a node that this nexus does not understand");
}

static int take_nodes(struct nexus_call *call, const json_t *made, struct nexus_cluster *cluster)
{
    const json_t *list = nexus_json_list(made, "nodes");
    int rc = 0;

    cluster->chain_id = hm_arena_strdup(call->arena, nexus_json_text(made, "chain_id"));
    if (json_array_size(list) != cluster->count)
        return hm_fail(&call->error, HM_EPARSE, "hypermeshd made %zu nodes of %zu",
                       json_array_size(list), cluster->count);
    for (size_t i = 0; !rc && i < cluster->count; i++) {
        const json_t *from = json_array_get(list, i);

        rc = take_node(call, cluster, from, nexus_json_text(from, "name"), &cluster->nodes[i]);
    }
    return rc ? rc : cluster->chain_id ? 0 : nexus_no_memory(call);
}

static const char *option_or_empty(const struct nexus_call *call, const char *name)
{
    const char *value = nexus_value(call, name);

    return value ? value : "";
}

int nexus_cluster_new_id(struct nexus_call *call, struct nexus_cluster *cluster)
{
    uint8_t bytes[NEXUS_CLUSTER_ID_BYTES];
    char *digits = hm_arena_alloc(call->arena, 2 * sizeof(bytes) + 1);

    if (!digits)
        return nexus_no_memory(call);
    if (hm_random_system()->fill(hm_random_system()->ctx, bytes, sizeof(bytes)) != 0)
        return hm_fail(&call->error, HM_EIO, "no random bytes for the cluster's name");
    hm_hex_encode(bytes, sizeof(bytes), digits);
    cluster->id = digits;
    return 0;
}

/* Only what hypermeshd has made: before, none of these folders was there. */
static void unmake(struct nexus_call *call, const struct nexus_cluster *cluster, bool was_there)
{
    for (size_t i = 0; i < cluster->count; i++) {
        const char *folder = hm_arena_printf(call->arena, "%s/node%zu", cluster->folder, i);

        if (folder)
            (void)hm_remove_tree(folder, NULL);
    }
    if (!was_there)
        (void)rmdir(cluster->folder);
}

/* What would keep its nodes from starting. */
static int look_before(struct nexus_call *call, struct nexus_cluster *cluster)
{
    int rc = folder_must_be_free(call, cluster->folder);

    if (!rc && cluster->engine_path[0])
        rc = nexus_path_absolute(cluster->engine_path, call->arena, &cluster->engine_path,
                                 &call->error);
    if (!rc && cluster->address[0])
        rc = nexus_cluster_address(call, cluster->address, &cluster->address);
    if (!rc && !nexus_has(call, "no-start"))
        rc = nexus_cluster_engine(call, cluster->engine_path);
    return rc;
}

int nexus_cluster_make(struct nexus_call *call, size_t count, bool namespaces,
                       struct nexus_cluster *out)
{
    struct nexus_cluster cluster = {.folder = call->place.data_dir,
                                    .bridge = "",
                                    .engine_path = option_or_empty(call, "engine-path"),
                                    .plot = option_or_empty(call, "plot"),
                                    .runtime = option_or_empty(call, "runtime"),
                                    .log_level = option_or_empty(call, "log-level"),
                                    .snapshot_blocks = option_or_empty(call, "snapshot-blocks"),
                                    .address = option_or_empty(call, "address"),
                                    .count = count};
    bool was_there = access(cluster.folder, F_OK) == 0;
    NEXUS_AUTOJSON json_t *made = NULL;
    int rc = look_before(call, &cluster);

    if (!rc)
        rc = nexus_cluster_new_id(call, &cluster);
    if (!rc)
        rc = make_folders(call, &cluster, &made);
    if (rc)
        return rc;
    rc = take_nodes(call, made, &cluster);
    if (!rc)
        rc = nexus_cluster_net_plan(call, namespaces, &cluster);
    if (!rc)
        rc = nexus_cluster_save(call, &cluster);
    if (rc)
        unmake(call, &cluster, was_there);
    else
        *out = cluster;
    return rc;
}

/* --- one more, one less ------------------------------------------------------------------------------------ */

/* Two of the nodes that run, or one of them twice: the engine wants two. */
static int sync_servers(struct nexus_call *call, const struct nexus_cluster *cluster,
                        const char **out)
{
    const char *found[2] = {NULL, NULL};
    size_t count = 0;

    for (size_t i = 0; i < cluster->count && count < 2; i++)
        if (nexus_cluster_pid(&cluster->nodes[i]) > 0)
            found[count++] = cluster->nodes[i].data;
    if (count == 0)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "no node runs that has a snapshot: nexus cluster start");
    *out = hm_arena_printf(call->arena, "unix://%s/rpc.sock,unix://%s/rpc.sock", found[0],
                           found[count - 1]);
    return *out ? 0 : nexus_no_memory(call);
}

static int add_folder(struct nexus_call *call, const struct nexus_cluster *cluster,
                      const char *folder, json_t **made)
{
    const char *servers = NULL;
    const char *genesis = hm_arena_printf(call->arena, "%s/engine/config/genesis.json",
                                          cluster->nodes[0].data);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *program = NULL;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc && (!genesis || !folder))
        rc = nexus_no_memory(call);
    if (!rc && (nexus_has(call, "snapshot") ||
                (cluster->begins && strcmp(cluster->begins, NEXUS_CLUSTER_BEGINS_SNAPSHOT) == 0)))
        rc = sync_servers(call, cluster, &servers);
    if (rc)
        return rc;
    const char *const argv[] = {program, "--cluster-add",
                                genesis, "--data",
                                folder,  servers ? "--state-sync" : NULL,
                                servers, NULL};
    rc = nexus_cluster_command(argv, &text, &call->error);
    if (!rc && hm_json_parse(hm_buf_slice(&text), 0, made, NULL) != 0)
        rc = hm_fail(&call->error, HM_EPARSE, "%s answers what this nexus does not understand",
                     program);
    return rc;
}

int nexus_cluster_grow(struct nexus_call *call, struct nexus_cluster *cluster)
{
    struct nexus_cluster grown = *cluster;
    NEXUS_AUTOJSON json_t *made = NULL;
    int number = 0;
    int rc;

    if (grown.count == NEXUS_CLUSTER_MAX)
        return hm_fail(&call->error, HM_ELIMIT, "a cluster on one machine has at most %d nodes",
                       NEXUS_CLUSTER_MAX);
    for (size_t i = 0; i < grown.count; i++)
        if (name_number(grown.nodes[i].name) >= number)
            number = name_number(grown.nodes[i].name) + 1;
    const char *name = hm_arena_printf(call->arena, "node%d", number);
    if (!name)
        return nexus_no_memory(call);
    rc = add_folder(call, &grown, hm_arena_printf(call->arena, "%s/%s", grown.folder, name), &made);
    if (!rc)
        rc = take_node(call, &grown, made, name, &grown.nodes[grown.count]);
    grown.count++;
    if (!rc)
        rc = nexus_cluster_net_plan_last(call, &grown);
    if (!rc)
        rc = nexus_cluster_save(call, &grown);
    if (!rc)
        *cluster = grown;
    return rc;
}

int nexus_cluster_can_shrink(struct nexus_call *call, const struct nexus_cluster *cluster,
                             size_t at)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];

    if (nexus_cluster_here(cluster) == at)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s lies in %s itself, with the others in it: nexus cluster destroy removes "
                       "all of it",
                       node->name, node->data);
    if (cluster->count == 1)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s is the only node here: nexus cluster destroy removes it", node->name);
    return 0;
}

int nexus_cluster_shrink(struct nexus_call *call, struct nexus_cluster *cluster, size_t at)
{
    struct nexus_cluster_node gone = cluster->nodes[at];
    struct nexus_cluster left = *cluster;
    int rc;

    rc = nexus_cluster_can_shrink(call, cluster, at);
    if (rc)
        return rc;
    memmove(&left.nodes[at], &left.nodes[at + 1], (left.count - at - 1) * sizeof(left.nodes[0]));
    left.count--;
    rc = nexus_cluster_save(call, &left);
    if (rc)
        return rc;
    nexus_cluster_net_down_node(&gone);
    *cluster = left;
    return hm_remove_tree(gone.data, &call->error);
}

int nexus_cluster_remove(struct nexus_call *call, const struct nexus_cluster *cluster)
{
    const char *path = file_path(call, cluster->folder);
    int rc = path ? 0 : nexus_no_memory(call);

    nexus_cluster_net_down(cluster);
    for (size_t i = 0; !rc && i < cluster->count; i++)
        if (i != nexus_cluster_here(cluster))
            rc = hm_remove_tree(cluster->nodes[i].data, &call->error);
    if (!rc && nexus_cluster_here(cluster) < cluster->count)
        return hm_remove_tree(cluster->folder, &call->error);
    if (!rc && unlink(path) != 0)
        rc = hm_fail_errno(&call->error, HM_EIO, "cannot remove %s", path);
    if (!rc)
        (void)rmdir(cluster->folder); /* where other things are in it, it stays */
    return rc;
}

/* --- which nodes? ---------------------------------------------------------------------------------------- */

int nexus_cluster_choose(struct nexus_call *call, const struct nexus_cluster *cluster,
                         size_t *chosen, size_t *count)
{
    const char *name;

    *count = 0;
    for (size_t at = 0; (name = nexus_operand(call, at)) != NULL; at++) {
        size_t i = 0;

        while (i < cluster->count && strcmp(cluster->nodes[i].name, name) != 0)
            i++;
        if (i == cluster->count)
            return hm_fail(&call->error, HM_ENOTFOUND,
                           "the cluster has no node %.60s: nexus cluster status lists them", name);
        chosen[(*count)++] = i;
    }
    for (size_t i = 0; *count == 0 && i < cluster->count; i++)
        chosen[i] = i;
    if (!nexus_operand(call, 0))
        *count = cluster->count;
    return 0;
}
