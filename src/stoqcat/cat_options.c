/* The command line. */
#include <getopt.h>
#include <stdio.h>

#include "cat.h"

static const char help[] =
    "Usage: stoqcat [OPTIONS] ADDRESS             connect\n"
    "       stoqcat --listen [OPTIONS] ADDRESS    take one connection\n"
    "       stoqcat --identity-new NAME --cert FILE --key FILE\n"
    "\n"
    "Carries standard input to the peer and what the peer sends to standard output, over one\n"
    "bidirectional stream. ADDRESS is [::1]:4433, 10.0.0.1:4433 or an address alone.\n"
    "\n"
    "  -l, --listen          wait for a peer\n"
    "  -u, --datagrams       each line or block read is one datagram; none is sent again\n"
    "      --cert FILE       our certificate chain, PEM\n"
    "      --key FILE        its private key, PEM\n"
    "      --ca FILE         authorities whose certificates are taken, PEM\n"
    "      --pin FILE        take exactly this certificate, PEM\n"
    "      --any-client      with --listen: also take peers that show no certificate\n"
    "      --name NAME       the peer's name (default: its address)\n"
    "      --alpn NAME       application protocol (default: stoqcat)\n"
    "      --tag TEXT        the stream's permission tag; a listener takes only this one\n"
    "      --timeout S       seconds for the connection to come up (default: 10)\n"
    "      --qlog FOLDER     write what the connection does to a file in FOLDER\n"
    "      --identity-new NAME\n"
    "                        write a new key and a certificate for NAME that signs itself\n"
    "  -v, --verbose         tell on standard error what happens\n"
    "      --version\n"
    "  -h, --help\n"
    "\n"
    "Exit codes: 0 all was carried, 1 input, output or memory failed, 2 wrong command line,\n"
    "3 nobody answered or the connection broke off, 5 a certificate or a tag was refused.\n"
    "\n"
    "Examples:\n"
    "  stoqcat --identity-new a --cert a.pem --key a.key\n"
    "  stoqcat --listen --cert a.pem --key a.key --pin b.pem '[::1]:4433' > file\n"
    "  stoqcat --cert b.pem --key b.key --pin a.pem '[::1]:4433' < file\n";

const char *cat_help(void)
{
    return help;
}

enum option_code {
    OPTION_CERT = 256,
    OPTION_KEY,
    OPTION_CA,
    OPTION_PIN,
    OPTION_ANY,
    OPTION_NAME,
    OPTION_ALPN,
    OPTION_TAG,
    OPTION_TIMEOUT,
    OPTION_QLOG,
    OPTION_IDENTITY,
    OPTION_VERSION,
};

static const struct option table[] = {
    {"listen", no_argument, NULL, 'l'},
    {"datagrams", no_argument, NULL, 'u'},
    {"cert", required_argument, NULL, OPTION_CERT},
    {"key", required_argument, NULL, OPTION_KEY},
    {"ca", required_argument, NULL, OPTION_CA},
    {"pin", required_argument, NULL, OPTION_PIN},
    {"any-client", no_argument, NULL, OPTION_ANY},
    {"name", required_argument, NULL, OPTION_NAME},
    {"alpn", required_argument, NULL, OPTION_ALPN},
    {"tag", required_argument, NULL, OPTION_TAG},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"qlog", required_argument, NULL, OPTION_QLOG},
    {"identity-new", required_argument, NULL, OPTION_IDENTITY},
    {"verbose", no_argument, NULL, 'v'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int timeout_parse(const char *text, int *out_ms, struct stoq_error *error)
{
    int seconds = 0;

    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || seconds > CAT_TIMEOUT_S_MAX)
            seconds = CAT_TIMEOUT_S_MAX + 1;
        else
            seconds = seconds * 10 + (*at - '0');
    }
    if (seconds < 1 || seconds > CAT_TIMEOUT_S_MAX) {
        error->code = STOQ_EINVAL;
        (void)snprintf(error->text, sizeof(error->text), "--timeout takes 1 to %d seconds",
                       CAT_TIMEOUT_S_MAX);
        return STOQ_EINVAL;
    }
    *out_ms = seconds * 1000;
    return 0;
}

static int set(struct cat_options *options, int code, const char *value, struct stoq_error *error)
{
    const char **texts[] = {
        [OPTION_CERT - OPTION_CERT] = &options->cert,
        [OPTION_KEY - OPTION_CERT] = &options->key,
        [OPTION_CA - OPTION_CERT] = &options->ca,
        [OPTION_PIN - OPTION_CERT] = &options->pin,
        [OPTION_NAME - OPTION_CERT] = &options->name,
        [OPTION_ALPN - OPTION_CERT] = &options->alpn,
        [OPTION_TAG - OPTION_CERT] = &options->tag,
        [OPTION_QLOG - OPTION_CERT] = &options->qlog,
        [OPTION_IDENTITY - OPTION_CERT] = &options->identity_new,
    };

    switch (code) {
    case 'l':
        options->listen = true;
        return 0;
    case 'u':
        options->datagrams = true;
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    case OPTION_VERSION:
        options->version = true;
        return 0;
    case OPTION_ANY:
        options->any_client = true;
        return 0;
    case OPTION_TIMEOUT:
        return timeout_parse(value, &options->timeout_ms, error);
    default:
        *texts[code - OPTION_CERT] = value;
        return 0;
    }
}

/* What does not go together; NULL: all is well. */
static const char *contradiction(const struct cat_options *o)
{
    if ((o->cert != NULL) != (o->key != NULL))
        return "--cert and --key go together";
    if (o->identity_new != NULL)
        return o->cert == NULL      ? "--identity-new needs --cert and --key: where to write"
               : o->address != NULL ? "--identity-new takes no address"
                                    : NULL;
    if (o->address == NULL)
        return "an address is missing, such as [::1]:4433; see stoqcat --help";
    if (o->listen && o->cert == NULL)
        return "--listen needs --cert and --key; stoqcat --identity-new makes them";
    if (o->ca != NULL && o->pin != NULL)
        return "--ca and --pin exclude each other";
    if (o->any_client && !o->listen)
        return "--any-client is for --listen";
    if (o->ca == NULL && o->pin == NULL && !o->any_client)
        return "whom to trust? name --ca FILE or --pin FILE";
    if (o->tag != NULL && strlen(o->tag) > STOQ_TAG_BYTES_MAX)
        return "--tag takes at most 255 bytes";
    if (o->tag != NULL && o->datagrams)
        return "--tag is for streams; datagrams have none";
    return NULL;
}

int cat_options_parse(struct cat_options *out, int argc, char **argv, struct stoq_error *error)
{
    struct cat_options options = {.alpn = "stoqcat", .timeout_ms = CAT_TIMEOUT_S_DEFAULT * 1000};
    const char *wrong = NULL;
    int code;

    optind = 0; /* tests call this more than once */
    opterr = 0;
    while ((code = getopt_long(argc, argv, ":luvh", table, NULL)) != -1) {
        if (code == '?' || code == ':')
            wrong = code == '?' ? "unknown option" : "a value is missing";
        else if (set(&options, code, optarg, error) != 0)
            return STOQ_EINVAL;
        if (wrong != NULL) {
            error->code = STOQ_EINVAL;
            (void)snprintf(error->text, sizeof(error->text), "%s: %.64s", wrong, argv[optind - 1]);
            return STOQ_EINVAL;
        }
    }
    if (optind < argc)
        options.address = argv[optind++];
    if (!options.help && !options.version)
        wrong = optind < argc ? "only one address is taken" : contradiction(&options);
    if (wrong != NULL) {
        error->code = STOQ_EINVAL;
        (void)snprintf(error->text, sizeof(error->text), "%s", wrong);
        return STOQ_EINVAL;
    }
    *out = options;
    return 0;
}
