#include "main_era.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire.h"

#define RECOVER_VOTERS_MAX 1024

bool main_era_wanted(const struct main_era *era)
{
    return era->promote_key != NULL || era->promote || era->recover != NULL ||
           era->recover_join != NULL || era->engine_check;
}

bool main_era_option(struct main_era *era, int name, const char *value)
{
    switch (name) {
    case MAIN_ERA_PROMOTE_KEY:
        era->promote_key = value;
        return true;
    case MAIN_ERA_RECOVER:
        era->recover = value;
        return true;
    case MAIN_ERA_RECOVER_JOIN:
        era->recover_join = value;
        return true;
    case MAIN_ERA_RECOVER_FROM:
        era->recover_from = value;
        return true;
    case MAIN_ERA_RECOVER_TO:
        era->recover_to = value;
        return true;
    default:
        return false;
    }
}

/* Every value is made by us and needs no escaping. */
void main_print_member(const struct node_cluster_member *member)
{
    char address[2 * sizeof(member->address) + 1], account[2 * sizeof(member->account) + 1];
    char user[2 * sizeof(member->user) + 1], key[2 * sizeof(member->key) + 1];
    char proof[2 * sizeof(member->proof) + 1];

    hm_hex_encode(member->address, sizeof(member->address), address);
    hm_hex_encode(member->account, sizeof(member->account), account);
    hm_hex_encode(member->user, sizeof(member->user), user);
    hm_hex_encode(member->key, sizeof(member->key), key);
    hm_hex_encode(member->proof, sizeof(member->proof), proof);
    printf("{\"name\":\"%s\",\"node_id\":\"%s\",\"validator\":\"%s\",\"account\":\"%s\","
           "\"user\":\"%s\",\"key\":\"%s\",\"proof\":\"%s\"}",
           member->name, member->node_id, address, account, user, key, proof);
}

static int main_promote_key(const char *chain_and_operator, const struct node_options *node,
                            struct hm_error *error)
{
    HM_AUTOFREE char *chain = hm_strdup(chain_and_operator);
    struct node_cluster_member member;
    char *colon = chain != NULL ? strchr(chain, ':') : NULL;

    if (chain == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the options");
    if (colon == NULL)
        return hm_fail(error, HM_EINVAL, "--promote-key is CHAIN:OPERATOR, not '%.100s'", chain);
    *colon = '\0';
    int rc = node_promote_key(node->data_dir, node->engine_path, chain, colon + 1, node->random,
                              &member, error);
    if (rc != 0)
        return rc;
    main_print_member(&member);
    puts("");
    return 0;
}

static int main_promote(const struct node_options *node, struct hm_error *error)
{
    struct node_promote_facts facts;
    char root[2 * sizeof(facts.state_root) + 1];
    int rc = node_promote(node->data_dir, node->clock, &facts, error);

    if (rc != 0)
        return rc;
    hm_hex_encode(facts.state_root, sizeof(facts.state_root), root);
    printf("{\"chain_id\":\"%s\",\"height\":%llu,\"state_root\":\"%s\"}\n", facts.chain_id,
           (unsigned long long)facts.height, root);
    return 0;
}

static int main_voters(char *text, uint8_t (*ids)[WIRE_ID_BYTES], size_t *count,
                       struct hm_error *error)
{
    char *rest = NULL;
    int rc = 0;

    for (char *at = strtok_r(text, ",", &rest); rc == 0 && at != NULL;
         at = strtok_r(NULL, ",", &rest)) {
        if (*count == RECOVER_VOTERS_MAX)
            return hm_fail(error, HM_ELIMIT, "--recover names at most %d operators",
                           RECOVER_VOTERS_MAX);
        rc = wire_account_parse(at, ids[(*count)++], error);
    }
    return rc;
}

static void main_print_recovered(const struct node_recover_facts *facts)
{
    printf("{\"engine_chain\":\"%s\",\"height\":%llu}\n", facts->engine_chain,
           (unsigned long long)facts->height);
}

static int main_recover(const struct main_era *era, const struct node_options *node,
                        struct hm_error *error)
{
    HM_AUTOFREE char *text = hm_strdup(era->recover);
    HM_AUTOFREE void *memory = hm_calloc(RECOVER_VOTERS_MAX, WIRE_ID_BYTES);
    uint8_t(*ids)[WIRE_ID_BYTES] = memory;
    struct node_recover_voters voters = {.ids = (const uint8_t(*)[WIRE_ID_BYTES])ids};
    struct node_recover_facts facts;
    int rc = text != NULL && memory != NULL ? main_voters(text, ids, &voters.count, error)
                                            : hm_fail(error, HM_ENOMEM, "no memory for a recovery");

    if (rc == 0)
        rc = node_recover_begin(node->data_dir, &voters, era->recover_to, node->clock, &facts,
                                error);
    if (rc == 0)
        main_print_recovered(&facts);
    return rc;
}

static int main_recover_join(const struct main_era *era, const struct node_options *node,
                             const struct node_cluster_sync *sync, struct hm_error *error)
{
    struct node_recover_facts facts;
    int rc = sync != NULL
                 ? node_recover_rejoin(node->data_dir, era->recover_join, sync, &facts, error)
                 : node_recover_join(node->data_dir, era->recover_join, era->recover_from, &facts,
                                     error);

    if (rc == 0)
        main_print_recovered(&facts);
    return rc;
}

int main_era_run(const struct main_era *era, const struct node_options *node,
                 const struct node_cluster_sync *sync)
{
    struct hm_error error = {0};
    int rc;

    if (era->engine_check)
        rc = node_engine_check(node->engine_path, &error);
    else if (era->promote_key != NULL)
        rc = main_promote_key(era->promote_key, node, &error);
    else if (era->promote)
        rc = main_promote(node, &error);
    else if (era->recover != NULL)
        rc = main_recover(era, node, &error);
    else
        rc = main_recover_join(era, node, sync, &error);
    if (rc != 0)
        fprintf(stderr, "hypermeshd: %s\n", error.text);
    return rc == 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
