#include "node_keep.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum node_keep_next node_keep_ended(struct node_keep *keep, int status, uint64_t lived_ms)
{
    bool settled = lived_ms >= NODE_KEEP_SETTLED_MS;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NODE_KEEP_DONE;
    keep->ran |= settled || WIFSIGNALED(status);
    if (!keep->ran || (WIFEXITED(status) && WEXITSTATUS(status) == NODE_KEEP_EXIT_USAGE))
        return NODE_KEEP_GIVES_UP; /* it says why by itself, and nobody has seen it work */
    keep->quick = settled ? 0 : keep->quick + 1;
    if (keep->quick >= NODE_KEEP_QUICK_MAX)
        return NODE_KEEP_GIVES_UP;
    if (settled || keep->pause_ms == 0)
        keep->pause_ms = NODE_KEEP_PAUSE_MIN_MS;
    else
        keep->pause_ms = keep->pause_ms > NODE_KEEP_PAUSE_MAX_MS / 2 ? NODE_KEEP_PAUSE_MAX_MS
                                                                     : 2 * keep->pause_ms;
    return NODE_KEEP_AGAIN;
}

void node_keep_how(int status, char out[NODE_KEEP_HOW_BYTES])
{
    if (WIFSIGNALED(status))
        snprintf(out, NODE_KEEP_HOW_BYTES, "signal %d", WTERMSIG(status));
    else
        snprintf(out, NODE_KEEP_HOW_BYTES, "exit status %d", WEXITSTATUS(status));
}

const char *node_keep_why(int status)
{
    switch (WIFSIGNALED(status) ? WTERMSIG(status) : 0) {
    case SIGBUS:
        return " (a file that it reads as memory cannot be read: its disk fails, or the file was "
               "cut short)";
    case SIGSEGV:
        return " (a fault of the program, or a damaged file of its folder)";
    case SIGKILL:
        return " (by a person, or by the kernel for want of memory)";
    default:
        return "";
    }
}
