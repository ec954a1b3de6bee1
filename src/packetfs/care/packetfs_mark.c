#include "care/packetfs_mark.h"

#include "tree/packetfs_tree.h"

#define KEY_BYTES      16
#define SET_FIRST      1024u
#define TODO_FIRST     256u
#define TODO_MAX       ((size_t)1 << 26) /* reference objects waiting at once: 2 GiB */
#define PATTERNS_SPARE 65536u /* stored while we look */
#define TICK_EVERY     256u

struct id_set {
    uint8_t (*keys)[KEY_BYTES]; /* all zeros: empty; no id is */
    size_t count, room;
};

struct id_stack {
    struct packetfs_id *ids;
    size_t count, room;
};

struct packetfs_mark {
    struct id_set references;
    struct packetfs_bloom patterns;
    struct id_stack todo;
    struct hm_buf node;
    const struct packetfs_mark_visit *visit; /* during a walk */
    struct hm_error *error;
};

/* --- the set of references --- */

static size_t set_place(const struct id_set *set, const uint8_t key[KEY_BYTES])
{
    static const uint8_t empty[KEY_BYTES];
    size_t at = (size_t)hm_get_be64(key) & (set->room - 1);

    while (memcmp(set->keys[at], empty, KEY_BYTES) != 0 &&
           memcmp(set->keys[at], key, KEY_BYTES) != 0)
        at = (at + 1) & (set->room - 1);
    return at;
}

static bool set_has(const struct id_set *set, const struct packetfs_id *id)
{
    return set->room > 0 && memcmp(set->keys[set_place(set, id->bytes)], id->bytes, KEY_BYTES) == 0;
}

static int set_grow(struct id_set *set)
{
    struct id_set bigger = {.count = set->count, .room = set->room ? set->room * 2 : SET_FIRST};
    static const uint8_t empty[KEY_BYTES];

    bigger.keys = hm_calloc(bigger.room, KEY_BYTES);
    if (!bigger.keys)
        return HM_ENOMEM;
    for (size_t i = 0; i < set->room; i++) {
        if (memcmp(set->keys[i], empty, KEY_BYTES) != 0)
            memcpy(bigger.keys[set_place(&bigger, set->keys[i])], set->keys[i], KEY_BYTES);
    }
    hm_free(set->keys);
    *set = bigger;
    return 0;
}

/* true in *added: it was not there. */
static int set_add(struct id_set *set, const struct packetfs_id *id, bool *added)
{
    *added = !set_has(set, id);
    if (!*added)
        return 0;
    if (set->count * 4 >= set->room * 3 && set_grow(set))
        return HM_ENOMEM;
    memcpy(set->keys[set_place(set, id->bytes)], id->bytes, KEY_BYTES);
    set->count++;
    return 0;
}

/* --- marks --- */

int packetfs_mark_new(uint64_t patterns, struct packetfs_mark **out)
{
    struct packetfs_mark *mark = hm_calloc(1, sizeof(*mark));

    if (!mark)
        return HM_ENOMEM;
    if (packetfs_bloom_init(&mark->patterns, patterns + PATTERNS_SPARE, PACKETFS_MARK_BITS)) {
        hm_free(mark);
        return HM_ENOMEM;
    }
    *out = mark;
    return 0;
}

void packetfs_mark_free(struct packetfs_mark *mark)
{
    if (!mark)
        return;
    packetfs_bloom_release(&mark->patterns);
    hm_free(mark->references.keys);
    hm_free(mark->todo.ids);
    hm_buf_release(&mark->node);
    hm_free(mark);
}

bool packetfs_mark_has(const struct packetfs_mark *mark, enum packetfs_kind kind,
                       const struct packetfs_id *id)
{
    return kind == PACKETFS_REFERENCE ? set_has(&mark->references, id)
                                      : packetfs_bloom_has(&mark->patterns, id);
}

uint64_t packetfs_mark_bytes(const struct packetfs_mark *mark)
{
    return mark->references.room * KEY_BYTES + mark->patterns.line_count * 64 +
           mark->todo.room * sizeof(struct packetfs_id);
}

/* --- walking --- */

static int push(struct packetfs_mark *mark, const struct packetfs_id *id)
{
    struct id_stack *todo = &mark->todo;
    bool added = false;

    if (set_add(&mark->references, id, &added))
        return hm_fail(mark->error, HM_ENOMEM, "no memory to mark what is used");
    if (!added)
        return 0;
    if (todo->count == todo->room) {
        size_t room = todo->room ? todo->room * 2 : TODO_FIRST;
        void *ids = room > TODO_MAX ? NULL : hm_realloc(todo->ids, room * sizeof(*todo->ids));

        if (!ids)
            return hm_fail(mark->error, HM_ENOMEM, "no memory to mark what is used");
        todo->ids = ids;
        todo->room = room;
    }
    todo->ids[todo->count++] = *id;
    return 0;
}

static int take_child(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                      uint64_t len)
{
    struct packetfs_mark *mark = ctx;

    (void)len;
    if (kind == PACKETFS_REFERENCE)
        return push(mark, id);
    (void)packetfs_bloom_add(&mark->patterns, id);
    return mark->visit->pattern ? mark->visit->pattern(mark->visit->ctx, id) : 0;
}

/* A node is read whole before its children count: a damaged one must not leave half of them marked as all. */
static int walk_one(struct packetfs_mark *mark, const struct packetfs_objects *objects,
                    const struct packetfs_id *id)
{
    struct hm_error why = {0};
    int rc;

    hm_buf_clear(&mark->node);
    rc = objects->get(objects->ctx, PACKETFS_REFERENCE, id, &mark->node, &why);
    if (!rc) {
        rc = packetfs_node_children(hm_buf_slice(&mark->node), take_child, mark, &why);
        if (rc && rc != HM_ECORRUPT) /* a child's answer: its sentence is in mark->error */
            return rc;
    }
    if (!rc)
        return 0;
    if (rc != HM_ENOTFOUND && rc != HM_ECORRUPT && rc != HM_EUNSUPPORTED) {
        if (mark->error)
            *mark->error = why;
        return rc;
    }
    return mark->visit->bad(mark->visit->ctx, id, rc, &why);
}

int packetfs_mark_walk(struct packetfs_mark *mark, const struct packetfs_objects *objects,
                       const struct packetfs_id *root, const struct packetfs_mark_visit *visit,
                       struct hm_error *error)
{
    size_t steps = 0;
    int rc;

    mark->visit = visit;
    mark->error = error;
    mark->todo.count = 0;
    rc = push(mark, root);
    while (!rc && mark->todo.count > 0) {
        struct packetfs_id id = mark->todo.ids[--mark->todo.count];

        rc = walk_one(mark, objects, &id);
        if (!rc && visit->tick && ++steps % TICK_EVERY == 0)
            rc = visit->tick(visit->ctx, mark->references.count);
    }
    mark->visit = NULL;
    mark->error = NULL;
    return rc;
}
