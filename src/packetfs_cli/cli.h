/* The packetfs command. */
#ifndef HM_PACKETFS_CLI_H
#define HM_PACKETFS_CLI_H

int cli_main(int argc, char **argv);

#endif
