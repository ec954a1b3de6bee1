/* What the two files of the checks share. */
#ifndef STOQ_CHECK_PARTS_H
#define STOQ_CHECK_PARTS_H

#include "stoq_check.h"

/* The record of a connection; made when it is seen first. ctx is that of the node's handlers. */
struct check_end *check_end_of(void *ctx, struct stoq_conn *conn);
/* A server's end learns which pair it belongs to. False: it may belong to none, and is closed. */
bool check_bind(struct check_end *end, struct check_pair *pair);
struct stoq_handlers check_stream_handlers(void);
void check_pieces(struct check *check);
void check_pieces_free(struct check *check);

#endif
