#include "powercut_run.h"

#include <dlfcn.h>
#include <libgen.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base.h"
#include "powercut_log.h"

#define ENV_MAX 256

extern char **environ;

/* Beside the tests' programs, in the build folder. */
static char *preload_path(void)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *path;

    assert_true(len > 0);
    self[len] = '\0';
    path = hm_asprintf("%s/unit/store/libpowercut.so", dirname(self));
    assert_int_equal(access(path, R_OK), 0);
    return path;
}

pid_t powercut_spawn(char *const argv[], char *const extra[])
{
    char *env[ENV_MAX];
    size_t count = 0;
    pid_t pid = -1;

    while (*extra && count < ENV_MAX - 1)
        env[count++] = *extra++;
    for (char **at = environ; *at && count < ENV_MAX - 1; at++)
        if (strncmp(*at, "ASAN_OPTIONS=", 13) != 0)
            env[count++] = *at;
    env[count] = NULL;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, env), 0);
    return pid;
}

int powercut_wait(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

int powercut_spawn_and_wait(char *const argv[], char *const extra[])
{
    return powercut_wait(powercut_spawn(argv, extra));
}

int powercut_run(char *const argv[], const char *folder, const char *log, const char *faults)
{
    HM_AUTOFREE char *library = preload_path();
    HM_AUTOFREE char *preload = hm_asprintf("LD_PRELOAD=%s", library);
    HM_AUTOFREE char *folder_is = hm_asprintf("POWERCUT_FOLDER=%s", folder);
    HM_AUTOFREE char *log_is = hm_asprintf("POWERCUT_LOG=%s", log);
    HM_AUTOFREE char *faults_are = hm_asprintf("POWERCUT_FAULTS=%s", faults);
    char asan[] = "ASAN_OPTIONS=verify_asan_link_order=0"; /* its library wants to come first */
    char *const extra[] = {preload, folder_is, log_is, faults_are, asan, NULL};
    int status = powercut_spawn_and_wait(argv, extra);

    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void powercut_promise(uint64_t n)
{
    powercut_mark_fn *mark = NULL;
    void *found = dlsym(RTLD_DEFAULT, "powercut_mark");

    memcpy(&mark, &found, sizeof(mark));
    if (mark)
        mark(n);
}
