#include "cli.h"

#include <time.h>
#include <unistd.h>

const char *cli_show_size(uint64_t bytes, char out[CLI_SHOW_BYTES])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(out, CLI_SHOW_BYTES, "%u B", (unsigned)bytes);
        return out;
    }
    for (; value >= 1023.95 && unit + 1 < HM_COUNT_OF(units); unit++)
        value /= 1024;
    (void)snprintf(out, CLI_SHOW_BYTES, "%.1f %s", value, units[unit]);
    return out;
}

const char *cli_show_span(uint64_t seconds, char out[CLI_SHOW_BYTES])
{
    unsigned long long s = seconds;

    if (s < 60)
        (void)snprintf(out, CLI_SHOW_BYTES, "%llu s", s);
    else if (s < 3600)
        (void)snprintf(out, CLI_SHOW_BYTES, "%llum%02llus", s / 60, s % 60);
    else
        (void)snprintf(out, CLI_SHOW_BYTES, "%lluh%02llum", s / 3600, s / 60 % 60);
    return out;
}

const char *cli_show_time(int64_t seconds, char out[CLI_SHOW_BYTES])
{
    time_t at = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&at, &tm) == NULL || strftime(out, CLI_SHOW_BYTES, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        (void)snprintf(out, CLI_SHOW_BYTES, "@%lld", (long long)seconds);
    return out;
}

const char *cli_show_id(const uint8_t *id, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

/* Bytes of the UTF-8 character at the beginning (RFC 3629), 0: none. Control characters count as none where asked. */
static size_t character(const uint8_t *p, size_t len, bool printable)
{
    size_t need = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t value;

    if (p[0] > 0xf4 || need == 0 || need > len)
        return 0;
    if (need == 1)
        return printable && (p[0] < 0x20 || p[0] == 0x7f) ? 0 : 1;
    value = p[0] & (0x7fU >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    if ((need == 3 && value < 0x800) || (need == 4 && (value < 0x10000 || value > 0x10ffff)) ||
        (value >= 0xd800 && value < 0xe000) || (printable && value < 0xa0))
        return 0;
    return need;
}

void cli_put_name(const uint8_t *name, size_t len)
{
    if (!isatty(STDOUT_FILENO)) {
        (void)fwrite(name, 1, len, stdout);
        return;
    }
    for (size_t i = 0; i < len;) {
        size_t n = character(name + i, len - i, true);

        if (n == 0)
            (void)printf("\\x%02x", name[i++]);
        else
            (void)fwrite(name + i, 1, n, stdout);
        i += n;
    }
}

/* --- JSON ------------------------------------------------------------------------------------------------------------- */
#define DEPTH_MAX 8
static struct {
    char open[DEPTH_MAX];
    bool some[DEPTH_MAX]; /* something stands in it already */
    size_t depth;
    bool after_key;
} json;

static void value_comes(void)
{
    if (json.after_key) {
        json.after_key = false;
        return;
    }
    if (json.depth == 0)
        return;
    if (json.some[json.depth - 1])
        (void)fputs(",", stdout);
    if (json.open[json.depth - 1] == '[')
        (void)fputs("\n", stdout);
    json.some[json.depth - 1] = true;
}

void cli_json_open(char bracket)
{
    value_comes();
    if (json.depth < DEPTH_MAX) {
        json.open[json.depth] = bracket;
        json.some[json.depth++] = false;
    }
    (void)fputc(bracket, stdout);
}

void cli_json_close(void)
{
    if (json.depth == 0)
        return;
    (void)fputc(json.open[--json.depth] == '{' ? '}' : ']', stdout);
    if (json.depth == 0)
        (void)fputc('\n', stdout);
}

static void put_string(const uint8_t *text, size_t len)
{
    (void)fputc('"', stdout);
    for (size_t i = 0; i < len;) {
        size_t n = character(text + i, len - i, false);

        if (n == 0)
            (void)fputs("\\ufffd", stdout);
        else if (text[i] == '"' || text[i] == '\\')
            (void)printf("\\%c", text[i]);
        else if (text[i] < 0x20)
            (void)printf("\\u%04x", text[i]);
        else
            (void)fwrite(text + i, 1, n, stdout);
        i += n != 0 ? n : 1;
    }
    (void)fputc('"', stdout);
}

void cli_json_key(const char *name)
{
    value_comes();
    put_string((const uint8_t *)name, strlen(name));
    (void)fputs(": ", stdout);
    json.after_key = true;
}

void cli_json_number(uint64_t value)
{
    value_comes();
    (void)printf("%llu", (unsigned long long)value);
}

void cli_json_signed(int64_t value)
{
    value_comes();
    (void)printf("%lld", (long long)value);
}

void cli_json_bool(bool value)
{
    value_comes();
    (void)fputs(value ? "true" : "false", stdout);
}

void cli_json_text(const char *text)
{
    value_comes();
    put_string((const uint8_t *)text, strlen(text));
}

void cli_json_bytes(const char *name, const uint8_t *bytes, size_t len)
{
    bool whole = true;
    char key[64];

    cli_json_key(name);
    value_comes();
    put_string(bytes, len);
    for (size_t i = 0, n = 1; i < len && whole; i += n) {
        n = character(bytes + i, len - i, false);
        whole = n != 0;
    }
    if (whole)
        return;
    (void)snprintf(key, sizeof(key), "%s_hex", name);
    cli_json_key(key);
    value_comes();
    (void)fputc('"', stdout);
    for (size_t i = 0; i < len; i++)
        (void)printf("%02x", bytes[i]);
    (void)fputc('"', stdout);
}

void cli_json_pair(const char *name, uint64_t value)
{
    cli_json_key(name);
    cli_json_number(value);
}

void cli_json_findings(const struct cli_call *call)
{
    const char *text = (const char *)call->findings.data;

    cli_json_key("findings");
    cli_json_open('[');
    for (size_t i = 0; i < call->finding_count; i++) {
        cli_json_text(text);
        text += strlen(text) + 1;
    }
    cli_json_close();
}

void cli_json_snapshot(const struct packetfs_snapshot *snapshot)
{
    static const uint8_t none[PACKETFS_SNAPSHOT_ID_BYTES];
    char id[2 * PACKETFS_ID_BYTES + 1], time[CLI_SHOW_BYTES];

    cli_json_open('{');
    cli_json_key("id");
    cli_json_text(cli_show_id(snapshot->id, PACKETFS_SNAPSHOT_ID_BYTES, id));
    cli_json_key("label");
    cli_json_text(snapshot->label);
    cli_json_key("time");
    cli_json_text(cli_show_time((int64_t)(snapshot->time_ns / 1000000000u), time));
    cli_json_pair("time_ns", snapshot->time_ns);
    cli_json_pair("sequence", snapshot->sequence);
    if (memcmp(snapshot->parent, none, sizeof(none)) != 0) {
        cli_json_key("parent");
        cli_json_text(cli_show_id(snapshot->parent, PACKETFS_SNAPSHOT_ID_BYTES, id));
    }
    cli_json_key("root");
    cli_json_text(cli_show_id(snapshot->root.bytes, PACKETFS_ID_BYTES, id));
    cli_json_pair("files", snapshot->files);
    cli_json_pair("folders", snapshot->folders);
    cli_json_pair("bytes", snapshot->bytes);
    cli_json_key("host");
    cli_json_text(snapshot->host);
    cli_json_key("user");
    cli_json_text(snapshot->user);
    cli_json_close();
}
