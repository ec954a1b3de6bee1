#include "ledger_kv_form.h"

#include <stdio.h>

#include "ledger_rule.h"

/* --- messages as bytes: the encoding of protocol buffers, fields in the order of the schema --- */

#define VARINT_MAX_BYTES 10
#define WIRE_VARINT      0u
#define WIRE_BYTES       2u

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

static bool read_varint(struct reader *reader, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;

        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_bytes(struct reader *reader, struct hm_slice *out)
{
    uint64_t len;

    if (!read_varint(reader, &len) || len > (size_t)(reader->end - reader->at))
        return false;
    *out = hm_slice_of(reader->at, (size_t)len);
    reader->at += len;
    return true;
}

int ledger_kv_entry_read(struct hm_slice bytes, struct ledger_kv_entry *out)
{
    struct reader reader = {bytes.data, bytes.data + bytes.len};
    struct ledger_kv_entry entry = {0};
    uint64_t *const numbers[] = {
        NULL, NULL, &entry.create_revision, &entry.mod_revision, &entry.version, &entry.lease};

    while (reader.at < reader.end) {
        uint64_t tag;
        bool good = read_varint(&reader, &tag);

        if (good && tag == (1u << 3 | WIRE_BYTES))
            good = read_bytes(&reader, &entry.value);
        else if (good && tag >> 3 >= 2 && tag >> 3 < HM_COUNT_OF(numbers) &&
                 (tag & 7) == WIRE_VARINT)
            good = read_varint(&reader, numbers[tag >> 3]);
        else
            good = false;
        if (!good)
            return HM_ECORRUPT;
    }
    if (entry.version == 0 || entry.mod_revision < entry.create_revision)
        return HM_ECORRUPT;
    *out = entry;
    return 0;
}

static bool read_event_field(struct reader *reader, struct ledger_kv_event *event)
{
    struct hm_slice entry;
    uint64_t number = 0;
    uint64_t tag;

    if (!read_varint(reader, &tag))
        return false;
    switch (tag) {
    case 1u << 3 | WIRE_VARINT:
        return read_varint(reader, &event->revision);
    case 2u << 3 | WIRE_VARINT:
        if (!read_varint(reader, &number) || number > UINT32_MAX)
            return false;
        event->sub = (uint32_t)number;
        return true;
    case 3u << 3 | WIRE_BYTES:
        return read_bytes(reader, &event->key);
    case 4u << 3 | WIRE_VARINT:
        event->deleted = read_varint(reader, &number) && number == 1;
        return event->deleted;
    case 5u << 3 | WIRE_BYTES:
        return read_bytes(reader, &entry) && ledger_kv_entry_read(entry, &event->entry) == 0;
    case 6u << 3 | WIRE_VARINT:
        return read_varint(reader, &event->height);
    default:
        return false;
    }
}

int ledger_kv_event_read(struct hm_slice bytes, struct ledger_kv_event *out)
{
    struct reader reader = {bytes.data, bytes.data + bytes.len};
    struct ledger_kv_event event = {0};

    while (reader.at < reader.end) {
        if (!read_event_field(&reader, &event))
            return HM_ECORRUPT;
    }
    if (event.key.len == 0 || event.key.len > LEDGER_KV_KEY_MAX_BYTES ||
        event.deleted == (event.entry.version > 0))
        return HM_ECORRUPT;
    *out = event;
    return 0;
}

static size_t varint_bytes(uint64_t value)
{
    size_t count = 1;

    while (value >= 0x80) {
        value >>= 7;
        count++;
    }
    return count;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Every field's tag here is one byte; what is 0 or empty is left out. */
static size_t number_bytes(uint64_t value)
{
    return value ? 1 + varint_bytes(value) : 0;
}

static size_t bytes_bytes(size_t len)
{
    return len ? 1 + varint_bytes(len) + len : 0;
}

static uint8_t *put_number(uint8_t *at, unsigned field, uint64_t value)
{
    if (!value)
        return at;
    *at++ = (uint8_t)(field << 3 | WIRE_VARINT);
    return put_varint(at, value);
}

static uint8_t *put_bytes(uint8_t *at, unsigned field, struct hm_slice bytes)
{
    if (!bytes.len)
        return at;
    *at++ = (uint8_t)(field << 3 | WIRE_BYTES);
    at = put_varint(at, bytes.len);
    memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static size_t entry_bytes(const struct ledger_kv_entry *entry)
{
    return bytes_bytes(entry->value.len) + number_bytes(entry->create_revision) +
           number_bytes(entry->mod_revision) + number_bytes(entry->version) +
           number_bytes(entry->lease);
}

static uint8_t *put_entry(uint8_t *at, const struct ledger_kv_entry *entry)
{
    at = put_bytes(at, 1, entry->value);
    at = put_number(at, 2, entry->create_revision);
    at = put_number(at, 3, entry->mod_revision);
    at = put_number(at, 4, entry->version);
    return put_number(at, 5, entry->lease);
}

int ledger_kv_event_write(const struct ledger_kv_event *event, struct hm_arena *arena,
                          struct hm_slice *bytes, struct hm_slice *key, struct hm_slice *entry)
{
    size_t inner = event->deleted ? 0 : entry_bytes(&event->entry);
    size_t size = number_bytes(event->revision) + number_bytes(event->sub) +
                  bytes_bytes(event->key.len) + number_bytes(event->deleted) + bytes_bytes(inner) +
                  number_bytes(event->height);
    uint8_t *start = hm_arena_alloc(arena, size);
    uint8_t *at;

    if (!start)
        return HM_ENOMEM;
    at = put_number(start, 1, event->revision);
    at = put_number(at, 2, event->sub);
    at = put_bytes(at, 3, event->key);
    *key = hm_slice_of(at - event->key.len, event->key.len);
    at = put_number(at, 4, event->deleted);
    *entry = (struct hm_slice){0};
    if (inner) {
        *at++ = (uint8_t)(5u << 3 | WIRE_BYTES);
        at = put_varint(at, inner);
        *entry = hm_slice_of(at, inner);
        at = put_entry(at, &event->entry);
    }
    (void)put_number(at, 6, event->height);
    *bytes = hm_slice_of(start, size);
    return 0;
}

Hypermesh__KvEntry *ledger_kv_entry_message(const struct ledger_kv_entry *entry, bool keys_only,
                                            struct hm_arena *arena)
{
    Hypermesh__KvEntry *message = hm_arena_alloc(arena, sizeof *message);
    void *value = NULL;

    if (!message)
        return NULL;
    *message = (Hypermesh__KvEntry)HYPERMESH__KV_ENTRY__INIT;
    message->create_revision = entry->create_revision;
    message->mod_revision = entry->mod_revision;
    message->version = entry->version;
    message->lease = entry->lease;
    if (keys_only || entry->value.len == 0)
        return message;
    value = hm_arena_dup(arena, entry->value.data, entry->value.len);
    if (!value)
        return NULL;
    message->value = wire_bytes(value, entry->value.len);
    return message;
}

/* --- keys --- */

struct hm_slice ledger_key_kv(uint8_t prefix, struct hm_slice key, uint8_t out[LEDGER_KEY_KV_BYTES])
{
    out[0] = prefix;
    if (key.len > 0)
        memcpy(out + 1, key.data, key.len);
    return hm_slice_of(out, 1 + key.len);
}

struct hm_slice ledger_key_kv_lease(uint64_t lease, uint8_t out[LEDGER_KEY_KV_LEASE_BYTES])
{
    out[0] = LEDGER_KEY_KV_LEASE;
    hm_put_be64(out + 1, lease);
    return hm_slice_of(out, LEDGER_KEY_KV_LEASE_BYTES);
}

struct hm_slice ledger_key_kv_held(uint64_t lease, struct hm_slice key,
                                   uint8_t out[LEDGER_KEY_KV_HELD_BYTES])
{
    out[0] = LEDGER_KEY_KV_HELD;
    hm_put_be64(out + 1, lease);
    if (key.len > 0)
        memcpy(out + 9, key.data, key.len);
    return hm_slice_of(out, 9 + key.len);
}

struct hm_slice ledger_kv_log_key(uint64_t revision, uint32_t sub,
                                  uint8_t out[LEDGER_KV_LOG_KEY_BYTES])
{
    hm_put_be64(out, revision);
    hm_put_be32(out + 8, sub);
    return hm_slice_of(out, LEDGER_KV_LOG_KEY_BYTES);
}

#define PAST_ZERO  0xff
#define PAST_END   0x01
#define PAST_AFTER 0x02
#define PAST_TAIL  (8 + 4) /* revision and sub */

void ledger_kv_past_begin(struct hm_slice key, struct ledger_kv_past_key *out)
{
    size_t len = 0;

    /* The bound holds for every key that was let in; ledger_kv_key_check. */
    for (size_t i = 0; i < key.len && len + 2 + PAST_TAIL + 2 <= sizeof out->bytes; i++) {
        out->bytes[len++] = key.data[i];
        if (key.data[i] == 0)
            out->bytes[len++] = PAST_ZERO;
    }
    out->bytes[len++] = 0;
    out->bytes[len++] = PAST_END;
    out->key_len = len;
}

struct hm_slice ledger_kv_past_line(struct ledger_kv_past_key *key, uint64_t revision, uint32_t sub)
{
    hm_put_be64(key->bytes + key->key_len, revision);
    hm_put_be32(key->bytes + key->key_len + 8, sub);
    return hm_slice_of(key->bytes, key->key_len + PAST_TAIL);
}

struct hm_slice ledger_kv_past_after(struct ledger_kv_past_key *key)
{
    return ledger_kv_past_line(key, UINT64_MAX, UINT32_MAX);
}

bool ledger_kv_past_of(const struct ledger_kv_past_key *key, struct hm_slice line,
                       uint64_t *revision, uint32_t *sub)
{
    if (line.len != key->key_len + PAST_TAIL || memcmp(line.data, key->bytes, key->key_len) != 0)
        return false;
    *revision = hm_get_be64(line.data + key->key_len);
    *sub = hm_get_be32(line.data + key->key_len + 8);
    return true;
}

int ledger_kv_past_read(struct hm_slice line, uint8_t *out, struct hm_slice *key,
                        uint64_t *revision, uint32_t *sub)
{
    size_t len = 0;
    size_t at = 0;

    for (;;) {
        if (at + 2 + PAST_TAIL > line.len || len == LEDGER_KV_KEY_MAX_BYTES + 1)
            return HM_ECORRUPT;
        if (line.data[at] != 0) {
            if (len < LEDGER_KV_KEY_MAX_BYTES)
                out[len] = line.data[at];
            len++;
            at++;
            continue;
        }
        if (line.data[at + 1] == PAST_END)
            break;
        if (line.data[at + 1] != PAST_ZERO)
            return HM_ECORRUPT;
        if (len < LEDGER_KV_KEY_MAX_BYTES)
            out[len] = 0;
        len++;
        at += 2;
    }
    at += 2;
    if (len == 0 || len > LEDGER_KV_KEY_MAX_BYTES || line.len - at != PAST_TAIL)
        return HM_ECORRUPT;
    *key = hm_slice_of(out, len);
    *revision = hm_get_be64(line.data + at);
    *sub = hm_get_be32(line.data + at + 8);
    return 0;
}

/* --- ranges --- */

int ledger_kv_key_check(struct hm_slice key, struct hm_error *error)
{
    size_t size = key.len;

    if (key.len == 0)
        return ledger_refuse(error, LEDGER_RULE_KV_KEY, "the key is empty");
    for (size_t i = 0; i < key.len; i++)
        size += key.data[i] == 0;
    if (key.len > LEDGER_KV_KEY_MAX_BYTES || size > LEDGER_KV_KEY_ESCAPED_MAX_BYTES)
        return ledger_refuse(
            error, LEDGER_RULE_KV_KEY,
            "a key has %zu bytes (%zu when its zero bytes count twice), at most %d "
            "(%d) are allowed",
            key.len, size, LEDGER_KV_KEY_MAX_BYTES, LEDGER_KV_KEY_ESCAPED_MAX_BYTES);
    return 0;
}

int ledger_kv_span_of(struct hm_slice key, struct hm_slice range_end, struct ledger_kv_span *out,
                      struct hm_error *error)
{
    struct ledger_kv_span span = {.first = key, .end = range_end, .one = range_end.len == 0};
    int rc = ledger_kv_key_check(key, error);

    if (rc)
        return rc;
    span.open = range_end.len == 1 && range_end.data[0] == 0;
    if (!span.one && !span.open)
        rc = ledger_kv_key_check(range_end, error);
    if (rc == 0)
        *out = span;
    return rc;
}

bool ledger_kv_span_has(const struct ledger_kv_span *span, struct hm_slice key)
{
    if (span->one)
        return hm_slice_equal(key, span->first);
    return hm_slice_compare(key, span->first) >= 0 &&
           (span->open || hm_slice_compare(key, span->end) < 0);
}

void ledger_kv_span_bounds(const struct ledger_kv_span *span, uint8_t start[LEDGER_KEY_KV_BYTES],
                           uint8_t end[LEDGER_KEY_KV_BYTES + 1], struct hm_slice *start_key,
                           struct hm_slice *end_key)
{
    *start_key = ledger_key_kv(LEDGER_KEY_KV, span->first, start);
    if (span->one) { /* the smallest key past it */
        *end_key = ledger_key_kv(LEDGER_KEY_KV, span->first, end);
        end[end_key->len++] = 0;
    } else if (span->open) {
        end[0] = LEDGER_KEY_KV + 1;
        *end_key = hm_slice_of(end, 1);
    } else {
        *end_key = ledger_key_kv(LEDGER_KEY_KV, span->end, end);
    }
}

const char *ledger_kv_text(struct hm_slice key, char out[LEDGER_KV_TEXT_BYTES])
{
    size_t at = 0;

    for (size_t i = 0; i < key.len; i++) {
        if (at + 8 > LEDGER_KV_TEXT_BYTES) { /* room for one more and the dots */
            (void)snprintf(out + at, LEDGER_KV_TEXT_BYTES - at, "...");
            return out;
        }
        if (key.data[i] >= 0x20 && key.data[i] < 0x7f && key.data[i] != '\\')
            out[at++] = (char)key.data[i];
        else
            at += (size_t)snprintf(out + at, LEDGER_KV_TEXT_BYTES - at, "\\x%02x", key.data[i]);
    }
    out[at] = '\0';
    return out;
}
