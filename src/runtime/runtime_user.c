/* The image's user: numbers as they are, names from the image's own /etc/passwd and /etc/group. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime_sandbox.h"

#define USER_FILE_MAX_BYTES ((size_t)1 << 20)

/* Field `want` (0 the name) of the line that begins with name, as a number. */
static bool user_field(int root, const char *file, const char *name, unsigned want, uint32_t *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int dir = -1;
    HM_AUTOCLOSE int fd = -1;
    char self[64];
    size_t len = strlen(name);

    if (runtime_tree_open(root, "etc", NULL, &dir, NULL) != 0)
        return false;
    fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (fd < 0 || hm_file_read(self, USER_FILE_MAX_BYTES, &text, NULL) != 0)
        return false;
    for (const char *line = hm_buf_cstr(&text); *line != 0;
         line += strcspn(line, "\n"), line += *line != 0) {
        const char *at = line;
        uint64_t value = 0;
        char number[16];

        if (strncmp(line, name, len) != 0 || line[len] != ':')
            continue;
        for (unsigned i = 0; i < want; i++) {
            at += strcspn(at, ":\n");
            at += *at == ':';
        }
        snprintf(number, sizeof(number), "%.*s", (int)strcspn(at, ":\n"), at);
        if (hm_u64_parse(number, &value, NULL) != 0 || value >= RUNTIME_UID_COUNT)
            return false;
        *out = (uint32_t)value;
        return true;
    }
    return false;
}

static bool user_number(const char *text, uint32_t *out)
{
    uint64_t value = 0;

    if (hm_u64_parse(text, &value, NULL) != 0 || value >= RUNTIME_UID_COUNT)
        return false;
    *out = (uint32_t)value;
    return true;
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
    if (!user_number(user, &uid) && !user_field(root, "passwd", user, 2, &uid))
        return hm_fail(error, HM_EUNSUPPORTED, "the image's user \"%s\" is not in its /etc/passwd",
                       user);
    if (group[0] == 0)
        (void)user_field(root, "passwd", user, 3, &gid);
    else if (!user_number(group, &gid) && !user_field(root, "group", group, 2, &gid))
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
