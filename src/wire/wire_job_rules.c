/* What names and paths in a job may look like. */
#include "wire_job.h"
#include "wire_text.h"

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c) /* C identifier */
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

static int rule_fail(struct hm_error *error, const char *what, const char *text,
                     const char *problem)
{
    char shown[WIRE_SHOWN_BYTES];

    wire_shown(hm_slice_str(text), shown);
    return hm_fail(error, HM_EINVAL, "%s: \"%s\" %s", what, shown, problem);
}

int wire_job_rule_name(const char *what, const char *text, struct hm_error *error)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if (!is_lower_or_digit(text[i]) && text[i] != '-')
            return rule_fail(error, what, text, "may hold only a-z, 0-9 and -");
    if (len < 1 || len > WIRE_JOB_NAME_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "%s: must be 1 to %d characters long, this is %zu", what,
                       WIRE_JOB_NAME_MAX_BYTES, len);
    return 0;
}

/* Components of a-z 0-9 . _ -, each beginning and ending with a letter or digit. */
static bool image_name_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool edge = i == 0 || i + 1 == len || text[i - 1] == '/' || text[i + 1] == '/';
        bool middle = !edge && (text[i] == '.' || text[i] == '_' || text[i] == '-');
        bool slash = i > 0 && i + 1 < len && text[i] == '/' && text[i - 1] != '/';

        if (!is_lower_or_digit(text[i]) && !middle && !slash)
            return false;
    }
    return len > 0;
}

static bool image_tag_valid(const char *tag)
{
    for (size_t i = 0; tag[i]; i++)
        if (!is_word(tag[i]) && (i == 0 || (tag[i] != '.' && tag[i] != '-')))
            return false;
    return tag[0] != '\0';
}

int wire_job_rule_image(const char *what, const char *text, struct hm_error *error)
{
    const char *colon = strchr(text, ':');
    size_t name_len = colon ? (size_t)(colon - text) : strlen(text);

    if (text[0] == '\0')
        return hm_fail(error, HM_EINVAL,
                       "%s: is required: the name of an imported image, such as busybox", what);
    if (strlen(text) > WIRE_JOB_IMAGE_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s: must be at most %d characters long", what,
                       WIRE_JOB_IMAGE_MAX_BYTES);
    if (!image_name_valid(text, name_len) || (colon && !image_tag_valid(colon + 1)))
        return rule_fail(error, what, text,
                         "is not an image name: write NAME or NAME:TAG, NAME of a-z 0-9 . _ - "
                         "/, TAG of letters, digits, . _ -");
    return 0;
}

int wire_job_rule_env_name(const char *what, const char *text, struct hm_error *error)
{
    bool valid = text[0] != '\0' && (text[0] < '0' || text[0] > '9');

    for (size_t i = 0; text[i]; i++)
        valid = valid && is_word(text[i]);
    if (!valid)
        return rule_fail(error, what, text,
                         "is not a variable's name: letters, digits and _, not beginning with a "
                         "digit");
    if (strlen(text) > WIRE_JOB_ENV_NAME_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s: a variable's name has at most %d characters", what,
                       WIRE_JOB_ENV_NAME_MAX_BYTES);
    return 0;
}

static int rule_path(const char *what, const char *text, struct hm_error *error)
{
    if (text[0] == '\0')
        return hm_fail(error, HM_EINVAL, "%s: is empty; a path is needed", what);
    if (strlen(text) > WIRE_JOB_PATH_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s: the path is longer than %d bytes", what,
                       WIRE_JOB_PATH_MAX_BYTES);
    if (!wire_text_valid(hm_slice_str(text)))
        return rule_fail(error, what, text, "is not UTF-8");
    for (size_t i = 0; text[i]; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
            return rule_fail(error, what, text, "holds a control character");
    return 0;
}

int wire_job_rule_host_path(const char *what, const char *text, struct hm_error *error)
{
    return rule_path(what, text, error);
}

/* Each component is a plain name: no "", "." or "..". */
static bool components_plain(const char *path)
{
    while (*path == '/') {
        size_t len = strcspn(path + 1, "/");

        if (len == 0 || (len == 1 && path[1] == '.') ||
            (len == 2 && path[1] == '.' && path[2] == '.'))
            return false;
        path += 1 + len;
    }
    return true;
}

int wire_job_rule_workdir(const char *what, const char *text, struct hm_error *error)
{
    int rc = rule_path(what, text, error);

    if (rc)
        return rc;
    if (text[0] != '/')
        return rule_fail(error, what, text, "must be an absolute path in the container");
    if (strcmp(text, "/") != 0 && !components_plain(text))
        return rule_fail(error, what, text, "may not hold \".\", \"..\" or empty components");
    return 0;
}

int wire_job_rule_inner_path(const char *what, const char *text, struct hm_error *error)
{
    static const char *const taken[] = {"/proc", "/sys", "/dev"};
    int rc = wire_job_rule_workdir(what, text, error);

    if (rc)
        return rc;
    if (strcmp(text, "/") == 0)
        return rule_fail(error, what, text, "is the whole container; name a folder such as /in");
    for (size_t i = 0; i < HM_COUNT_OF(taken); i++)
        if (wire_job_paths_overlap(text, taken[i]))
            return rule_fail(error, what, text,
                             "is the container's own; use a folder outside /proc, /sys and /dev");
    return 0;
}

char *wire_job_path_tidy(struct hm_arena *arena, const char *path)
{
    char *tidy = hm_arena_strdup(arena, path);
    size_t used = 0;

    if (!tidy)
        return NULL;
    for (size_t i = 0; path[i]; i++)
        if (path[i] != '/' || used == 0 || tidy[used - 1] != '/')
            tidy[used++] = path[i];
    if (used > 1 && tidy[used - 1] == '/')
        used--;
    tidy[used] = '\0';
    return tidy;
}

static bool path_inside(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && (inner[len] == '\0' || inner[len] == '/');
}

bool wire_job_paths_overlap(const char *a, const char *b)
{
    return path_inside(a, b) || path_inside(b, a);
}
