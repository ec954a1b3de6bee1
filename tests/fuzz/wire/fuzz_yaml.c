/* Any bytes as YAML within narrow and wide limits: a tree that keeps what the reader promises, or a sentence. */
#include <stdlib.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

static unsigned check_node(const struct wire_yaml *node, unsigned depth, unsigned most)
{
    unsigned nodes = 1;
    size_t count = 0;

    require(depth <= most && node->line > 0 && node->column > 0);
    if (node->kind == WIRE_YAML_TEXT) {
        require(node->first == NULL && hm_utf8_valid(node->text, strlen(node->text)));
        require(!node->quoted || !wire_yaml_is_null(node));
        return nodes;
    }
    for (const struct wire_yaml *child = node->first; child; child = child->next) {
        require((child->key != NULL) == (node->kind == WIRE_YAML_MAP));
        if (child->key)
            nodes += check_node(child->key, depth + 1, most);
        for (const struct wire_yaml *other = node->first; child->key && other != child;
             other = other->next)
            require(strcmp(other->key->text, child->key->text) != 0);
        nodes += check_node(child, depth + 1, most);
        count++;
    }
    require(count == node->count &&
            (node->kind == WIRE_YAML_LIST || count <= WIRE_YAML_MAX_MEMBERS));
    return nodes;
}

static void read_within(struct hm_slice bytes, const struct wire_yaml_limits *limits)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct wire_yaml *root = NULL;
    struct hm_error error = {0};
    int rc;

    hm_arena_init(&arena, (size_t)16 << 20);
    rc = wire_yaml_parse(bytes, "fuzz", limits, &arena, &root, &error);
    if (rc) {
        require(!root && error.code == rc && strncmp(error.text, "fuzz:", 5) == 0);
        return;
    }
    require(bytes.len <= limits->bytes);
    require(check_node(root, 1, limits->depth) <= limits->nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wire_yaml_limits narrow = {.bytes = 256, .depth = 3, .nodes = 8};
    static const struct wire_yaml_limits wide = {
        .bytes = 1 << 16, .depth = WIRE_YAML_MAX_DEPTH, .nodes = 4096};

    read_within(hm_slice_of(data, size), &narrow);
    read_within(hm_slice_of(data, size), &wide);
    return 0;
}
