#include "runtime_path.h"

#include <stdio.h>

int runtime_job_id_check(const char *id, struct hm_error *error)
{
    size_t len = id != NULL ? strnlen(id, RUNTIME_JOB_ID_MAX + 1) : 0;

    if (len == 0 || len > RUNTIME_JOB_ID_MAX)
        return hm_fail(error, HM_EINVAL, "a job id has 1-%d characters", RUNTIME_JOB_ID_MAX);
    for (size_t i = 0; i < len; i++) {
        char c = id[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return hm_fail(error, HM_EINVAL, "a job id holds only a-z and 0-9");
    }
    return 0;
}

static bool label_first(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool label_part(char c, bool tag)
{
    if (label_first(c) || c == '.' || c == '_' || c == '-')
        return true;
    return tag ? c >= 'A' && c <= 'Z' : c == '/';
}

static size_t label_span(const char *text, bool tag)
{
    size_t len = 0;

    if (!label_first(text[0]) && !(tag && label_part(text[0], true) && text[0] != '.'))
        return 0;
    while (text[len] != 0 && label_part(text[len], tag))
        len++;
    return len;
}

int runtime_image_name_parse(const char *text, char out[RUNTIME_IMAGE_NAME_MAX],
                             struct hm_error *error)
{
    static const char help[] = "an image name is name[:tag] with [a-z0-9][a-z0-9._/-]{0,127}";
    size_t name_len = text != NULL ? label_span(text, false) : 0;
    const char *tag = "latest";

    if (name_len == 0 || name_len > RUNTIME_IMAGE_LABEL_MAX)
        return hm_fail(error, HM_EINVAL, "%s", help);
    if (text[name_len] == ':')
        tag = text + name_len + 1;
    else if (text[name_len] != 0)
        return hm_fail(error, HM_EINVAL, "%s", help);
    if (label_span(tag, true) == 0 || tag[label_span(tag, true)] != 0)
        return hm_fail(error, HM_EINVAL, "%s", help);
    for (size_t i = 0; i + 1 < name_len; i++) {
        if ((text[i] == '.' || text[i] == '/') && (text[i + 1] == '.' || text[i + 1] == '/'))
            return hm_fail(error, HM_EINVAL, "%s", help);
    }
    if (name_len + 1 + strlen(tag) >= RUNTIME_IMAGE_NAME_MAX)
        return hm_fail(error, HM_EINVAL, "image name and tag have more than %d characters",
                       RUNTIME_IMAGE_NAME_MAX - 1);
    snprintf(out, RUNTIME_IMAGE_NAME_MAX, "%.*s:%s", (int)name_len, text, tag);
    return 0;
}

/* Adds the parts of text to out, whose present length is *len. */
static int path_append(const char *text, char out[RUNTIME_PATH_MAX_BYTES], size_t *len,
                       bool may_go_up, struct hm_error *error)
{
    size_t depth = 0;

    for (size_t i = 0; i < *len; i++)
        depth += out[i] == '/';
    depth += *len > 0;
    while (*text != 0) {
        size_t part = strcspn(text, "/");

        if (part == 2 && text[0] == '.' && text[1] == '.') {
            if (!may_go_up || *len == 0)
                return hm_fail(error, HM_EPARSE, "a path leaves its root with \"..\"");
            while (*len > 0 && out[*len - 1] != '/')
                (*len)--;
            *len -= *len > 0;
            depth--;
        } else if (part > 0 && !(part == 1 && text[0] == '.')) {
            if (part > 255 || *len + 1 + part >= RUNTIME_PATH_MAX_BYTES ||
                ++depth > RUNTIME_PATH_MAX_DEPTH)
                return hm_fail(error, HM_ELIMIT, "a path is too long or too deep");
            if (*len > 0)
                out[(*len)++] = '/';
            memcpy(out + *len, text, part);
            *len += part;
        }
        text += part;
        text += *text == '/';
    }
    out[*len] = 0;
    return 0;
}

int runtime_path_normal(const char *text, char out[RUNTIME_PATH_MAX_BYTES], struct hm_error *error)
{
    char work[RUNTIME_PATH_MAX_BYTES];
    size_t len = 0;
    int rc;

    work[0] = 0;
    rc = path_append(text, work, &len, false, error);
    if (rc == 0)
        memcpy(out, work, len + 1);
    return rc;
}

int runtime_path_resolve(const char *path, const char *link, char out[RUNTIME_PATH_MAX_BYTES],
                         struct hm_error *error)
{
    char work[RUNTIME_PATH_MAX_BYTES];
    const char *slash = strrchr(path, '/');
    size_t len = 0;
    int rc;

    if (link[0] != '/' && slash != NULL) {
        len = (size_t)(slash - path);
        if (len >= sizeof(work))
            return hm_fail(error, HM_ELIMIT, "a path is too long or too deep");
        memcpy(work, path, len);
    }
    work[len] = 0;
    rc = path_append(link, work, &len, true, error);
    if (rc == 0)
        memcpy(out, work, len + 1);
    return rc;
}

static bool path_has_control(const char *path)
{
    for (; *path != 0; path++) {
        if ((unsigned char)*path < 0x20 || *path == 0x7f)
            return true;
    }
    return false;
}

int runtime_host_path_check(const char *path, const char *field, struct hm_error *error)
{
    char normal[RUNTIME_PATH_MAX_BYTES];

    if (path == NULL || path[0] != '/' || path_has_control(path))
        return hm_fail(error, HM_EINVAL, "%s: \"%s\" is not an absolute path", field,
                       path != NULL && !path_has_control(path) ? path : "");
    if (runtime_path_normal(path, normal, error) != 0)
        return hm_fail(error, HM_EINVAL, "%s: \"%s\" is too long or holds \"..\"", field, path);
    return 0;
}

int runtime_mount_point_check(const char *path, const char *field, struct hm_error *error)
{
    static const char *const taken[] = {"proc", "dev", "sys"};
    char normal[RUNTIME_PATH_MAX_BYTES];
    int rc = runtime_host_path_check(path, field, error);

    if (rc != 0)
        return rc;
    (void)runtime_path_normal(path, normal, NULL);
    if (normal[0] == 0)
        return hm_fail(error, HM_EINVAL, "%s: \"/\" itself cannot be mounted over", field);
    for (size_t i = 0; i < HM_COUNT_OF(taken); i++) {
        size_t len = strlen(taken[i]);

        if (strncmp(normal, taken[i], len) == 0 && (normal[len] == 0 || normal[len] == '/'))
            return hm_fail(error, HM_EINVAL,
                           "%s: \"%s\" belongs to the sandbox, choose another folder", field, path);
    }
    return 0;
}

int runtime_path_join(char *out, size_t size, const char *a, const char *b, struct hm_error *error)
{
    int len = a[0] != 0 ? snprintf(out, size, "%s/%s", a, b) : snprintf(out, size, "%s", b);

    if (len < 0 || (size_t)len >= size)
        return hm_fail(error, HM_ELIMIT, "a path is longer than %zu bytes", size - 1);
    return 0;
}
