#include "hub/if_match.h"

#include <string.h>

static bool same_tag(const char *tag, size_t size, const char *etag)
{
    size_t etag_size = strlen(etag);
    if (size == etag_size)
        return memcmp(tag, etag, size) == 0;
    return size == etag_size + 3 && memcmp(tag, etag, etag_size - 1) == 0 &&
           memcmp(tag + etag_size - 1, "-gz\"", 4) == 0;
}

bool if_match_allows(const char *header, const char *etag)
{
    if (!header)
        return true;
    for (const char *at = header; *at;) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        bool weak = at[0] == 'W' && at[1] == '/';
        at += weak ? 2 : 0;
        if (*at != '"')
            return false; /* the end, or no tag: nothing that could match */
        size_t size = strcspn(at + 1, "\"") + 2;
        if (at[size - 1] != '"')
            return false;
        if (!weak && same_tag(at, size, etag))
            return true;
        at += size;
    }
    return false;
}
