/* Identities for tests: always the same ones. */
#ifndef PEOPLE_WORLD_H
#define PEOPLE_WORLD_H

#include "access/packetfs_identity.h"

/* Whose secret is this byte, 32 times; for packetfs_identity_close. */
struct packetfs_identity *identity_of(uint8_t number, const char *name);

#endif
