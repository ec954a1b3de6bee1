#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

const char *cli_volume_dir(struct cli_call *call)
{
    const char *dir = cli_value(call, "volume");

    if (dir == NULL)
        dir = getenv("PACKETFS_VOLUME");
    if (dir == NULL || dir[0] == '\0') {
        (void)cli_fail(call, PACKETFS_EINVAL, "which volume? -V DIR or PACKETFS_VOLUME names it");
        return NULL;
    }
    return dir;
}

/* One line from the terminal; what is typed is not shown. */
static int type_line(struct cli_call *call, int fd, const char *prompt, struct hm_buf *out)
{
    struct termios shown, hidden;
    ssize_t got = 0;
    int rc = 0;
    char c;

    if (tcgetattr(fd, &shown) != 0)
        return cli_fail(call, PACKETFS_EIO, "cannot use the terminal");
    hidden = shown;
    hidden.c_lflag &= (tcflag_t)~ECHO;
    /* First: what is typed as soon as the prompt shows is neither shown nor lost. */
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    (void)hm_write_all(fd, prompt, strlen(prompt), NULL);
    while (rc == 0) {
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == '\n')
            break;
        if (out->len == CLI_PASSPHRASE_MAX_BYTES)
            rc = cli_fail(call, PACKETFS_ELIMIT, "the passphrase is longer than %d bytes",
                          CLI_PASSPHRASE_MAX_BYTES);
        else
            rc = hm_buf_append(out, &c, 1) != 0 ? cli_no_memory(call) : 0;
    }
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    (void)hm_write_all(fd, "\n", 1, NULL);
    if (rc == 0 && got < 0)
        rc = cli_fail(call, PACKETFS_EIO, "cannot read the terminal");
    return rc;
}

static void wiped(struct hm_buf *buf)
{
    if (buf->data != NULL)
        hm_wipe(buf->data, buf->cap);
    hm_buf_release(buf);
}

static int type_passphrase(struct cli_call *call, bool twice)
{
    HM_AUTOCLOSE int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct hm_buf again = {0};
    int rc;

    if (fd < 0)
        return cli_fail(call, PACKETFS_EINVAL,
                        "there is no terminal to ask for the passphrase; give --passphrase-file");
    /* Room for all of it at once: growing would leave copies behind. */
    if (hm_buf_reserve(&call->passphrase, CLI_PASSPHRASE_MAX_BYTES + 1) != 0 ||
        hm_buf_reserve(&again, CLI_PASSPHRASE_MAX_BYTES + 1) != 0) {
        wiped(&again);
        return cli_no_memory(call);
    }
    rc = type_line(call, fd, "passphrase: ", &call->passphrase);
    if (rc == 0 && twice)
        rc = type_line(call, fd, "once more:  ", &again);
    if (rc == 0 && twice && !hm_slice_equal(hm_buf_slice(&call->passphrase), hm_buf_slice(&again)))
        rc = cli_fail(call, PACKETFS_EINVAL, "the two passphrases differ");
    wiped(&again);
    return rc;
}

/* The file's bytes without the line end behind them. */
static int read_passphrase(struct cli_call *call, const char *file)
{
    struct hm_buf *out = &call->passphrase;
    struct hm_error why = {0};

    if (hm_buf_reserve(out, CLI_PASSPHRASE_MAX_BYTES + 3) != 0)
        return cli_no_memory(call);
    if (hm_file_read(file, CLI_PASSPHRASE_MAX_BYTES + 2, out, &why) != 0)
        return cli_fail(call, why.code, "%s", why.text);
    while (out->len > 0 && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
        out->len--;
    return 0;
}

static int passphrase_use(struct cli_call *call)
{
    struct hm_buf *secret = &call->passphrase;

    if (secret->len == 0)
        return cli_fail(call, PACKETFS_EINVAL, "the passphrase is empty");
    if (memchr(secret->data, '\0', secret->len) != NULL)
        return cli_fail(call, PACKETFS_EINVAL, "there is a NUL byte in the passphrase");
    if (hm_buf_append(secret, "", 1) != 0)
        return cli_no_memory(call);
    call->unlock.passphrase = (const char *)secret->data;
    return 0;
}

int cli_unlock(struct cli_call *call, bool twice)
{
    const char *file = cli_value(call, "passphrase-file");
    int rc = 0;

    call->unlock.key_file = cli_value(call, "key-file");
    call->unlock.key_dir = cli_value(call, "key-dir");
    if (call->unlock.key_file != NULL && (file != NULL || cli_has(call, "passphrase")))
        return cli_fail(call, PACKETFS_EINVAL, "a key file or a passphrase, not both");
    if (file != NULL)
        rc = read_passphrase(call, file);
    else if (cli_has(call, "passphrase"))
        rc = type_passphrase(call, twice);
    else {
        if (call->unlock.key_file == NULL)
            call->unlock.identity_file = cli_value(call, "identity");
        return 0;
    }
    return rc != 0 ? rc : passphrase_use(call);
}

int cli_unlocked(struct cli_call *call, int (*work)(struct cli_call *call, void *ctx), void *ctx)
{
    int rc = work(call, ctx);

    if (rc != PACKETFS_EAUTH || call->unlock.identity_file == NULL)
        return rc;
    call->unlock.identity_file = NULL;
    return work(call, ctx);
}

int cli_volume(struct cli_call *call, bool read_only)
{
    const char *dir = cli_volume_dir(call);
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = cli_unlock(call, false);
    if (rc != 0)
        return rc;
    rc = packetfs_volume_open(dir, &call->unlock, read_only, &call->volume, &call->error);
    /* No key file opens it: perhaps a passphrase does. */
    if (rc == PACKETFS_EAUTH && call->unlock.passphrase == NULL && call->unlock.key_file == NULL &&
        call->unlock.identity_file == NULL && isatty(STDIN_FILENO)) {
        rc = type_passphrase(call, false);
        if (rc == 0)
            rc = passphrase_use(call);
        if (rc == 0)
            rc = packetfs_volume_open(dir, &call->unlock, read_only, &call->volume, &call->error);
    }
    if (rc == PACKETFS_EAUTH)
        call->hint = "--key-file, --key-dir, --identity or --passphrase-file says what opens it";
    if (rc == PACKETFS_ENOTFOUND)
        call->hint = "packetfs -V DIR init makes a volume";
    return rc;
}

int cli_snapshot(struct cli_call *call, const char *text, struct packetfs_snapshot *out,
                 const char **path)
{
    size_t len = strlen(text);
    char name[PACKETFS_LABEL_MAX_BYTES + 1];
    int rc = packetfs_find(call->volume, text, out, &call->error);

    if (path != NULL)
        *path = "";
    /* A label may hold colons itself: the longest name that is one counts. */
    while (rc == PACKETFS_ENOTFOUND && path != NULL && len-- > 1) {
        if (text[len] != ':' || len >= sizeof(name))
            continue;
        memcpy(name, text, len);
        name[len] = '\0';
        rc = packetfs_find(call->volume, name, out, &call->error);
        *path = text + len + 1;
    }
    if (rc == PACKETFS_ENOTFOUND)
        call->hint = "packetfs log lists the snapshots; one is named by 4 or more digits of its "
                     "id, by its label, or \"latest\"";
    return rc;
}
