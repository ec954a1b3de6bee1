/* Help, made from the tables. */
#ifndef HM_NEXUS_HELP_H
#define HM_NEXUS_HELP_H

#include <stdio.h>

#include "nexus_call.h"

/* Of the verb, the group or everything, as the line names them. 0 or a negative code. */
int nexus_help_print(struct nexus_call *call, FILE *to);
/* "nexus help asset ls" for where the line got to; in the arena. */
const char *nexus_help_hint(const struct nexus_line *line, struct hm_arena *arena);

/* Appended texts; pure. */
int nexus_help_all(const struct nexus_grammar *grammar, struct hm_arena *arena, struct hm_buf *out);
int nexus_help_group(const struct nexus_grammar *grammar, const struct nexus_group *group,
                     struct hm_arena *arena, struct hm_buf *out);
int nexus_help_verb(const struct nexus_grammar *grammar, const struct nexus_verb *verb,
                    struct hm_arena *arena, struct hm_buf *out);

#endif
