/* One YAML document as a small tree that remembers where everything stood: the only reader of YAML here.
 *
 * Taken of YAML: mappings, sequences, scalars in every style, one document; so JSON too. Refused, because
 * nothing that is read here has a use for them and each is a way to surprise the reader: anchors and
 * aliases, tags, several documents, keys that are not text, keys given twice, NUL characters, bytes that
 * are not UTF-8. A byte order mark of UTF-8 in front is skipped. */
#ifndef HM_WIRE_YAML_H
#define HM_WIRE_YAML_H

#include "base.h"

/* What a document may hold at most; past it HM_ELIMIT. */
struct wire_yaml_limits {
    size_t bytes;
    unsigned depth; /* the root is 1 deep; at most WIRE_YAML_MAX_DEPTH */
    unsigned nodes; /* values and names */
};

#define WIRE_YAML_MAX_DEPTH   32
#define WIRE_YAML_MAX_MEMBERS 1024 /* of one mapping: each name is compared with those before it */

enum wire_yaml_kind { WIRE_YAML_TEXT, WIRE_YAML_LIST, WIRE_YAML_MAP };

/* Lives in the arena given to wire_yaml_parse. */
struct wire_yaml {
    enum wire_yaml_kind kind;
    unsigned line; /* from 1 */
    unsigned column; /* from 1, in characters */
    bool quoted; /* TEXT written in any style but plain */
    const char *text; /* TEXT: UTF-8, NUL-terminated, no NUL inside */
    struct wire_yaml *first; /* LIST: elements; MAP: values, each with its key */
    size_t count;
    struct wire_yaml *next;
    const struct wire_yaml *key; /* value in a MAP */
};

/* Pure. name stands before line and column in errors. HM_EPARSE (not YAML, or refused as above),
 * HM_ELIMIT, HM_ENOMEM. The root is a MAP, LIST or TEXT. On failure the arena may hold leftovers. */
int wire_yaml_parse(struct hm_slice text, const char *name, const struct wire_yaml_limits *limits,
                    struct hm_arena *arena, const struct wire_yaml **root, struct hm_error *error);

/* The node is TEXT that stands for nothing: ~, null, or no text at all, unquoted. */
bool wire_yaml_is_null(const struct wire_yaml *node);

#endif
