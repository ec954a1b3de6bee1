#include "tree/packetfs_node_entry.h"
#include "packetfs_varint.h"
#include "tree/packetfs_node.h"

#define ENTRY_NS_PER_S 1000000000u

/* mtime before 1970 without ten bytes: 0, -1, 1, -2, … */
static uint64_t zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

static bool name_fits(struct hm_slice name)
{
    if (name.len == 0 || name.len > PACKETFS_NAME_MAX_BYTES ||
        memchr(name.data, 0, name.len) != NULL || memchr(name.data, '/', name.len) != NULL)
        return false;
    return !(name.data[0] == '.' && (name.len == 1 || (name.len == 2 && name.data[1] == '.')));
}

/* NULL, or what is wrong. One list of rules for writing and for reading. */
static const char *content_fault(const struct packetfs_content *content)
{
    switch (content->kind) {
    case PACKETFS_CONTENT_EMPTY:
        return content->bytes == 0 ? NULL : "is empty, and has a size";
    case PACKETFS_CONTENT_PATTERN:
        return content->bytes > 0 && content->bytes <= PACKETFS_OBJECT_MAX_BYTES
                   ? NULL
                   : "has a size that one pattern cannot have";
    case PACKETFS_CONTENT_LIST:
        return content->bytes > 0 && content->bytes <= PACKETFS_LEN_MAX
                   ? NULL
                   : "has a size that no file can have";
    }
    return "has a content of unknown kind";
}

static const char *entry_fault(const struct packetfs_entry *entry)
{
    if (!name_fits(entry->name))
        return "has a name that no file can have";
    if (entry->type < PACKETFS_FILE || entry->type > PACKETFS_BLOCK_DEVICE)
        return "is of unknown type";
    if (entry->mode > 07777)
        return "has a mode past 07777";
    if (entry->user.len > PACKETFS_OWNER_NAME_MAX_BYTES ||
        entry->group.len > PACKETFS_OWNER_NAME_MAX_BYTES)
        return "has an owner or group with too long a name";
    if (entry->mtime_ns >= ENTRY_NS_PER_S)
        return "has a time with too many nanoseconds";
    if (entry->type == PACKETFS_FOLDER && entry->hard_link != 0)
        return "is a folder with several names";
    if (entry->type == PACKETFS_SYMLINK &&
        (entry->target.len == 0 || entry->target.len > PACKETFS_TARGET_MAX_BYTES ||
         memchr(entry->target.data, 0, entry->target.len) != NULL))
        return "is a symbolic link to nowhere";
    return entry->type == PACKETFS_FILE ? content_fault(&entry->content) : NULL;
}

/* before: the attribute in front of it, or NULL. total grows by it. */
static const char *xattr_fault(const struct packetfs_xattr *xattr, const struct hm_slice *before,
                               size_t *total)
{
    if (xattr->name.len == 0 || xattr->name.len > PACKETFS_NAME_MAX_BYTES ||
        memchr(xattr->name.data, 0, xattr->name.len) != NULL)
        return "has an attribute with a name that none can have";
    if (before != NULL && hm_slice_compare(*before, xattr->name) >= 0)
        return "has attributes that are not in order, each once";
    if (xattr->value.len > PACKETFS_XATTRS_MAX_BYTES - xattr->name.len ||
        *total > PACKETFS_XATTRS_MAX_BYTES - xattr->name.len - xattr->value.len)
        return "has more attributes than fit in a node";
    *total += xattr->name.len + xattr->value.len;
    return NULL;
}

static int fault(struct hm_error *error, int code, struct hm_slice name, const char *what)
{
    size_t len = name.len < PACKETFS_NAME_MAX_BYTES ? name.len : PACKETFS_NAME_MAX_BYTES;

    return hm_fail(error, code, "\"%.*s\" %s", (int)len,
                   name.data != NULL ? (const char *)name.data : "", what);
}

/* --- writing --- */

static int append_bytes(struct hm_buf *out, struct hm_slice bytes)
{
    int rc = packetfs_varint_append(out, bytes.len);

    return rc != 0 || bytes.len == 0 ? rc : hm_buf_append(out, bytes.data, bytes.len);
}

static int append_numbers(struct hm_buf *out, const uint64_t *numbers, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = packetfs_varint_append(out, numbers[i]);
    return rc;
}

static int append_xattrs(struct hm_buf *out, const struct packetfs_entry *entry)
{
    int rc = packetfs_varint_append(out, entry->xattr_count);

    for (size_t i = 0; i < entry->xattr_count && rc == 0; i++) {
        rc = append_bytes(out, entry->xattrs[i].name);
        if (rc == 0)
            rc = append_bytes(out, entry->xattrs[i].value);
    }
    return rc;
}

static int append_content(struct hm_buf *out, const struct packetfs_content *content)
{
    const uint8_t kind = (uint8_t)content->kind;
    int rc = hm_buf_append(out, &kind, 1);

    if (rc != 0 || content->kind == PACKETFS_CONTENT_EMPTY)
        return rc;
    rc = packetfs_varint_append(out, content->bytes);
    return rc != 0 ? rc : hm_buf_append(out, content->id.bytes, PACKETFS_ID_BYTES);
}

static int append_what(struct hm_buf *out, const struct packetfs_entry *entry)
{
    switch (entry->type) {
    case PACKETFS_FILE:
        return append_content(out, &entry->content);
    case PACKETFS_FOLDER:
        return hm_buf_append(out, entry->folder.bytes, PACKETFS_ID_BYTES);
    case PACKETFS_SYMLINK:
        return append_bytes(out, entry->target);
    case PACKETFS_CHARACTER_DEVICE:
    case PACKETFS_BLOCK_DEVICE:
        return packetfs_varint_append(out, entry->device);
    case PACKETFS_FIFO:
    case PACKETFS_SOCKET:
        break;
    }
    return 0;
}

int packetfs_node_entry(struct hm_buf *out, const struct packetfs_entry *entry,
                        struct hm_error *error)
{
    const uint8_t type = (uint8_t)entry->type;
    const uint64_t owner[] = {entry->mode, entry->uid, entry->gid};
    const uint64_t times[] = {zigzag(entry->mtime_s), entry->mtime_ns, entry->hard_link};
    const char *wrong = entry_fault(entry);
    size_t before = out->len;
    size_t total = 0;
    int rc;

    for (size_t i = 0; i < entry->xattr_count && wrong == NULL; i++)
        wrong = xattr_fault(&entry->xattrs[i], i > 0 ? &entry->xattrs[i - 1].name : NULL, &total);
    if (wrong != NULL)
        return fault(error, HM_EINVAL, entry->name, wrong);
    rc = append_bytes(out, entry->name);
    if (rc == 0)
        rc = hm_buf_append(out, &type, 1);
    if (rc == 0)
        rc = append_numbers(out, owner, HM_COUNT_OF(owner));
    if (rc == 0)
        rc = append_bytes(out, entry->user);
    if (rc == 0)
        rc = append_bytes(out, entry->group);
    if (rc == 0)
        rc = append_numbers(out, times, HM_COUNT_OF(times));
    if (rc == 0)
        rc = append_xattrs(out, entry);
    if (rc == 0)
        rc = append_what(out, entry);
    if (rc != 0) {
        out->len = before;
        return hm_fail(error, rc, "no memory for a folder's entry");
    }
    return 0;
}

/* --- reading --- */

static bool take_bytes(struct hm_slice *in, struct hm_slice *out)
{
    uint64_t len;

    if (!packetfs_varint_take(in, &len) || len > in->len)
        return false;
    *out = hm_slice_of(in->data, (size_t)len);
    *in = hm_slice_of(in->data + len, in->len - (size_t)len);
    return true;
}

static bool take_u32(struct hm_slice *in, uint32_t *out)
{
    uint64_t value;

    if (!packetfs_varint_take(in, &value) || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool take_byte(struct hm_slice *in, uint8_t *out)
{
    if (in->len == 0)
        return false;
    *out = in->data[0];
    *in = hm_slice_of(in->data + 1, in->len - 1);
    return true;
}

static bool take_id(struct hm_slice *in, struct packetfs_id *id)
{
    if (in->len < PACKETFS_ID_BYTES)
        return false;
    memcpy(id->bytes, in->data, PACKETFS_ID_BYTES);
    *in = hm_slice_of(in->data + PACKETFS_ID_BYTES, in->len - PACKETFS_ID_BYTES);
    return true;
}

int packetfs_entry_take_name(struct hm_slice *in, struct hm_slice *name, struct hm_error *error)
{
    if (!take_bytes(in, name))
        return hm_fail(error, HM_ECORRUPT, "a folder ends in the middle of a name");
    if (!name_fits(*name))
        return hm_fail(error, HM_ECORRUPT, "a folder has a name that no file can have");
    return 0;
}

static bool take_attributes(struct hm_slice *in, struct packetfs_entry *out)
{
    uint64_t mtime_s;
    uint8_t type;

    if (!take_byte(in, &type) || type < PACKETFS_FILE || type > PACKETFS_BLOCK_DEVICE ||
        !take_u32(in, &out->mode) || !take_u32(in, &out->uid) || !take_u32(in, &out->gid) ||
        !take_bytes(in, &out->user) || !take_bytes(in, &out->group) ||
        !packetfs_varint_take(in, &mtime_s) || !take_u32(in, &out->mtime_ns) ||
        !packetfs_varint_take(in, &out->hard_link))
        return false;
    out->type = (enum packetfs_entry_type)type;
    out->mtime_s = unzigzag(mtime_s);
    return true;
}

static int take_xattrs(struct hm_slice *in, struct hm_buf *room, struct packetfs_entry *out,
                       struct hm_error *error)
{
    struct packetfs_xattr xattr, before = {0};
    size_t total = 0;
    uint64_t count;

    if (room != NULL)
        hm_buf_clear(room);
    if (!packetfs_varint_take(in, &count))
        return fault(error, HM_ECORRUPT, out->name, "has no proper number of attributes");
    for (uint64_t i = 0; i < count; i++, before = xattr) {
        if (!take_bytes(in, &xattr.name) || !take_bytes(in, &xattr.value))
            return fault(error, HM_ECORRUPT, out->name, "ends in the middle of an attribute");
        const char *wrong = xattr_fault(&xattr, i > 0 ? &before.name : NULL, &total);
        if (wrong != NULL)
            return fault(error, HM_ECORRUPT, out->name, wrong);
        if (room != NULL && hm_buf_append(room, &xattr, sizeof(xattr)) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for attributes");
    }
    if (room != NULL && count > 0) {
        out->xattrs = (const struct packetfs_xattr *)(const void *)room->data;
        out->xattr_count = (size_t)count;
    }
    return 0;
}

static bool take_content(struct hm_slice *in, struct packetfs_content *out)
{
    uint8_t kind;

    if (!take_byte(in, &kind) || kind > PACKETFS_CONTENT_LIST)
        return false;
    out->kind = (enum packetfs_content_kind)kind;
    if (kind == PACKETFS_CONTENT_EMPTY)
        return true;
    return packetfs_varint_take(in, &out->bytes) && take_id(in, &out->id);
}

static bool take_what(struct hm_slice *in, struct packetfs_entry *out)
{
    switch (out->type) {
    case PACKETFS_FILE:
        return take_content(in, &out->content);
    case PACKETFS_FOLDER:
        return take_id(in, &out->folder);
    case PACKETFS_SYMLINK:
        return take_bytes(in, &out->target);
    case PACKETFS_CHARACTER_DEVICE:
    case PACKETFS_BLOCK_DEVICE:
        return packetfs_varint_take(in, &out->device);
    case PACKETFS_FIFO:
    case PACKETFS_SOCKET:
        break;
    }
    return true;
}

int packetfs_entry_take(struct hm_slice *in, struct hm_buf *xattrs, struct packetfs_entry *out,
                        struct hm_error *error)
{
    struct packetfs_entry entry = {0};
    const char *wrong;
    int rc = packetfs_entry_take_name(in, &entry.name, error);

    if (rc != 0)
        return rc;
    if (!take_attributes(in, &entry))
        return fault(error, HM_ECORRUPT, entry.name,
                     "is of unknown type, or its attributes are cut short");
    rc = take_xattrs(in, xattrs, &entry, error);
    if (rc != 0)
        return rc;
    if (!take_what(in, &entry))
        return fault(error, HM_ECORRUPT, entry.name, "ends before it says what is in it");
    wrong = entry_fault(&entry);
    if (wrong != NULL)
        return fault(error, HM_ECORRUPT, entry.name, wrong);
    *out = entry;
    return 0;
}

/* --- copies --- */

static struct hm_slice copied(uint8_t **at, struct hm_slice bytes)
{
    struct hm_slice copy = {*at, bytes.len};

    if (bytes.len > 0)
        memcpy(*at, bytes.data, bytes.len);
    *at += bytes.len;
    return copy;
}

int packetfs_entry_copy(const struct packetfs_entry *entry, struct packetfs_entry *out,
                        struct hm_buf *buf)
{
    struct packetfs_entry copy = *entry;
    size_t head = entry->xattr_count * sizeof(*entry->xattrs);
    size_t len = head + entry->name.len + entry->user.len + entry->group.len + entry->target.len;
    struct packetfs_xattr *xattrs;
    uint8_t *at;

    for (size_t i = 0; i < entry->xattr_count; i++)
        len += entry->xattrs[i].name.len + entry->xattrs[i].value.len;
    hm_buf_clear(buf);
    if (hm_buf_reserve(buf, len + 1) != 0)
        return HM_ENOMEM;
    at = buf->data + head;
    copy.name = copied(&at, entry->name);
    copy.user = copied(&at, entry->user);
    copy.group = copied(&at, entry->group);
    copy.target = copied(&at, entry->target);
    xattrs = (struct packetfs_xattr *)(void *)buf->data;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        struct packetfs_xattr xattr;
        xattr.name = copied(&at, entry->xattrs[i].name);
        xattr.value = copied(&at, entry->xattrs[i].value);
        xattrs[i] = xattr;
    }
    copy.xattrs = entry->xattr_count > 0 ? xattrs : NULL;
    buf->len = len;
    *out = copy;
    return 0;
}
