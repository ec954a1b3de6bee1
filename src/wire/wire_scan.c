#include "wire_scan.h"

#include "wire.h"
#include "wire_text.h"

/* Where the scan stands in one message. */
struct scan {
    const ProtobufCMessageDescriptor *descriptor;
    const uint8_t *at;
    const uint8_t *end;
    unsigned depth;
    struct hm_error *error;
};

#define SCAN_MAX_FIELDS 64 /* fields of one message type; one bit each in `seen` */

static int scan_message(struct scan *scan);

static int scan_fail(struct scan *scan, const ProtobufCFieldDescriptor *field, const char *what)
{
    return hm_fail(scan->error, HM_EPARSE, "message %s%s%s: %s", scan->descriptor->short_name,
                   field ? ", field " : "", field ? field->name : "", what);
}

static int scan_varint(struct scan *scan, const ProtobufCFieldDescriptor *field, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (scan->at == scan->end)
            return scan_fail(scan, field, "ends inside a number");
        byte = *scan->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return 0;
        }
    }
    return scan_fail(scan, field, "number longer than 64 bits");
}

static ProtobufCWireType wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* A number wider than its field would be cut by one reader and kept by another. */
static bool scan_fits(ProtobufCType type, uint64_t value)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        return value <= 1;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SINT32:
        return value <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: /* negative ones travel as 64 bits */
        return value <= INT32_MAX || value >= (uint64_t)(int64_t)INT32_MIN;
    default:
        return true;
    }
}

static int scan_scalar(struct scan *scan, const ProtobufCFieldDescriptor *field)
{
    ProtobufCWireType wire = wire_type_of(field->type);
    uint64_t value = 0;
    size_t size;
    int rc;

    if (wire == PROTOBUF_C_WIRE_TYPE_VARINT) {
        rc = scan_varint(scan, field, &value);
        if (rc)
            return rc;
        return scan_fits(field->type, value) ? 0 : scan_fail(scan, field, "number too large");
    }
    size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
    if ((size_t)(scan->end - scan->at) < size)
        return scan_fail(scan, field, "ends inside a number");
    scan->at += size;
    return 0;
}

/* What stands between at and end belongs to one length-prefixed field. */
static int scan_content(struct scan *scan, const ProtobufCFieldDescriptor *field,
                        struct hm_slice content)
{
    struct scan inner = {.descriptor = scan->descriptor,
                         .at = content.data,
                         .end = content.data + content.len,
                         .depth = scan->depth,
                         .error = scan->error};

    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return 0;
    case PROTOBUF_C_TYPE_STRING:
        if (!wire_text_valid(content))
            return scan_fail(scan, field, "text is not UTF-8, or holds a NUL");
        return 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        inner.descriptor = field->descriptor;
        inner.depth++;
        return scan_message(&inner);
    default: /* packed numbers */
        while (inner.at < inner.end) {
            int rc = scan_scalar(&inner, field);

            if (rc)
                return rc;
        }
        return 0;
    }
}

/* A singular field given twice, or two members of one oneof: readers differ in what they keep. */
static int scan_once(struct scan *scan, const ProtobufCFieldDescriptor *field, uint64_t *seen)
{
    const ProtobufCFieldDescriptor *fields = scan->descriptor->fields;
    uint64_t bit = 1ULL << (field - fields);

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return 0;
    if (*seen & bit)
        return scan_fail(scan, field, "given twice");
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        for (unsigned i = 0; i < scan->descriptor->n_fields; i++)
            if ((*seen & 1ULL << i) && (fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                fields[i].quantifier_offset == field->quantifier_offset)
                return scan_fail(scan, field, "given beside its alternative");
    *seen |= bit;
    return 0;
}

static int scan_field(struct scan *scan, uint64_t *seen)
{
    const ProtobufCFieldDescriptor *field;
    struct hm_slice content;
    uint64_t tag = 0;
    uint64_t len = 0;
    unsigned wire;
    int rc = scan_varint(scan, NULL, &tag);

    if (rc)
        return rc;
    wire = tag & 7;
    field = tag >> 3 > INT32_MAX
                ? NULL
                : protobuf_c_message_descriptor_get_field(scan->descriptor, (unsigned)(tag >> 3));
    if (!field)
        return hm_fail(scan->error, HM_EPARSE,
                       "message %s has no field number %llu: made for a newer version, or not "
                       "this kind of message",
                       scan->descriptor->short_name, (unsigned long long)(tag >> 3));
    rc = scan_once(scan, field, seen);
    if (rc)
        return rc;
    if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        if (wire_type_of(field->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
            field->label != PROTOBUF_C_LABEL_REPEATED)
            return scan_fail(scan, field, "of the wrong type");
        rc = scan_varint(scan, field, &len);
        if (rc)
            return rc;
        if (len > (uint64_t)(scan->end - scan->at))
            return scan_fail(scan, field, "longer than the message that holds it");
        content = hm_slice_of(scan->at, (size_t)len);
        scan->at += len;
        return scan_content(scan, field, content);
    }
    if (wire != (unsigned)wire_type_of(field->type))
        return scan_fail(scan, field, "of the wrong type");
    if (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) /* packed is shorter, and one way is enough */
        return scan_fail(scan, field, "a list of numbers that is not packed");
    return scan_scalar(scan, field);
}

static int scan_message(struct scan *scan)
{
    uint64_t seen = 0;

    if (scan->depth > WIRE_MAX_NESTING)
        return hm_fail(scan->error, HM_EPARSE, "message %s: nested deeper than %d levels",
                       scan->descriptor->short_name, WIRE_MAX_NESTING);
    if (scan->descriptor->n_fields > SCAN_MAX_FIELDS)
        return hm_fail(scan->error, HM_EINTERNAL, "message %s has more than %d fields",
                       scan->descriptor->short_name, SCAN_MAX_FIELDS);
    while (scan->at < scan->end) {
        int rc = scan_field(scan, &seen);

        if (rc)
            return rc;
    }
    return 0;
}

int wire_scan(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
              struct hm_error *error)
{
    struct scan scan = {.descriptor = descriptor, .depth = 1, .error = error};

    if (bytes.len == 0)
        return 0;
    scan.at = bytes.data;
    scan.end = bytes.data + bytes.len;
    return scan_message(&scan);
}
