/* mountinfo and cgroup files of a process: which file system a path lies on, where its control groups are. */
#include "asset_text.h"

/* Undoes \040 and the like; cut results are failures, because half a path names another file. */
static bool mount_unescape(struct hm_slice text, char *out, size_t out_bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c == '\\' && text.len - i > 3) {
            unsigned value = 0;

            for (size_t k = 1; k <= 3; k++) {
                uint8_t digit = text.data[i + k];

                if (digit < '0' || digit > '7')
                    return false;
                value = value * 8 + (unsigned)(digit - '0');
            }
            c = (uint8_t)value;
            i += 3;
        }
        if (c == '\0' || used + 1 >= out_bytes)
            return false;
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return true;
}

static bool mount_device(struct hm_slice word, struct asset_mount *out)
{
    const uint8_t *colon = memchr(word.data, ':', word.len);
    size_t len;

    if (colon == NULL)
        return false;
    len = (size_t)(colon - word.data);
    return asset_text_u64(hm_slice_of(word.data, len), &out->major) &&
           asset_text_u64(hm_slice_of(colon + 1, word.len - len - 1), &out->minor);
}

static bool mount_has_option(struct hm_slice options, const char *name)
{
    while (options.len > 0) {
        const uint8_t *comma = memchr(options.data, ',', options.len);
        size_t len = comma == NULL ? options.len : (size_t)(comma - options.data);

        if (asset_text_is(hm_slice_of(options.data, len), name))
            return true;
        len += comma == NULL ? 0 : 1;
        options = hm_slice_of(options.data + len, options.len - len);
    }
    return false;
}

bool asset_text_mount(struct hm_slice line, struct asset_mount *out)
{
    struct hm_slice word[6], rest = line, tag;

    /* id, parent, major:minor, root, mount point, options, [tags...] - type source super-options */
    for (size_t i = 0; i < HM_COUNT_OF(word); i++)
        if (!asset_text_word(&rest, &word[i]))
            return false;
    if (!mount_device(word[2], out) || !mount_unescape(word[3], out->root, sizeof(out->root)) ||
        !mount_unescape(word[4], out->point, sizeof(out->point)))
        return false;
    do {
        if (!asset_text_word(&rest, &tag))
            return false;
    } while (!asset_text_is(tag, "-"));
    if (!asset_text_word(&rest, &tag) || !mount_unescape(tag, out->type, sizeof(out->type)))
        return false;
    if (!asset_text_word(&rest, &tag) || !mount_unescape(tag, out->source, sizeof(out->source)))
        out->source[0] = '\0';
    if (!asset_text_word(&rest, &tag))
        tag = hm_slice_str("");
    /* Overlay's options can be longer than any path and are not needed. */
    asset_text_clean(tag, out->super_options, sizeof(out->super_options));
    out->read_only = mount_has_option(word[5], "ro") || mount_has_option(tag, "ro");
    return true;
}

static bool mount_covers(const char *point, const char *path)
{
    size_t len = strlen(point);

    if (len == 1 && point[0] == '/')
        return path[0] == '/';
    return strncmp(point, path, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

bool asset_text_mount_of(struct hm_slice mountinfo, const char *path, struct asset_mount *out)
{
    struct asset_mount mount;
    struct hm_slice line;
    size_t best = 0;

    while (asset_text_line(&mountinfo, &line)) {
        if (!asset_text_mount(line, &mount) || !mount_covers(mount.point, path) ||
            strlen(mount.point) < best)
            continue;
        best = strlen(mount.point);
        *out = mount;
    }
    return best > 0;
}

bool asset_text_cgroup_mount(struct hm_slice mountinfo, const char *controller,
                             struct asset_mount *out)
{
    struct asset_mount mount;
    struct hm_slice line;

    while (asset_text_line(&mountinfo, &line)) {
        if (!asset_text_mount(line, &mount))
            continue;
        if (controller == NULL
                ? strcmp(mount.type, "cgroup2") != 0
                : strcmp(mount.type, "cgroup") != 0 ||
                      !mount_has_option(hm_slice_str(mount.super_options), controller))
            continue;
        *out = mount;
        return true;
    }
    return false;
}

bool asset_text_cgroup_path(struct hm_slice cgroup, const char *controller, char *out,
                            size_t out_bytes)
{
    struct hm_slice line;

    while (asset_text_line(&cgroup, &line)) {
        const uint8_t *first = line.len == 0 ? NULL : memchr(line.data, ':', line.len);
        size_t at = first == NULL ? line.len : (size_t)(first - line.data) + 1;
        const uint8_t *second = at >= line.len ? NULL : memchr(line.data + at, ':', line.len - at);
        struct hm_slice names, path;

        if (second == NULL)
            continue;
        names = hm_slice_of(line.data + at, (size_t)(second - line.data) - at);
        path = hm_slice_of(second + 1, line.len - at - names.len - 1);
        if (controller == NULL ? names.len != 0 : !mount_has_option(names, controller))
            continue;
        if (path.len == 0 || path.data[0] != '/' || path.len >= out_bytes ||
            memchr(path.data, '\0', path.len) != NULL)
            return false;
        memcpy(out, path.data, path.len);
        out[path.len] = '\0';
        return true;
    }
    return false;
}
