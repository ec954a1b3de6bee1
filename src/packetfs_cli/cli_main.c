/* From the command line to a verb and back: set-up, errors, exit codes. */
#include "cli.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum cli_exit cli_exit_of(int error_code)
{
    switch (error_code) {
    case 0:
        return CLI_EXIT_OK;
    case PACKETFS_EINVAL:
        return CLI_EXIT_USAGE;
    case PACKETFS_EUNAVAILABLE:
    case PACKETFS_ETIMEOUT:
        return CLI_EXIT_UNREACHABLE;
    case PACKETFS_ENOTFOUND:
        return CLI_EXIT_NOT_FOUND;
    case PACKETFS_EPERM:
    case PACKETFS_EAUTH:
    case PACKETFS_EEXIST:
    case PACKETFS_ECONFLICT:
    case PACKETFS_EBUSY:
        return CLI_EXIT_REFUSED;
    case PACKETFS_ECORRUPT:
    case PACKETFS_EPARSE:
        return CLI_EXIT_DAMAGED;
    case PACKETFS_ECANCELLED:
        return CLI_EXIT_INTERRUPTED;
    default:
        return CLI_EXIT_FAILED;
    }
}

/* https://no-color.org */
static bool want_color(const struct cli_call *call)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color != NULL && no_color[0] != '\0') &&
           !(term != NULL && strcmp(term, "dumb") == 0) && !cli_has(call, "no-color");
}

static int call_verb(struct cli_call *call)
{
    const char *format = cli_value(call, "format");

    if (cli_has(call, "version"))
        return printf("packetfs %s\n", HM_VERSION) < 0 ? CLI_EXIT_FAILED : 0;
    if (cli_has(call, "help")) {
        if (call->verb != NULL)
            cli_help_verb(call->verb, stdout);
        else
            cli_help_all(stdout);
        return 0;
    }
    if (call->verb == NULL) {
        cli_help_all(stderr);
        return CLI_EXIT_USAGE;
    }
    call->json = format != NULL && strcmp(format, "json") == 0;
    call->color = want_color(call);
    return call->verb->run(call);
}

static void say_error(const struct cli_call *call, bool understood)
{
    cli_say("%s",
            call->error.text[0] != '\0' ? call->error.text : "it failed, and no reason is known");
    if (!understood && call->verb != NULL)
        (void)fprintf(stderr, "hint: packetfs help %s\n", call->verb->name);
    else if (!understood)
        (void)fputs("hint: packetfs help\n", stderr);
    else if (call->hint != NULL)
        (void)fprintf(stderr, "hint: %s\n", call->hint);
}

int cli_main(int argc, char **argv)
{
    struct cli_call call = {0};
    bool understood;
    int rc;

    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error like others */
    rc = cli_line_parse(&call, argc, argv);
    understood = rc == 0;
    if (understood)
        rc = call_verb(&call);
    if (rc < 0)
        say_error(&call, understood);
    packetfs_volume_close(call.volume);
    if (call.passphrase.data != NULL)
        hm_wipe(call.passphrase.data, call.passphrase.cap);
    hm_buf_release(&call.passphrase);
    hm_buf_release(&call.findings);
    hm_free(call.given);
    hm_free(call.operands);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0) {
        cli_say("cannot write to standard output");
        rc = CLI_EXIT_FAILED;
    }
    return rc < 0 ? (int)cli_exit_of(rc) : rc;
}
