/* JSON values as YAML. Reads back as the same values under YAML 1.1 and under the 1.2 core schema: texts
 * that either would take for something else are quoted. */
#ifndef HM_NEXUS_YAML_H
#define HM_NEXUS_YAML_H

#include <jansson.h>

#include "base.h"

#define NEXUS_YAML_NESTING_MAX 64

/* Appends one document. HM_ENOMEM; HM_ELIMIT past NEXUS_YAML_NESTING_MAX. */
int nexus_yaml_write(const json_t *value, struct hm_buf *out, struct hm_error *error);

#endif
