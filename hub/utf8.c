#include "hub/utf8.h"

uint32_t utf8_next(const char *text, size_t size, size_t *taken)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)text;
    *taken = 1;
    if (at[0] < 0x80)
        return at[0];
    size_t length = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4 || length > size)
        return UTF8_BAD;
    uint32_t character = at[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return UTF8_BAD;
        character = character << 6 | (at[i] & 0x3Fu);
    }
    if (character < least[length] || character > 0x10FFFF ||
        (character >= 0xD800 && character <= 0xDFFF))
        return UTF8_BAD;
    *taken = length;
    return character;
}

bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0) || character == 0x2028 ||
           character == 0x2029 || character == 0xFEFF || character == 0xFFFE ||
           character == 0xFFFF || character == UTF8_BAD;
}
