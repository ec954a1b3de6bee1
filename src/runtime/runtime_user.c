/* The image's user: numbers as they are, names from the image's own /etc/passwd and /etc/group. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime_sandbox.h"

#define USER_FILE_MAX_BYTES ((size_t)1 << 20)

static bool user_number(const char *text, uint32_t *out)
{
    uint64_t value = 0;

    if (hm_u64_parse(text, &value, NULL) != 0 || value >= RUNTIME_UID_COUNT)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* Up to the separator, which is skipped; false when the text is at its end. */
static bool user_split(struct hm_slice *rest, char separator, struct hm_slice *out)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;

    if (rest->data == NULL)
        return false;
    *out = hm_slice_of(rest->data, len);
    *rest = end != NULL ? hm_slice_of(end + 1, rest->len - len - 1) : (struct hm_slice){0};
    return true;
}

bool runtime_user_field(struct hm_slice text, const char *name, unsigned want, uint32_t *out)
{
    struct hm_slice line, field;

    while (user_split(&text, '\n', &line)) {
        char number[16];

        if (!user_split(&line, ':', &field) || !hm_slice_equal(field, hm_slice_str(name)))
            continue;
        for (unsigned i = 0; i < want; i++) {
            if (!user_split(&line, ':', &field))
                return false;
        }
        if (field.len >= sizeof(number) || memchr(field.data, 0, field.len) != NULL)
            return false;
        memcpy(number, field.data, field.len);
        number[field.len] = 0;
        return user_number(number, out);
    }
    return false;
}

static bool user_find(int root, const char *file, const char *name, unsigned want, uint32_t *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int dir = -1;
    HM_AUTOCLOSE int fd = -1;
    char self[64];

    if (runtime_tree_open(root, "etc", NULL, &dir, NULL) != 0)
        return false;
    fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return fd >= 0 && hm_file_read(self, USER_FILE_MAX_BYTES, &text, NULL) == 0 &&
           runtime_user_field(hm_buf_slice(&text), name, want, out);
}

int runtime_sandbox_user(struct runtime_sandbox *sandbox, struct hm_error *error)
{
    HM_AUTOCLOSE int root = open(sandbox->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *text = sandbox->loaded->config.user;
    const char *colon = strchr(text, ':');
    char user[64], group[64];
    uint32_t uid = 0, gid = 0;

    if (text[0] == 0 || root < 0)
        return 0;
    if (snprintf(user, sizeof(user), "%.*s", (int)strcspn(text, ":"), text) >= (int)sizeof(user) ||
        snprintf(group, sizeof(group), "%s", colon != NULL ? colon + 1 : "") >= (int)sizeof(group))
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the image's user has a name of more than 63 characters");
    if (!user_number(user, &uid) && !user_find(root, "passwd", user, 2, &uid))
        return hm_fail(error, HM_EUNSUPPORTED, "the image's user \"%s\" is not in its /etc/passwd",
                       user);
    if (group[0] == 0)
        (void)user_find(root, "passwd", user, 3, &gid);
    else if (!user_number(group, &gid) && !user_find(root, "group", group, 2, &gid))
        return hm_fail(error, HM_EUNSUPPORTED, "the image's group \"%s\" is not in its /etc/group",
                       group);
    if (sandbox->machine->rootless && (uid != 0 || gid != 0)) {
        runtime_warn(sandbox->result,
                     "the image wants user %u:%u; as an ordinary user only user 0 of a "
                     "user namespace can be had",
                     uid, gid);
        return 0;
    }
    sandbox->uid = uid;
    sandbox->gid = gid;
    return 0;
}
