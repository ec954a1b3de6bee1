#include "wire_utf8.h"

#include <stdio.h>

size_t wire_utf8_next(const uint8_t *text, size_t len, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t value;
	size_t size;

	if (len == 0)
		return 0;
	if (text[0] < 0x80) {
		*code = text[0];
		return 1;
	}
	if ((text[0] & 0xe0) == 0xc0)
		size = 2;
	else if ((text[0] & 0xf0) == 0xe0)
		size = 3;
	else if ((text[0] & 0xf8) == 0xf0)
		size = 4;
	else
		return 0;
	if (size > len)
		return 0;
	value = text[0] & (0x7fU >> size);
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3f);
	}
	if (value < smallest[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return size;
}

bool wire_utf8_valid(struct hm_slice text)
{
	for (size_t at = 0; at < text.len;) {
		uint32_t code = 0;
		size_t size = wire_utf8_next(text.data + at, text.len - at, &code);

		if (size == 0 || code == 0)
			return false;
		at += size;
	}
	return true;
}

void wire_shown(struct hm_slice text, char out[WIRE_SHOWN_BYTES])
{
	static const char cut[] = "...";
	const size_t room = WIRE_SHOWN_BYTES - sizeof(cut);
	size_t used = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (used + (plain ? 1U : 4U) > room) {
			memcpy(out + used, cut, sizeof(cut));
			return;
		}
		if (plain)
			out[used++] = (char)c;
		else
			used += (size_t)snprintf(out + used, 5, "\\x%02x", c);
	}
	out[used] = '\0';
}
