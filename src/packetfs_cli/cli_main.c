#include "cli.h"

#include <stdio.h>

int cli_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)fputs("packetfs: no verb is built yet\n", stderr);
    return 2;
}
