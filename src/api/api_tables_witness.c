/* Time and place, and the chain of delays: what answers say. */
#include "api_rows.h"

/* clang-format off */
static const struct api_field seen_node[] = {
    {.name = "node", .form = JSON_FORM_HEX, MUST, .about = "Its id: 40 digits."},
    {.name = "address", .form = JSON_FORM_HEX, MUST, .about = "Of the key it votes with; \"\": it did not vote, or did not prove that the node is its own."},
    {.name = "clock_ms", .form = JSON_FORM_INT, MUST, .about = "How far its clock is ahead of the validators' median; negative: behind."},
    {.name = "said_ms", .form = JSON_FORM_INT, MUST, .about = "The same by its own word, with its vote."},
    {.name = "doubts", .form = JSON_FORM_TEXT, MUST_LIST, .about = "clock: more than a third of the power measured it off by over two seconds; distance: what it measured disagrees with what more than a third measured to it."},
};
static const struct api_fields seen_node_fields = {.name = "SeenNode", ROWS(seen_node), MESSAGE(witness_node)};
static const struct api_field witness[] = {
    {.name = "nodes", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &seen_node_fields, .about = "By id."},
};
const struct api_fields api_answer_witness = {.name = "ClusterWitness", ROWS(witness), MESSAGE(witness_view)};
const struct api_fields api_answer_vdf = {.name = "VdfLink", MESSAGE(vdf_link)};
/* clang-format on */
