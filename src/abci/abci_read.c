/* Reads a message by its generated descriptor. A block has up to 10^5 transactions and 100 MiB, so bytes are borrowed from
 * where they lie, and lists get their memory at once: the fields are gone through twice, to count and to fill. */
#include "abci_private.h"

#define READ_FIELDS_MAX 32 /* of one message type; one bit each */

struct reader {
    struct hm_arena *arena;
    struct hm_error *error;
};

/* One field as it came. */
struct read_field {
    const ProtobufCFieldDescriptor *field; /* NULL: none of ours, to be skipped */
    unsigned index;
    uint64_t number;
    struct hm_slice content;
};

static int read_message(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                        struct hm_slice bytes, ProtobufCMessage *out);

static int read_fail(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                     const char *what)
{
    return hm_fail(reader->error, HM_EPARSE, "message %s: %s", descriptor->short_name, what);
}

static void *read_alloc(const struct reader *reader, size_t size, int *rc)
{
    struct hm_arena *arena = reader->arena;
    void *memory = hm_arena_alloc(arena, size);

    if (memory != NULL)
        return memory;
    if (size > arena->limit || arena->used > arena->limit - size)
        *rc = hm_fail(reader->error, HM_ELIMIT, "a message unfolds to more than %zu bytes",
                      arena->limit);
    else
        *rc = hm_fail(reader->error, HM_ENOMEM, "no memory to read a message");
    return NULL;
}

static bool read_varint(struct hm_slice *rest, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned at = 0; at < rest->len && at < 10; at++) {
        uint8_t byte = rest->data[at];

        if (at == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * at);
        if (!(byte & 0x80)) {
            *rest = hm_slice_of(rest->data + at + 1, rest->len - at - 1);
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_content(struct hm_slice *rest, uint64_t len, struct hm_slice *out)
{
    if (len > rest->len)
        return false;
    *out = hm_slice_of(rest->data, (size_t)len);
    *rest = hm_slice_of(rest->data + len, rest->len - (size_t)len);
    return true;
}

static bool is_content(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_MESSAGE || type == PROTOBUF_C_TYPE_BYTES ||
           type == PROTOBUF_C_TYPE_STRING;
}

static bool fits(ProtobufCType type, uint64_t value)
{
    switch (type) {
    case PROTOBUF_C_TYPE_UINT32:
        return value <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: /* negative ones travel as 64 bits */
        return value <= INT32_MAX || value >= (uint64_t)(int64_t)INT32_MIN;
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return true;
    default: /* requests have no other numbers */
        return false;
    }
}

/* Takes one field off rest. */
static int read_next(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice *rest, struct read_field *out)
{
    uint64_t tag, number = 0;
    struct hm_slice content = {0};
    unsigned wire;
    bool whole = read_varint(rest, &tag);

    if (!whole || tag >> 3 == 0 || tag >> 3 > INT32_MAX)
        return read_fail(reader, descriptor, "a field's tag is malformed");
    wire = tag & 7;
    out->field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
    if (wire == PROTOBUF_C_WIRE_TYPE_VARINT)
        whole = read_varint(rest, &number);
    else if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        whole = read_varint(rest, &number) && read_content(rest, number, &content);
    else if (wire == PROTOBUF_C_WIRE_TYPE_64BIT)
        whole = read_content(rest, 8, &content);
    else if (wire == PROTOBUF_C_WIRE_TYPE_32BIT)
        whole = read_content(rest, 4, &content);
    else
        return read_fail(reader, descriptor, "a field of an unknown form");
    if (!whole)
        return read_fail(reader, descriptor, "ends inside a field");
    out->number = number;
    out->content = content;
    if (out->field == NULL)
        return 0;
    out->index = (unsigned)(out->field - descriptor->fields);
    if (is_content(out->field->type) ? wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED
                                     : wire != PROTOBUF_C_WIRE_TYPE_VARINT)
        return read_fail(reader, descriptor, "a field of the wrong form");
    if (!is_content(out->field->type) && !fits(out->field->type, number))
        return read_fail(reader, descriptor, "a number too large for its field");
    return 0;
}

static void *member_of(ProtobufCMessage *message, unsigned offset)
{
    return (uint8_t *)message + offset;
}

/* A text with its NUL, made fit for C: what came may hold anything (a query's path is a client's). */
static char *read_text(const struct reader *reader, struct hm_slice content, int *rc)
{
    char *text = read_alloc(reader, content.len + 1, rc);

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < content.len; i++)
        text[i] = content.data[i] != 0 ? (char)content.data[i] : '?';
    hm_text_clean(text);
    return text;
}

static int read_child(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                      struct hm_slice content, ProtobufCMessage **at)
{
    int rc = 0;
    ProtobufCMessage *child = read_alloc(reader, descriptor->sizeof_message, &rc);

    if (child == NULL)
        return rc;
    rc = read_message(reader, descriptor, content, child);
    if (rc == 0)
        *at = child;
    return rc;
}

/* Stores a value at its place in a message, or at that of an element in a list. */
static int read_value(const struct reader *reader, const struct read_field *came, void *at)
{
    int rc = 0;

    switch (came->field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_child(reader, came->field->descriptor, came->content, at);
    case PROTOBUF_C_TYPE_STRING: {
        char *text = read_text(reader, came->content, &rc);

        if (text != NULL)
            *(char **)at = text;
        return rc;
    }
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)at = (ProtobufCBinaryData){
            .len = came->content.len, .data = (uint8_t *)(uintptr_t)came->content.data};
        return 0;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = came->number != 0;
        return 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)at = came->number;
        return 0;
    default: /* 32 bits */
        *(uint32_t *)at = (uint32_t)came->number;
        return 0;
    }
}

static size_t element_bytes(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

static bool is_list(const ProtobufCFieldDescriptor *field)
{
    return field->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool is_choice(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Goes through the fields once, checks their form and makes room for the lists. */
static int read_count(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                      struct hm_slice bytes, ProtobufCMessage *out)
{
    size_t counts[READ_FIELDS_MAX] = {0};
    int rc = 0;

    if (descriptor->n_fields > READ_FIELDS_MAX)
        return hm_fail(reader->error, HM_EINTERNAL, "message %s has more than %d fields",
                       descriptor->short_name, READ_FIELDS_MAX);
    while (bytes.len > 0) {
        struct read_field came = {0};

        rc = read_next(reader, descriptor, &bytes, &came);
        if (rc)
            return rc;
        if (came.field != NULL && is_list(came.field) && !is_content(came.field->type))
            return read_fail(reader, descriptor, "a list of numbers, which no request has");
        if (came.field != NULL && counts[came.index]++ > 0 && !is_list(came.field))
            return read_fail(reader, descriptor, "a field given twice");
    }
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        void *list;

        if (!is_list(field) || counts[i] == 0)
            continue;
        list = read_alloc(reader, counts[i] * element_bytes(field->type), &rc);
        if (list == NULL)
            return rc;
        *(void **)member_of(out, field->offset) = list;
    }
    return 0;
}

static int read_fill(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice bytes, ProtobufCMessage *out)
{
    while (bytes.len > 0) {
        struct read_field came = {0};
        int rc = read_next(reader, descriptor, &bytes, &came);
        void *at;

        if (rc)
            return rc;
        if (came.field == NULL)
            continue;
        at = member_of(out, came.field->offset);
        if (is_list(came.field)) {
            size_t *count = member_of(out, came.field->quantifier_offset);

            rc = read_value(reader, &came,
                            *(uint8_t **)at + *count * element_bytes(came.field->type));
            if (rc == 0)
                ++*count;
        } else {
            uint32_t *choice = is_choice(came.field) ? member_of(out, came.field->quantifier_offset)
                                                     : NULL;

            if (choice != NULL && *choice != 0)
                return read_fail(reader, descriptor, "two alternatives at once");
            rc = read_value(reader, &came, at);
            if (rc == 0 && choice != NULL)
                *choice = came.field->id;
        }
        if (rc)
            return rc;
    }
    return 0;
}

/* What was absent is there, empty, so that no handler has to ask. The schema does not nest in itself. */
static int read_complete(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                         ProtobufCMessage *out)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        ProtobufCMessage **at = member_of(out, field->offset);
        int rc;

        if (field->type != PROTOBUF_C_TYPE_MESSAGE || is_list(field) || is_choice(field) || *at)
            continue;
        rc = read_child(reader, field->descriptor, (struct hm_slice){0}, at);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_message(const struct reader *reader, const ProtobufCMessageDescriptor *descriptor,
                        struct hm_slice bytes, ProtobufCMessage *out)
{
    int rc;

    protobuf_c_message_init(descriptor, out);
    rc = read_count(reader, descriptor, bytes, out);
    if (rc == 0)
        rc = read_fill(reader, descriptor, bytes, out);
    return rc != 0 ? rc : read_complete(reader, descriptor, out);
}

int abci_read(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
              struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    const struct reader reader = {.arena = arena, .error = error};

    return read_child(&reader, descriptor, bytes, out);
}
