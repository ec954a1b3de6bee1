/* backup create, verify, restore. The daemon's program does the work: it alone knows what the files mean. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nexus_daemon.h"
#include "nexus_secret.h"
#include "nexus_verbs.h"

static int table_created(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    nexus_fact(&table, "backup", nexus_json_text(reply, "path"));
    nexus_fact(&table, "size", nexus_show_size(nexus_json_u64(reply, "bytes"), call->arena));
    nexus_fact(&table, "up to block",
               nexus_json_cell(json_object_get(reply, "height"), call->arena));
    nexus_fact(&table, "state root", nexus_json_text(reply, "state_root"));
    return nexus_table_finish(call, &table, out);
}

static int run_create(struct nexus_call *call)
{
    HM_CLEANUP(nexus_secret) struct hm_buf secret = {0};
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *path = NULL;
    int rc = nexus_path_absolute(nexus_operand(call, 0), call->arena, &path, &call->error);

    if (!rc)
        rc = nexus_secret_read(call, true, &secret);
    if (!rc)
        rc = nexus_body_text(call, body, "path", path);
    if (!rc && json_object_set_new(body, "passphrase",
                                   json_stringn((const char *)secret.data, secret.len)) != 0)
        rc = hm_fail(&call->error, HM_EINVAL, "the passphrase is not UTF-8");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/backup");
    return rc ? rc : nexus_show(call, reply, table_created);
}

static const struct nexus_option create_options[] = {NEXUS_SECRET_OPTION};

const struct nexus_verb verb_backup_create = {
    .group = "backup",
    .name = "create",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Write an encrypted backup of the running node",
    .text =
        "It holds the ledger, the records of jobs and the keys. Images and the plot are not in\n"
        "it: images are imported again, the plot is made again from what the ledger says.",
    .options = create_options,
    .option_count = HM_COUNT_OF(create_options),
    .run = run_create};

/* --- verify, restore ------------------------------------------------------------------------- */

/* The passphrase goes through a pipe, never through an argument. */
static int feed(struct nexus_call *call, int fd, const struct hm_buf *secret)
{
    int rc = hm_write_all(fd, secret->data, secret->len, &call->error);

    if (rc && errno == EPIPE)
        rc = 0; /* it ended before it read; its exit status says why */
    return rc;
}

static int wait_for(struct nexus_call *call, pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return hm_fail_errno(&call->error, HM_EIO, "cannot wait for %s", NEXUS_DAEMON_NAME);
    if (WIFSIGNALED(status))
        return hm_fail(&call->error, HM_EIO, "%s was ended by signal %d", NEXUS_DAEMON_NAME,
                       WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? 0 : NEXUS_EXIT_FAILED; /* it has said why */
}

static int spawn(struct nexus_call *call, char *const *argv, int input, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);

    if (failed)
        return nexus_no_memory(call);
    failed = posix_spawn_file_actions_adddup2(&actions, input, 0);
    if (!failed)
        failed = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (!failed)
        return 0;
    errno = failed;
    return hm_fail_errno(&call->error, HM_EIO, "cannot start %s", argv[0]);
}

static int daemon_do(struct nexus_call *call, const char *action, const char *data)
{
    HM_CLEANUP(nexus_secret) struct hm_buf secret = {0};
    HM_AUTOCLOSE int out = -1;
    HM_AUTOCLOSE int in = -1;
    const char *program = NULL;
    const char *file = NULL;
    const char *argv[7] = {0};
    int ends[2];
    pid_t pid = 0;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc)
        rc = nexus_path_absolute(nexus_operand(call, 0), call->arena, &file, &call->error);
    if (!rc)
        rc = nexus_secret_read(call, false, &secret);
    if (rc)
        return rc;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return hm_fail_errno(&call->error, HM_EIO, "cannot make a pipe");
    in = ends[0];
    out = ends[1];
    argv[0] = program;
    argv[1] = action;
    argv[2] = file;
    argv[3] = data ? "--data" : NULL;
    argv[4] = data;
    argv[5] = data && nexus_has(call, "validator") ? "--restore-validator" : NULL;
    rc = spawn(call, (char *const *)(uintptr_t)argv, in, &pid);
    if (rc)
        return rc;
    hm_fd_release(&in);
    rc = feed(call, out, &secret);
    hm_fd_release(&out);
    if (rc)
        (void)kill(pid, SIGTERM);
    return rc ? (void)wait_for(call, pid), rc : wait_for(call, pid);
}

static const struct nexus_option secret_options[] = {NEXUS_SECRET_OPTION};

static int run_verify(struct nexus_call *call)
{
    return daemon_do(call, "--backup-verify", NULL);
}

const struct nexus_verb verb_backup_verify = {
    .group = "backup",
    .name = "verify",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Check a backup: every byte, and the whole ledger in it by replaying it",
    .options = secret_options,
    .option_count = HM_COUNT_OF(secret_options),
    .run = run_verify};

static int run_restore(struct nexus_call *call)
{
    return daemon_do(call, "--backup-restore", call->place.data_dir);
}

static const struct nexus_option restore_options[] = {
    NEXUS_SECRET_OPTION,
    {.name = "validator",
     .help = "of a cluster's node: with its validator's key; the node it was must never run again"},
};

const struct nexus_verb verb_backup_restore = {
    .group = "backup",
    .name = "restore",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Make a node's data folder (--data) from a backup",
    .text =
        "The folder must not hold a node yet. `nexus up` starts it afterwards. Never run the old\n"
        "node and the restored one at once: they are the same node. A cluster's node is restored\n"
        "with new keys, so that it votes on nothing, and begins with a snapshot of its cluster\n"
        "(docs/cluster.md).",
    .options = restore_options,
    .option_count = HM_COUNT_OF(restore_options),
    .run = run_restore};
