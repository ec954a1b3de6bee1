#include "asset.h"

static int diff_order(const struct asset_found *a, const struct asset_found *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return strcmp(a->hardware_id, b->hardware_id);
}

static bool diff_text_equal(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

static bool diff_is_same(const struct asset_found *a, const struct asset_found *b)
{
    if (a->capacity != b->capacity || a->healthy != b->healthy || a->offered != b->offered ||
        a->attribute_count != b->attribute_count || !diff_text_equal(a->health, b->health))
        return false;
    for (size_t i = 0; i < a->attribute_count; i++)
        if (strcmp(a->attributes[i].name, b->attributes[i].name) != 0 ||
            strcmp(a->attributes[i].value, b->attributes[i].value) != 0)
            return false;
    return true;
}

int asset_diff(const struct asset_inventory *before, const struct asset_inventory *after,
               struct hm_arena *arena, struct asset_change **out, size_t *count,
               struct hm_error *error)
{
    size_t most = before->count + after->count, used = 0, i = 0, k = 0;
    struct asset_change *changes = hm_arena_alloc(arena, (most + 1) * sizeof(*changes));

    if (changes == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to compare two scans");
    while (i < before->count || k < after->count) {
        const struct asset_found *old = i < before->count ? &before->items[i] : NULL;
        const struct asset_found *new = k < after->count ? &after->items[k] : NULL;
        int order = old == NULL ? 1 : new == NULL ? -1 : diff_order(old, new);

        i += order <= 0;
        k += order >= 0;
        if (order < 0)
            changes[used++] = (struct asset_change){.kind = ASSET_GONE, .before = old};
        else if (order > 0)
            changes[used++] = (struct asset_change){.kind = ASSET_APPEARED, .after = new};
        else if (!diff_is_same(old, new))
            changes[used++] = (struct asset_change){
                .kind = ASSET_CHANGED, .before = old, .after = new};
    }
    *out = changes;
    *count = used;
    return 0;
}
