/* image ls, import, build-base, rm. */
#include "nexus_call.h"
#include "nexus_verbs.h"

static void add_image(struct nexus_call *call, struct nexus_table *table, const json_t *image)
{
    NEXUS_TABLE_ROW(table, nexus_json_text(image, "name"),
                    nexus_show_size(nexus_json_u64(image, "bytes"), call->arena),
                    nexus_show_size(nexus_json_u64(image, "stored_bytes"), call->arena),
                    nexus_json_cell(json_object_get(image, "layers"), call->arena),
                    nexus_show_time(nexus_json_u64(image, "created_ms"), call->arena),
                    nexus_json_text(image, "digest"));
}

static const struct nexus_column columns[] = {{"IMAGE", false},         {"SIZE", true},
                                              {"STORED", true},         {"LAYERS", true},
                                              {"CREATED (UTC)", false}, {"DIGEST", false}};

static int table_images(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++)
        add_image(call, &table, json_array_get(items, i));
    return nexus_table_finish(call, &table, out);
}

static int table_image(struct nexus_call *call, const json_t *image, struct hm_buf *out)
{
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    add_image(call, &table, image);
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_items(call, "/images", &items);

    return rc ? rc : nexus_show(call, items, table_images);
}

const struct nexus_verb verb_image_ls = {
    .group = "image",
    .name = "ls",
    .summary = "List the images the node has",
    .text = "SIZE is what came, STORED what taking it in added to the disk: files that other\n"
            "images have, too, are kept once.",
    .run = run_ls};

static int run_import(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *image = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    const char *path = NULL;
    int rc = nexus_path_absolute(nexus_operand(call, 0), call->arena, &path, &call->error);

    if (!rc)
        rc = nexus_body_text(call, body, "path", path);
    if (!rc)
        rc = nexus_body_text(call, body, "name", nexus_operand(call, 1));
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &image, "/images");
    return rc ? rc : nexus_show(call, image, table_image);
}

const struct nexus_verb verb_image_import = {
    .group = "image",
    .name = "import",
    .operands = "FILE|FOLDER [NAME]",
    .operands_min = 1,
    .operands_max = 2,
    .words = "@file",
    .summary = "Take in an image: docker-save archive, OCI layout folder or its tar",
    .text = "The node reads the file itself, so it must be on the node's machine.",
    .run = run_import};

static int run_build_base(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *image = NULL;
    int rc = nexus_ask(call, "POST", NULL, &image, "/images/base");

    return rc ? rc : nexus_show(call, image, table_image);
}

const struct nexus_verb verb_image_build_base = {
    .group = "image",
    .name = "build-base",
    .summary = "Make the image \"busybox\" from the machine's static busybox",
    .run = run_build_base};

static int run_rm(struct nexus_call *call)
{
    return nexus_ask(call, "DELETE", NULL, NULL, "/images/%s",
                     nexus_part(call, nexus_operand(call, 0)));
}

const struct nexus_verb verb_image_rm = {.group = "image",
                                         .name = "rm",
                                         .operands = "NAME",
                                         .operands_min = 1,
                                         .operands_max = 1,
                                         .summary = "Remove an image",
                                         .run = run_rm};
