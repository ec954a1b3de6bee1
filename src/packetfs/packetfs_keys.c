#include "packetfs_keys.h"
