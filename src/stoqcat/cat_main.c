/* Options to a host, a result to an exit code. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cat_signal.h"

void cat_say(const struct cat_options *options, const char *format, ...)
{
    va_list args;

    if (!options->verbose)
        return;
    (void)fputs("stoqcat: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void cat_host_of(const struct sockaddr_in6 *address, char out[STOQ_ADDRESS_TEXT_BYTES])
{
    char text[STOQ_ADDRESS_TEXT_BYTES];

    stoq_address_text(address, text);
    char *start = text[0] == '[' ? text + 1 : text;
    size_t len = strcspn(start, text[0] == '[' ? "]%" : ":");
    memcpy(out, start, len);
    out[len] = '\0';
}

int cat_configure(struct stoq_host_config *config, const struct cat_options *options,
                  struct cat_trust *trust, struct stoq_error *error)
{
    stoq_host_config_default(config);
    config->endpoint.identity = trust->identity;
    config->endpoint.verify = cat_trust_verify;
    config->endpoint.verify_ctx = trust;
    config->endpoint.server = options->listen;
    config->endpoint.client_certificates_optional = options->any_client;
    config->endpoint.alpn = options->alpn;
    config->endpoint.qlog_folder = options->qlog;
    config->endpoint.keep_alive_ns = 10000000000ULL; /* a user may think for longer than 30 s */
    return options->listen
               ? stoq_address_parse(options->address, CAT_PORT_DEFAULT, &config->bind, error)
               : 0;
}

/* Errors stand out where a person reads them; https://no-color.org */
static void complain(const char *text)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool colour = isatty(STDERR_FILENO) == 1 && (no_color == NULL || no_color[0] == '\0') &&
                  (terminal == NULL || strcmp(terminal, "dumb") != 0);

    (void)fprintf(stderr, "%sstoqcat: %s%s\n", colour ? "\033[31m" : "", text,
                  colour ? "\033[0m" : "");
}

static enum cat_exit exit_code(int code)
{
    switch (code) {
    case 0:
        return CAT_EXIT_OK;
    case STOQ_EINVAL:
    case STOQ_EPARSE:
        return CAT_EXIT_USAGE;
    case STOQ_ETIMEOUT:
    case STOQ_ECLOSED:
        return CAT_EXIT_UNREACHABLE;
    case STOQ_EAUTH:
    case STOQ_EPERM:
        return CAT_EXIT_REFUSED;
    default:
        return CAT_EXIT_FAILED;
    }
}

static int run(const struct cat_options *options, struct stoq_error *error)
{
    struct stoq_host_config config;
    struct cat_trust trust;

    if (options->identity_new != NULL)
        return cat_identity_new(options->identity_new, options->cert, options->key, error);
    int code = cat_trust_load(&trust, options, error);
    if (code != 0)
        return code;
    cat_signals_hold();
    code = cat_configure(&config, options, &trust, error);
    if (code == 0)
        code = options->datagrams ? cat_datagrams(options, &config, error)
                                  : cat_stream(options, &config, error);
    cat_trust_release(&trust);
    return code;
}

int cat_main(int argc, char **argv)
{
    struct cat_options options;
    struct stoq_error error = {0};

    (void)signal(SIGPIPE, SIG_IGN); /* output that nobody reads is an error like any other */
    if (cat_options_parse(&options, argc, argv, &error) != 0) {
        complain(error.text);
        return CAT_EXIT_USAGE;
    }
    if (options.help || options.version) {
        (void)fputs(options.help ? cat_help() : "stoqcat " HM_VERSION "\n", stdout);
        return fflush(stdout) == 0 ? CAT_EXIT_OK : CAT_EXIT_FAILED;
    }
    int code = run(&options, &error);
    if (cat_signal_taken() != 0)
        cat_signal_die(cat_signal_taken());
    if (code != 0)
        complain(error.text[0] != '\0' ? error.text : stoq_code_name(code));
    return (int)exit_code(code);
}
