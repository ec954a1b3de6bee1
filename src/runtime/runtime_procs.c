#include "runtime_procs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t procs_memory_of(pid_t pid)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[64];
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (hm_file_read(path, 65536, &text, NULL) == 0) {
        at = strstr(hm_buf_cstr(&text), "\nPss:");
        if (at != NULL)
            return strtoull(at + 5, NULL, 10) * 1024;
    }
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    hm_buf_clear(&text);
    if (hm_file_read(path, 4096, &text, NULL) != 0)
        return 0;
    at = strchr(hm_buf_cstr(&text), ' ');
    return at != NULL ? strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Appends the children of every thread of pid. */
static void procs_children(pid_t pid, struct hm_buf *pids)
{
    char path[64];
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (tasks == NULL)
        return;
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        char file[384];
        char *at, *end;

        snprintf(file, sizeof(file), "/proc/%d/task/%s/children", (int)pid, task->d_name);
        if (task->d_name[0] == '.' || hm_file_read(file, (size_t)1 << 20, &text, NULL) != 0 ||
            hm_buf_append(&text, "", 1) != 0)
            continue;
        at = (char *)text.data;
        for (long child = strtol(at, &end, 10); end != at; child = strtol(at, &end, 10)) {
            pid_t one = (pid_t)child;

            at = end;
            if (pids->len / sizeof(one) < RUNTIME_PROCS_MAX)
                (void)hm_buf_append(pids, &one, sizeof(one));
        }
    }
    closedir(tasks);
}

uint64_t runtime_procs_memory(pid_t first)
{
    HM_CLEANUP(hm_buf) struct hm_buf pids = {0};
    uint64_t total = 0;

    if (hm_buf_append(&pids, &first, sizeof(first)) != 0)
        return 0;
    for (size_t at = 0; at < pids.len; at += sizeof(pid_t)) {
        pid_t pid;

        memcpy(&pid, pids.data + at, sizeof(pid));
        total += procs_memory_of(pid);
        procs_children(pid, &pids);
    }
    return total;
}
