/* Reads a message's bytes against its descriptor without building anything. */
#ifndef HM_WIRE_SCAN_H
#define HM_WIRE_SCAN_H

#include <protobuf-c/protobuf-c.h>

#include "base.h"

/* Everything wire_unpack promises to refuse, found before a byte is allocated: the generated
 * unpacker recurses as deep as its input says, keeps unknown fields, merges repeated singular
 * fields, cuts wide numbers and does not look at UTF-8. 0 or HM_EPARSE. */
int wire_scan(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
              struct hm_error *error);

#endif
