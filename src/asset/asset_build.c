#include "asset_build.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 2, 0))) static char *build_text(struct asset_builder *build,
                                                              const char *format, va_list args)
{
    char raw[1024], clean[1024];
    char *copy;

    if (vsnprintf(raw, sizeof(raw), format, args) < 0)
        raw[0] = '\0';
    asset_text_clean(hm_slice_str(raw), clean, sizeof(clean));
    copy = hm_arena_strdup(build->arena, clean);
    if (copy == NULL)
        build->failed = true;
    return copy;
}

struct asset_item *asset_build_item(struct asset_builder *build, Hypermesh__AssetKind kind,
                                    const char *format, ...)
{
    struct asset_item *item;
    char *id;
    va_list args;

    if (build->count == ASSET_MAX_FOUND) {
        asset_build_note(build, "more than %d assets: the rest is not listed", ASSET_MAX_FOUND);
        return NULL;
    }
    va_start(args, format);
    id = build_text(build, format, args);
    va_end(args);
    item = hm_arena_alloc(build->arena, sizeof(*item));
    if (id == NULL || item == NULL) {
        build->failed = true;
        return NULL;
    }
    if (strlen(id) > 128)
        id[128] = '\0';
    item->found.kind = kind;
    item->found.hardware_id = id;
    item->found.title = id;
    item->found.healthy = true;
    item->found.attributes = item->attributes;
    item->found.live = item->live;
    build->items[build->count++] = item;
    return item;
}

void asset_build_title(struct asset_builder *build, struct asset_item *item, const char *format,
                       ...)
{
    va_list args;
    char *text;

    if (item == NULL)
        return;
    va_start(args, format);
    text = build_text(build, format, args);
    va_end(args);
    if (text != NULL)
        item->found.title = text;
}

__attribute__((format(printf, 5, 0))) static void build_add(struct asset_builder *build,
                                                            struct asset_attribute *list,
                                                            size_t *count, const char *name,
                                                            const char *format, va_list args)
{
    char *value = build_text(build, format, args);
    char *own_name = value == NULL ? NULL : hm_arena_strdup(build->arena, name);

    if (own_name == NULL) {
        build->failed = true;
        return;
    }
    if (strlen(value) >= ASSET_VALUE_BYTES)
        value[ASSET_VALUE_BYTES - 1] = '\0';
    if (value[0] == '\0')
        return;
    if (*count == ASSET_MAX_ATTRIBUTES) {
        asset_build_note(build, "more than %d attributes: %s is left out", ASSET_MAX_ATTRIBUTES,
                         name);
        return;
    }
    list[(*count)++] = (struct asset_attribute){.name = own_name, .value = value};
}

void asset_build_attribute(struct asset_builder *build, struct asset_item *item, const char *name,
                           const char *format, ...)
{
    va_list args;

    if (item == NULL)
        return;
    va_start(args, format);
    build_add(build, item->attributes, &item->found.attribute_count, name, format, args);
    va_end(args);
}

void asset_build_live(struct asset_builder *build, struct asset_item *item, const char *name,
                      const char *format, ...)
{
    va_list args;

    if (item == NULL)
        return;
    va_start(args, format);
    build_add(build, item->live, &item->found.live_count, name, format, args);
    va_end(args);
}

void asset_build_unhealthy(struct asset_builder *build, struct asset_item *item, const char *format,
                           ...)
{
    va_list args;

    if (item == NULL || !item->found.healthy)
        return;
    va_start(args, format);
    item->found.health = build_text(build, format, args);
    va_end(args);
    item->found.healthy = false;
}

void asset_build_note(struct asset_builder *build, const char *format, ...)
{
    va_list args;
    char *text;

    if (build->note_count == ASSET_MAX_NOTES)
        return;
    va_start(args, format);
    text = build_text(build, format, args);
    va_end(args);
    if (text == NULL)
        return;
    for (size_t i = 0; i < build->note_count; i++)
        if (strcmp(build->notes[i], text) == 0)
            return;
    build->notes[build->note_count++] = text;
}

void asset_builder_release(struct asset_builder *build)
{
    hm_buf_release(&build->mountinfo);
    hm_buf_release(&build->cgroup);
}

static int build_compare_attributes(const void *a, const void *b)
{
    const struct asset_attribute *left = a, *right = b;

    return strcmp(left->name, right->name);
}

static int build_compare_items(const void *a, const void *b)
{
    const struct asset_item *const *left = a, *const *right = b;

    if ((*left)->found.kind != (*right)->found.kind)
        return (*left)->found.kind < (*right)->found.kind ? -1 : 1;
    return strcmp((*left)->found.hardware_id, (*right)->found.hardware_id);
}

static bool build_is_same(const struct asset_item *a, const struct asset_item *b)
{
    return a->found.kind == b->found.kind &&
           strcmp(a->found.hardware_id, b->found.hardware_id) == 0;
}

/* Two devices with one id (a disk seen over two paths) would fight for one asset: the first stays. */
static void build_drop_doubles(struct asset_builder *build)
{
    size_t kept = 0;

    for (size_t i = 0; i < build->count; i++) {
        if (kept > 0 && build_is_same(build->items[kept - 1], build->items[i])) {
            asset_build_note(build, "two devices call themselves %s: only one is listed",
                             build->items[i]->found.hardware_id);
            build->items[kept - 1]->found.offered |= build->items[i]->found.offered;
            continue;
        }
        build->items[kept++] = build->items[i];
    }
    build->count = kept;
}

int asset_builder_finish(struct asset_builder *build, struct asset_inventory *out,
                         struct hm_error *error)
{
    struct asset_found *items;
    const char **notes;

    if (build->count > 0)
        qsort(build->items, build->count, sizeof(build->items[0]), build_compare_items);
    build_drop_doubles(build);
    items = hm_arena_alloc(build->arena, (build->count + 1) * sizeof(*items));
    notes = hm_arena_alloc(build->arena, (build->note_count + 1) * sizeof(*notes));
    if (build->failed || items == NULL || notes == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to list this machine's assets");
    for (size_t i = 0; i < build->count; i++) {
        struct asset_item *item = build->items[i];

        qsort(item->attributes, item->found.attribute_count, sizeof(item->attributes[0]),
              build_compare_attributes);
        qsort(item->live, item->found.live_count, sizeof(item->live[0]), build_compare_attributes);
        if (item->found.capacity == 0)
            item->found.offered = false;
        items[i] = item->found;
    }
    memcpy(notes, build->notes, build->note_count * sizeof(*notes));
    *out = (struct asset_inventory){
        .items = items, .count = build->count, .notes = notes, .note_count = build->note_count};
    return 0;
}
