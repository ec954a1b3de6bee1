/* Completion scripts for shells, made from the tables. Pure. */
#ifndef HM_NEXUS_COMPLETION_H
#define HM_NEXUS_COMPLETION_H

#include "nexus_option.h"

/* Appends the script. HM_ENOMEM. */
int nexus_completion_bash(const struct nexus_grammar *grammar, struct hm_buf *out);
int nexus_completion_zsh(const struct nexus_grammar *grammar, struct hm_buf *out);
int nexus_completion_fish(const struct nexus_grammar *grammar, struct hm_buf *out);

#endif
