#include "main_join.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "join.h"
#include "main_era.h"

#define MAIN_TICKET_MAX_BYTES 4096

/* A ticket is a secret until it is used: it comes on no command line of ours. */
static int main_read_ticket(char out[MAIN_TICKET_MAX_BYTES], struct hm_error *error)
{
    size_t len = 0;
    ssize_t got;

    while ((got = read(STDIN_FILENO, out + len, MAIN_TICKET_MAX_BYTES - len)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read the ticket");
        len += (size_t)got;
        if (len == MAIN_TICKET_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "what came on standard input is longer than a ticket");
    }
    out[len] = '\0';
    return 0;
}

/* JSON: every value is made or checked by us and needs no escaping. */
static void main_print_joined(const struct join_result *joined)
{
    const struct join_identity *joiner = &joined->member;
    struct node_cluster_member member = {.name = ""};
    char bond[40];

    hm_decimal_format(joined->bond, 9, bond);
    printf("{\"chain_id\":\"%s\",\"funded\":%s,\"validator\":%s,\"bond\":\"%s\",\"snapshot\":%s,"
           "\"local\":\"%s\",\"peers\":[",
           joined->chain_id, joined->funded ? "true" : "false",
           joined->validator ? "true" : "false", bond, joined->synced ? "true" : "false",
           joined->local);
    for (size_t i = 0; i < joined->peer_count; i++)
        printf("%s\"%s\"", i > 0 ? "," : "", joined->peers[i]);
    fputs("],\n\"node\":", stdout);
    memcpy(member.node_id, joiner->node_id, sizeof(member.node_id));
    memcpy(member.address, joiner->address, sizeof(member.address));
    memcpy(member.key, joiner->key, sizeof(member.key));
    memcpy(member.proof, joiner->proof, sizeof(member.proof));
    memcpy(member.account, joiner->account, sizeof(member.account));
    memcpy(member.user, joiner->user, sizeof(member.user));
    main_print_member(&member);
    puts("}");
}

int main_join_run(const struct main_join *join, const struct node_options *node)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct join_options options = {.data_dir = node->data_dir,
                                   .address = join->address,
                                   .operator_name = NODE_OPERATOR,
                                   .user_name = NODE_USER,
                                   .from_genesis = join->from_genesis != 0,
                                   .random = node->random};
    struct join_result joined;
    char ticket[MAIN_TICKET_MAX_BYTES];
    struct hm_error error = {0};
    int rc = main_read_ticket(ticket, &error);

    hm_arena_init(&arena, 0);
    options.ticket = ticket;
    if (rc == 0)
        rc = join_cluster(&options, &arena, &joined, &error);
    hm_wipe(ticket, sizeof(ticket));
    if (rc != 0) {
        fprintf(stderr, "hypermeshd: %s\n", error.text);
        return EXIT_FAILURE;
    }
    main_print_joined(&joined);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
