/* After a crash of the node: everything a job may have left follows from its id and its folder. */
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "runtime_sandbox.h"

#define REAP_WAIT_MS 2000

/* The OCI runtime of that job may still be alive, even about to start the container. Its command line
 * ends with the job's id, so a number that was given to another process since is not mistaken. */
static void reap_runtime(const char *id, const char *dir)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int fd = -1;
    char path[RUNTIME_PATH_MAX_BYTES];
    uint64_t pid = 0;
    size_t len = strlen(id);

    if (runtime_path_join(path, sizeof(path), dir, "runtime.pid", NULL) != 0 ||
        hm_file_read(path, 32, &text, NULL) != 0)
        return;
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (hm_u64_parse(hm_buf_cstr(&text), &pid, NULL) != 0 || pid < 2 || pid > INT32_MAX)
        return;
    fd = pidfd_open((pid_t)pid, 0);
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    hm_buf_clear(&text);
    if (fd < 0 || hm_file_read(path, 65536, &text, NULL) != 0 || text.len < len + 2 ||
        memcmp(text.data + text.len - len - 1, id, len) != 0 || text.data[text.len - len - 2] != 0)
        return;
    (void)kill(-(pid_t)pid, SIGKILL); /* what it started; it leads a session of its own */
    (void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
    for (int i = 0; i < REAP_WAIT_MS / 10; i++) {
        const struct timespec pause = {.tv_nsec = 10000000};

        if (pidfd_send_signal(fd, 0, NULL, 0) != 0)
            return;
        (void)nanosleep(&pause, NULL);
    }
}

int runtime_job_reap(const struct runtime_machine *machine, const char *id, const char *dir,
                     struct hm_error *error)
{
    struct runtime_cgroup_host host;
    int rc = runtime_job_id_check(id, error);

    if (rc == 0)
        rc = runtime_host_path_check(dir, "the job's folder", error);
    if (rc == 0)
        rc = runtime_cgroup_host_read(&host, error);
    if (rc != 0)
        return rc;
    reap_runtime(id, dir);
    return runtime_sandbox_clear(machine, &host, id, dir, error);
}
