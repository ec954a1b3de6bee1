/* YAML from outside as JSON: what tools write as data, and nothing that surprises a reader. */
#ifndef HM_RUNTIME_YAML_H
#define HM_RUNTIME_YAML_H

#include <jansson.h>

#include "wire.h"

#define RUNTIME_YAML_MAX_BYTES ((size_t)1 << 20)
#define RUNTIME_YAML_MAX_DEPTH 16
#define RUNTIME_YAML_MAX_NODES 65536

/* One document whose root is a mapping, read and refused as wire_yaml.h says; the caller owns the reference.
 * Plain scalars that are null, true, false or a whole number (decimal, 0x, 0o, and octal with a leading 0 as
 * YAML 1.1 has it) become that, all others text. Pure. HM_EPARSE with line and column after `what`,
 * HM_ELIMIT, HM_ENOMEM. */
int runtime_yaml_parse(struct hm_slice bytes, const char *what, json_t **out,
                       struct hm_error *error);

#endif
