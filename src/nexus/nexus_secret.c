#include "nexus_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

void nexus_secret_release(struct hm_buf *secret)
{
    if (secret->data)
        hm_wipe(secret->data, secret->len);
    hm_buf_release(secret);
}

/* One line from the terminal; what is typed is not shown. */
static int type_line(struct nexus_call *call, int fd, const char *prompt, struct hm_buf *out)
{
    struct termios shown;
    struct termios hidden;
    char c;
    ssize_t got = 0;
    int rc = 0;

    if (tcgetattr(fd, &shown) != 0)
        return hm_fail_errno(&call->error, HM_EIO, "cannot use the terminal");
    hidden = shown;
    hidden.c_lflag &= (tcflag_t)~ECHO;
    (void)hm_write_all(fd, prompt, strlen(prompt), NULL);
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    while (rc == 0) {
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == '\n')
            break;
        if (out->len == NEXUS_SECRET_MAX_BYTES)
            rc = hm_fail(&call->error, HM_ELIMIT, "the passphrase is longer than %d bytes",
                         NEXUS_SECRET_MAX_BYTES);
        else if (hm_buf_append(out, &c, 1))
            rc = nexus_no_memory(call);
    }
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    (void)hm_write_all(fd, "\n", 1, NULL);
    if (rc == 0 && got < 0)
        rc = hm_fail_errno(&call->error, HM_EIO, "cannot read the terminal");
    return rc;
}

static int type_secret(struct nexus_call *call, bool twice, struct hm_buf *out)
{
    HM_CLEANUP(nexus_secret) struct hm_buf again = {0};
    HM_AUTOCLOSE int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    int rc;

    if (fd < 0)
        return hm_fail(&call->error, HM_EINVAL,
                       "there is no terminal to ask for the passphrase; give --passphrase-file");
    /* Room for all of it at once: growing would leave copies behind. */
    if (hm_buf_reserve(out, NEXUS_SECRET_MAX_BYTES + 1) ||
        hm_buf_reserve(&again, NEXUS_SECRET_MAX_BYTES + 1))
        return nexus_no_memory(call);
    rc = type_line(call, fd, "passphrase: ", out);
    if (rc == 0 && twice)
        rc = type_line(call, fd, "once more:  ", &again);
    if (rc == 0 && twice && !hm_slice_equal(hm_buf_slice(out), hm_buf_slice(&again)))
        rc = hm_fail(&call->error, HM_EINVAL, "the two passphrases differ");
    return rc;
}

int nexus_secret_read(struct nexus_call *call, bool twice, struct hm_buf *out)
{
    const char *file = nexus_value(call, "passphrase-file");
    int rc = file ? hm_file_read(file, NEXUS_SECRET_MAX_BYTES + 2, out, &call->error)
                  : type_secret(call, twice, out);

    while (rc == 0 && file && out->len > 0 &&
           (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
        out->len--;
    if (rc == 0 && out->len == 0)
        rc = hm_fail(&call->error, HM_EINVAL, "the passphrase is empty");
    return rc;
}
