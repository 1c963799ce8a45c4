/* Exports of the record, as `audit verify FILE` reads them: any bytes are judged, and none is good
 * that the key it is checked with has not signed. */
#include "hub/audit_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* A key that nobody has: no signature is its own. */
static struct audit_keys stranger = {
    .count = 1, .keys = {{.public = {1, 2, 3, 4, 5, 6, 7, 8}, .name = "fleethub/test/vectors"}}};
static struct audit_keys none;

static void verify(const char *text, size_t size, const struct audit_keys *keys,
                   struct audit_report *report)
{
    struct audit_request request = {.keys = keys};
    struct audit_file *file = audit_file_new(&request, report);
    bool more = true;
    REQUIRE(file);
    while (more && size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;
        more = audit_file_line(file, text, line);
        text += line + (end != NULL);
        size -= line + (end != NULL);
    }
    audit_file_end(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct audit_report report;
    const char *text = (const char *)data;
    verify(text, size, &none, &report);
    REQUIRE(report.verdict != AUDIT_GOOD || (report.bad.seq == 0 && report.rows <= report.records));
    REQUIRE(report.verdict != AUDIT_BAD || report.bad.seq > 0);
    verify(text, size, &stranger, &report);
    REQUIRE(report.verdict != AUDIT_GOOD || report.records == 0);
    return 0;
}
