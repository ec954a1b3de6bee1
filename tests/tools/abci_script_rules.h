/* What abci_script does to the answers of an application: rules as its command line has them, applied to packed messages, without
 * any I/O. */
#ifndef ABCI_SCRIPT_RULES_H
#define ABCI_SCRIPT_RULES_H

#include "abci.h"

#define ABCI_SCRIPT_RULES_MAX 32

enum abci_script_act { /* beside changing the answer */
                       ABCI_SCRIPT_PASS, /* the answer as it came */
                       ABCI_SCRIPT_CHANGED, /* the answer is another one now */
                       ABCI_SCRIPT_CLOSE, /* no answer: the connection is closed */
                       ABCI_SCRIPT_SILENT, /* no answer, and none after it */
};

struct abci_script_rule {
    Hypermesh__Abci__Request__ValueCase call;
    int64_t from, to; /* heights; 0, 0: any, also where a call has none */
    uint64_t delay_ms;
    unsigned action; /* of the table in abci_script_rules.c */
};
struct abci_script {
    struct abci_script_rule rule[ABCI_SCRIPT_RULES_MAX];
    unsigned count;
};

/* Adds "CALL[@HEIGHT[+]]=ACTION[:MS]", see abci_script.c. HM_EINVAL names what is wrong. */
int abci_script_add(struct abci_script *script, const char *text, struct hm_error *error);
/* Appends every call and what can be done to it, for a person. */
int abci_script_help(struct hm_buf *out);

/* What must be remembered of a request until its answer comes. */
struct abci_script_asked {
    Hypermesh__Abci__Request__ValueCase call;
    int64_t height; /* 0: the call has none */
    int64_t max_tx_bytes;
};
/* HM_EPARSE. height_before: of the block that was finalized last, for commit. */
int abci_script_ask(struct hm_slice request, int64_t height_before, struct abci_script_asked *out);

/* Does what the first rule that fits says: *act, *delay_ms, *name (of the rule; NULL: none fits). When *act is
 * ABCI_SCRIPT_CHANGED the new answer is appended to out. HM_EPARSE: the application's answer is none; HM_ENOMEM. */
int abci_script_apply(const struct abci_script *script, const struct abci_script_asked *asked,
                      struct hm_slice answer, struct hm_buf *out, enum abci_script_act *act,
                      uint64_t *delay_ms, const char **name);

#endif
