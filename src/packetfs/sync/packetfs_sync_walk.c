#include "sync/packetfs_sync_walk.h"
#include "tree/packetfs_node.h"

#define WALK_LEVEL      1 /* of zstd: a sink unpacks alone */
#define BASES_BELOW_MAX 16

int packetfs_walk_new(struct packetfs_sink *sink, struct packetfs_walk **out,
                      struct hm_error *error)
{
    struct packetfs_walk *walk = hm_calloc(1, sizeof(*walk));

    if (walk == NULL || packetfs_wire_packer_new(WALK_LEVEL, &walk->packer, NULL) != 0 ||
        packetfs_sync_seen_new(PACKETFS_SYNC_SEEN_MAX, &walk->seen[PACKETFS_PATTERN]) != 0 ||
        packetfs_sync_seen_new(PACKETFS_SYNC_SEEN_MAX, &walk->seen[PACKETFS_REFERENCE]) != 0) {
        packetfs_walk_free(walk);
        return hm_fail(error, HM_ENOMEM, "no memory to receive snapshots");
    }
    walk->sink = sink;
    *out = walk;
    return 0;
}

void packetfs_walk_free(struct packetfs_walk *walk)
{
    if (walk == NULL)
        return;
    packetfs_wire_packer_free(walk->packer);
    for (size_t kind = 0; kind < PACKETFS_KINDS; kind++)
        packetfs_sync_seen_free(walk->seen[kind]);
    hm_buf_release(&walk->stack);
    hm_buf_release(&walk->asked);
    hm_buf_release(&walk->lens);
    hm_buf_release(&walk->again);
    hm_buf_release(&walk->plain);
    hm_buf_release(&walk->base);
    hm_buf_release(&walk->body);
    hm_free(walk);
}

/* Is the object here? 0, HM_ENOTFOUND, or a failure. */
static int is_here(struct packetfs_walk *walk, enum packetfs_kind kind,
                   const struct packetfs_id *id)
{
    const struct packetfs_objects *objects = &walk->sink->side->objects;

    return objects->has(objects->ctx, kind, id);
}

struct visit {
    struct packetfs_walk *walk;
    const struct packetfs_wire_want *node;
    struct hm_error *error;
};

static int visit_reference(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                           struct hm_error *error)
{
    if (!packetfs_sync_seen_add(walk->seen[PACKETFS_REFERENCE], &want->id))
        return 0;
    if (walk->stack.len / sizeof(*want) >= PACKETFS_SYNC_PENDING_MAX)
        return hm_fail(error, HM_ELIMIT,
                       "the peer's tree is too wide: more than %zu references wait",
                       PACKETFS_SYNC_PENDING_MAX);
    if (hm_buf_append(&walk->stack, want, sizeof(*want)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the peer's tree");
    return 0;
}

static int visit_pattern(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                         uint64_t len, struct hm_error *error)
{
    int rc;

    if (len == 0 ||
        len > PACKETFS_OBJECT_MAX_BYTES) /* a file of one pattern tells its length elsewhere */
        len = len == 0 ? PACKETFS_OBJECT_MAX_BYTES / 4 : PACKETFS_OBJECT_MAX_BYTES;
    if (!packetfs_sync_seen_add(walk->seen[PACKETFS_PATTERN], &want->id))
        return 0;
    rc = is_here(walk, PACKETFS_PATTERN, &want->id);
    if (rc == HM_ENOTFOUND)
        return packetfs_walk_want_pattern(walk, want, len, error);
    return rc == 0 ? 0 : hm_fail(error, rc, "the index of this volume cannot be read");
}

static int visit_child(void *ctx, const struct packetfs_sync_child *child)
{
    struct visit *visit = ctx;
    struct packetfs_wire_want want = {
        .id = child->id, .has_base = child->has_base, .base = child->base};

    if (child->kind == PACKETFS_PATTERN)
        return visit_pattern(visit->walk, &want, child->len, visit->error);
    if (!want.has_base && visit->node->has_base) { /* the tree may have grown by a level */
        want.has_base = true;
        want.base = visit->node->base;
    }
    return visit_reference(visit->walk, &want, visit->error);
}

/* --- bases ------------------------------------------------------------------------------------------------------------ */

/* The nodes that a node's children are compared with: its base, or, when the tree has shrunk by a level, those below. */
struct bases {
    struct hm_buf bytes[1 + BASES_BELOW_MAX];
    struct hm_slice slices[1 + BASES_BELOW_MAX];
    struct packetfs_id below[BASES_BELOW_MAX];
    size_t count, below_count;
};

static void bases_release(struct bases *bases)
{
    for (size_t i = 0; i < HM_COUNT_OF(bases->bytes); i++)
        hm_buf_release(&bases->bytes[i]);
}

static int note_below(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                      uint64_t len)
{
    struct bases *bases = ctx;

    (void)len;
    if (kind == PACKETFS_REFERENCE && bases->below_count < BASES_BELOW_MAX)
        bases->below[bases->below_count++] = *id;
    return 0;
}

static bool is_a_level_higher(struct hm_slice base, struct hm_slice node)
{
    struct packetfs_node_reader high;
    struct packetfs_node_reader low;

    return packetfs_node_begin(base, NULL, &high, NULL) == 0 &&
           packetfs_node_begin(node, NULL, &low, NULL) == 0 && high.what == low.what &&
           high.level == low.level + 1;
}

/* Bases are a help: one that cannot be read is left out. */
static void bases_find(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                       struct hm_slice node, struct bases *out)
{
    const struct packetfs_objects *objects = &walk->sink->side->objects;

    *out = (struct bases){0};
    if (!want->has_base ||
        objects->get(objects->ctx, PACKETFS_REFERENCE, &want->base, &out->bytes[0], NULL) != 0)
        return;
    out->slices[out->count++] = hm_buf_slice(&out->bytes[0]);
    if (!is_a_level_higher(out->slices[0], node) ||
        packetfs_node_children(out->slices[0], note_below, out, NULL) != 0)
        return;
    for (size_t i = 0; i < out->below_count; i++)
        if (objects->get(objects->ctx, PACKETFS_REFERENCE, &out->below[i], &out->bytes[1 + i],
                         NULL) == 0)
            out->slices[out->count++] = hm_buf_slice(&out->bytes[1 + i]);
}

/* A reference that is here now. Its base helps with differences and says nothing of what is here: a pack may have been lost. */
static int walk_node(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                     struct hm_slice plain, struct hm_error *error)
{
    struct visit visit = {.walk = walk, .node = want, .error = error};
    struct bases bases;
    char hex[17];
    int rc;

    bases_find(walk, want, plain, &bases);
    rc = packetfs_sync_children(plain, bases.slices, bases.count, visit_child, &visit, error);
    bases_release(&bases);
    if (rc == HM_ECORRUPT) {
        hm_hex_encode(want->id.bytes, 8, hex);
        return hm_error_prefix(error, rc, "reference %s", hex);
    }
    return rc;
}

/* A reference that was here before: from an earlier try, or of another tree. */
static int walk_present(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                        struct hm_error *error)
{
    const struct packetfs_objects *objects = &walk->sink->side->objects;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    int rc = objects->get(objects->ctx, PACKETFS_REFERENCE, &want->id, &plain, error);

    return rc == 0 ? walk_node(walk, want, hm_buf_slice(&plain), error) : rc;
}

/* Takes what is on top of the stack: walks what is here, queues what is not. */
static int walk_batch(struct packetfs_walk *walk, struct hm_error *error)
{
    struct packetfs_wire_get *get = &walk->get[PACKETFS_REFERENCE];
    struct packetfs_wire_want want;
    int rc = packetfs_walk_progress(walk, error);

    while (rc == 0 && walk->stack.len > 0 && get->count < PACKETFS_WIRE_GET_MAX) {
        walk->stack.len -= sizeof(want);
        memcpy(&want, walk->stack.data + walk->stack.len, sizeof(want));
        rc = is_here(walk, PACKETFS_REFERENCE, &want.id);
        if (rc == HM_ENOTFOUND) {
            get->wants[get->count++] = want;
            rc = 0;
        } else if (rc == 0) {
            rc = walk_present(walk, &want, error);
        } else {
            rc = hm_fail(error, rc, "the index of this volume cannot be read");
        }
    }
    return rc == 0 ? packetfs_walk_fetch(walk, walk_node, error) : rc;
}

int packetfs_walk_tree(struct packetfs_walk *walk, const struct packetfs_id *root,
                       const struct packetfs_id *base, struct hm_error *error)
{
    struct packetfs_wire_want want = {.id = *root};
    int rc;

    if (base != NULL && !packetfs_id_equal(root, base)) {
        want.has_base = true;
        want.base = *base;
    }
    rc = visit_reference(walk, &want, error);
    while (rc == 0 && walk->stack.len > 0)
        rc = walk_batch(walk, error);
    if (rc == 0)
        rc = packetfs_walk_drain(walk, error);
    return rc;
}
