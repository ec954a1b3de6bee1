/* Copies of unpacked accounts. */
#ifndef HM_LEDGER_ACCOUNT_H
#define HM_LEDGER_ACCOUNT_H

#include "wire.h"

/* Bytes that a copy needs, a multiple of 16; 0: this account is not one to copy (a node's marks, lists of peers, very
 * many sessions), unpack it again. */
size_t ledger_account_copy_bytes(const Hypermesh__Account *account);
/* A copy that shares nothing with the account, in room of as many bytes, aligned as malloc does. */
Hypermesh__Account *ledger_account_copy(const Hypermesh__Account *account, void *room);

#endif
