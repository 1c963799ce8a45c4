/* doc: what is read as JSON and what is refused, where, and with which error. */
#include "tests/unit/doc_help.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct doc_parser *parser;

static int make_parser(void **state)
{
    (void)state;
    parser = doc_parser_new();
    return parser ? 0 : -1;
}

static int free_parser(void **state)
{
    (void)state;
    doc_parser_free(parser);
    return 0;
}

static enum doc_error read_as(const char *text, size_t size, struct doc_limits limits)
{
    static const struct doc_node untouched;
    struct doc_ref root = {&untouched, "untouched"};
    enum doc_error error = parse_exact(parser, text, size, limits, &root);
    assert_int_equal(root.node == &untouched, error != DOC_OK);
    return error;
}

#define assert_reads(text) assert_int_equal(read_as(text, sizeof(text) - 1, wide_limits), DOC_OK)
#define assert_refuses(text)                                                                       \
    assert_int_equal(read_as(text, sizeof(text) - 1, wide_limits), DOC_BAD_JSON)

static void assert_written(const char *text, const char *expected)
{
    struct doc_ref root;
    assert_int_equal(parse_exact(parser, text, strlen(text), wide_limits, &root), DOC_OK);
    char *written = text_of_doc(root, NULL);
    assert_string_equal(written, expected);
    free(written);
}

static void doc_every_kind_of_value_is_read(void **state)
{
    (void)state;
    assert_written(" null ", "null");
    assert_written("true", "true");
    assert_written("\tfalse\n", "false");
    assert_written("\r0", "0");
    assert_written("\"\"", "\"\"");
    assert_written("[ ]", "[]");
    assert_written("{ }", "{}");
    assert_written(" [ 1 , [ ] , { } , \"a\" , null ] ", "[1,[],{},\"a\",null]");
    assert_written("{\"b\" : 1 ,\n\"a\":{ \"\" :[ true ] } }", "{\"b\":1,\"a\":{\"\":[true]}}");
}

static void doc_text_that_is_no_json_is_refused(void **state)
{
    (void)state;
    assert_refuses("");
    assert_refuses("   ");
    assert_refuses("nul");
    assert_refuses("nullx");
    assert_refuses("True");
    assert_refuses("undefined");
    assert_refuses("'a'");
    assert_refuses("a");
    assert_refuses("{a:1}");
    assert_refuses("{'a':1}");
    assert_refuses("{1:1}");
    assert_refuses("{null:1}");
    assert_refuses("[1,]");
    assert_refuses("[,1]");
    assert_refuses("[1 2]");
    assert_refuses("[1,,2]");
    assert_refuses("{\"a\":1,}");
    assert_refuses("{,\"a\":1}");
    assert_refuses("{\"a\" 1}");
    assert_refuses("{\"a\":}");
    assert_refuses("{\"a\"}");
    assert_refuses("{\"a\":1 \"b\":2}");
    assert_refuses("{\"a\":1;\"b\":2}");
    assert_refuses("[1}");
    assert_refuses("{\"a\":1]");
    assert_refuses("]");
    assert_refuses("1 2");
    assert_refuses("{} {}");
    assert_refuses("[]]");
    assert_refuses("// c\n1");
    assert_refuses("/* c */1");
    assert_refuses("# c\n1");
    assert_refuses("\v1");
    assert_refuses("\f1");
    assert_refuses("\xc2\xa0"
                   "1");
    assert_refuses("\xef\xbb\xbf{}"); /* a byte order mark */
    assert_refuses("\xff\xfe{\0}\0");
    assert_refuses("{\0}\0");
}

static void doc_numbers_follow_the_grammar(void **state)
{
    (void)state;
    assert_written("-1", "-1");
    assert_written("1e3", "1e3");
    assert_written("1E+3", "1e3");
    assert_written("0.00", "0.00");
    assert_written("-0", "-0");
    assert_written("-0.0", "-0.0");
    assert_written("1.50", "1.50");
    assert_written("-0.05", "-0.05");
    assert_written("12.5e1", "125");
    assert_written("1e0000000000000000000001", "1e1");
    assert_refuses("+1");
    assert_refuses("01");
    assert_refuses("-01");
    assert_refuses("00");
    assert_refuses("-");
    assert_refuses("--1");
    assert_refuses("- 1");
    assert_refuses(".5");
    assert_refuses("-.5");
    assert_refuses("5.");
    assert_refuses("1.e1");
    assert_refuses("1e");
    assert_refuses("1e+");
    assert_refuses("1e1.5");
    assert_refuses("1.2.3");
    assert_refuses("0x10");
    assert_refuses("1_000");
    assert_refuses("1f");
    assert_refuses("NaN");
    assert_refuses("nan");
    assert_refuses("-NaN");
    assert_refuses("Infinity");
    assert_refuses("-Infinity");
    assert_refuses("inf");
    assert_refuses("[NaN]");
    assert_refuses("{\"a\":NaN}");
    assert_refuses("{\"a\":Infinity}");
    assert_refuses("{\"a\":-Infinity}");
    assert_refuses("\xd9\xa1"); /* an Arabic digit */
}

static void doc_numbers_beyond_a_double_are_refused(void **state)
{
    (void)state;
    assert_refuses("1e400");
    assert_refuses("-1e400");
    assert_refuses("1e309");
    assert_refuses("1.8e308");
    assert_refuses("{\"a\":[1e99999999999999999999]}");
    assert_reads("1.7976931348623157e308");
    assert_reads("-1.7976931348623157e308");
    assert_reads("1e-400");
    assert_reads("1e-99999999999999999999");
    assert_reads("0e400");
    assert_reads("9223372036854775808");
    assert_reads("123456789012345678901234567890");
}

/* As many zeros behind the point as the exponent takes back, or nearly. */
static enum doc_error read_shifted(size_t zeros, const char *exponent)
{
    size_t size = 2 + zeros + 1 + strlen(exponent);
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, '0', 2 + zeros);
    text[1] = '.';
    snprintf(text + 2 + zeros, size + 1 - 2 - zeros, "1%s", exponent);
    enum doc_error error = read_as(text, size, wide_limits);
    free(text);
    return error;
}

static void doc_large_exponent_is_not_cut_before_the_fraction_is_counted(void **state)
{
    (void)state;
    assert_int_equal(read_shifted(100000, "e1000000"), DOC_BAD_JSON); /* 10^899999 */
    assert_int_equal(read_shifted(100000, "e100001"), DOC_OK);        /* 1 */
    struct doc_ref root;
    char text[300];
    memset(text, '0', sizeof text);
    text[1] = '.';
    memcpy(text + 250, "1e249", 6);
    assert_int_equal(parse_exact(parser, text, 255, wide_limits, &root), DOC_OK);
    assert_true(doc_number(root) == 1.0);
}

static void doc_strings_are_unescaped(void **state)
{
    (void)state;
    static const char text[] =
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude81\\uD83D"
        "\\uDE81\\uffff\\u0000.\"";
    static const char value[] = "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\x81"
                                "\xf0\x9f\x9a\x81\xef\xbf\xbf\0.";
    struct doc_ref root;
    assert_int_equal(parse_exact(parser, text, sizeof text - 1, wide_limits, &root), DOC_OK);
    size_t size;
    const char *read = doc_string(root, &size);
    assert_int_equal(size, sizeof value - 1);
    assert_memory_equal(read, value, size);
}

static void doc_nul_is_refused_raw_and_read_escaped(void **state)
{
    (void)state;
    assert_refuses("\"a\0b\"");
    assert_refuses("{\"a\0\":1}");
    assert_refuses("[1\0]");
    assert_refuses("1\0");
    assert_refuses("\0");
    assert_refuses("{}\0");
    assert_reads("\"a\\u0000b\"");
    assert_reads("{\"a\\u0000b\":1,\"a\\u0000c\":2,\"a\":3}");
    assert_refuses("{\"a\\u0000b\":1,\"a\\u0000b\":2}");
}

static void doc_control_characters_and_bad_escapes_are_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 0x20; c++) {
        char text[] = {'"', (char)c, '"'};
        assert_int_equal(read_as(text, sizeof text, wide_limits), DOC_BAD_JSON);
    }
    assert_reads("\"\x7f\"");
    for (int c = 0; c < 256; c++) {
        char text[] = {'"', '\\', (char)c, '"'};
        bool known = c != 0 && strchr("\"\\/bfnrt", c);
        assert_int_equal(read_as(text, sizeof text, wide_limits), known ? DOC_OK : DOC_BAD_JSON);
    }
    assert_refuses("\"\\");
    assert_refuses("\"\\u\"");
    assert_refuses("\"\\u12\"");
    assert_refuses("\"\\u123\"");
    assert_refuses("\"\\u123g\"");
    assert_refuses("\"\\u 123\"");
    assert_refuses("\"\\U0041\"");
    assert_refuses("\"\\x41\"");
    assert_refuses("\"open");
}

static void doc_lone_surrogates_are_refused(void **state)
{
    (void)state;
    assert_refuses("\"\\ud800\"");
    assert_refuses("\"\\udbff\"");
    assert_refuses("\"\\udc00\"");
    assert_refuses("\"\\udfff\"");
    assert_refuses("\"\\ud83dx\"");
    assert_refuses("\"\\ud83d\\n\"");
    assert_refuses("\"\\ud83d\\ud83d\"");
    assert_refuses("\"\\ud83d\\u0041\"");
    assert_refuses("\"\\ude81\\ud83d\"");
    assert_refuses("\"\\ud83d\\\"");
    assert_refuses("\"\\ud83d\\u\"");
    assert_refuses("{\"\\ud800\":1}");
    assert_reads("\"\\ud800\\udc00\"");
    assert_reads("\"\\udbff\\udfff\"");
}

/* RFC 3629, and nothing but it. */
static bool utf8_by_the_book(const unsigned char *s, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t code = s[i];
        size_t more = code < 0x80 ? 0 : code < 0xc0 ? 9 : code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (more > 3 || code > 0xf7 || i + more >= size + (more == 0))
            return false;
        code &= more == 0 ? 0x7f : 0x3fu >> more;
        for (size_t j = 1; j <= more; j++) {
            if ((s[i + j] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (s[i + j] & 0x3f);
        }
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

static void doc_utf8_is_what_rfc_3629_says(void **state)
{
    (void)state;
    /* Every two bytes, then every lead byte with the bytes that decide about it. */
    static const unsigned char deciding[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                             0xa0, 0xbf, 0xc0, 0xff, '"'};
    enum { COUNT = sizeof deciding };
    for (unsigned lead = 0x80; lead < 0x100; lead++) {
        for (unsigned i = 0; i < COUNT * COUNT * COUNT; i++) {
            unsigned char text[] = {'"',
                                    (unsigned char)lead,
                                    deciding[i % COUNT],
                                    deciding[i / COUNT % COUNT],
                                    deciding[i / COUNT / COUNT],
                                    '"'};
            for (size_t size = 1; size <= 4; size++) {
                unsigned char one[6];
                memcpy(one, text, 6);
                one[1 + size] = '"';
                if (memchr(one + 1, '"', size))
                    continue;
                bool good = utf8_by_the_book(one + 1, size);
                enum doc_error error = read_as((const char *)one, size + 2, wide_limits);
                assert_int_equal(error, good ? DOC_OK : DOC_BAD_JSON);
            }
        }
    }
    assert_refuses("\"\xc0\x80\"");                 /* overlong NUL */
    assert_refuses("\"\xc0\xaf\"");                 /* overlong slash */
    assert_refuses("\"\xe0\x80\xaf\"");             /* and longer */
    assert_refuses("\"\xf0\x80\x80\xaf\"");         /* and longer */
    assert_refuses("\"\xed\xa0\xbd\xed\xba\x81\""); /* CESU-8 */
    assert_refuses("\"\xf4\x90\x80\x80\"");         /* beyond U+10FFFF */
    assert_refuses("{\"\xc3\":1}");
    assert_refuses("\"\xe2\x82");
    assert_refuses("\xe9");
}

static void doc_text_is_bounded_by_bytes(void **state)
{
    (void)state;
    struct doc_limits limits = {.max_bytes = 8, .max_depth = 4};
    assert_int_equal(read_as("\"123456\"", 8, limits), DOC_OK);
    assert_int_equal(read_as("\"1234567\"", 9, limits), DOC_TOO_LARGE);
    assert_int_equal(read_as("not json!", 9, limits), DOC_TOO_LARGE);

    size_t size = DOC_MAX_BYTES + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, ' ', size);
    text[0] = '1';
    limits.max_bytes = SIZE_MAX;
    assert_int_equal(read_as(text, size, limits), DOC_TOO_LARGE);
    assert_int_equal(read_as(text, size - 1, limits), DOC_OK);
    free(text);
}

/* `depth` containers in one another, arrays and objects in turn. */
static enum doc_error read_nested(unsigned depth, unsigned max_depth, bool closed)
{
    struct buf buf = BUF_INIT;
    for (unsigned i = 0; i < depth; i++)
        buf_adds(&buf, i % 2 ? "{\"a\":" : "[");
    buf_adds(&buf, "1");
    for (unsigned i = depth; closed && i-- > 0;)
        buf_adds(&buf, i % 2 ? "}" : "]");
    struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = max_depth};
    enum doc_error error = read_as(buf.data, buf.size_bytes, limits);
    buf_done(&buf);
    return error;
}

static void doc_depth_is_bounded_exactly(void **state)
{
    (void)state;
    for (unsigned depth = 0; depth <= DOC_MAX_DEPTH; depth++) {
        assert_int_equal(read_nested(depth, depth, true), DOC_OK);
        if (depth > 0)
            assert_int_equal(read_nested(depth, depth - 1, true), DOC_TOO_DEEP);
    }
    assert_int_equal(read_nested(DOC_MAX_DEPTH, 100000, true), DOC_OK);
    assert_int_equal(read_nested(DOC_MAX_DEPTH + 1, 100000, true), DOC_TOO_DEEP);
    assert_int_equal(read_nested(1000000, 100000, false), DOC_TOO_DEEP);
}

static void doc_first_fault_in_the_text_decides(void **state)
{
    (void)state;
    struct doc_limits limits = {.max_bytes = 100, .max_depth = 2};
    assert_int_equal(read_as("[[[", 3, limits), DOC_TOO_DEEP);
    assert_int_equal(read_as("[x,[[", 5, limits), DOC_BAD_JSON);
    assert_int_equal(read_as("[[],[],[]]", 10, limits), DOC_OK);
}

static void doc_duplicate_names_are_refused(void **state)
{
    (void)state;
    assert_refuses("{\"a\":1,\"a\":1}");
    assert_refuses("{\"a\":1,\"b\":2,\"a\":3}");
    assert_refuses("{\"a\":1,\"\\u0061\":1}");
    assert_refuses("{\"\\u0061\":1,\"a\":1}");
    assert_refuses("{\"\":1,\"\":1}");
    assert_refuses("{\"\xc3\xa9\":1,\"\\u00e9\":1}");
    assert_refuses("{\"\\ud83d\\ude81\":1,\"\xf0\x9f\x9a\x81\":1}");
    assert_refuses("{\"x\":{\"y\":[{\"a\":1,\"a\":1}]}}");
    assert_refuses("{\"x\":{\"a\":[{}],\"b\":{\"a\":0},\"a\":1}}");
    assert_refuses("{\"a-long-name-of-many-bytes-1\":1,\"a-long-name-of-many-bytes-1\":1}");
    assert_reads("{\"a\":1,\"A\":1}");
    assert_reads("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}");
    assert_reads("{\"a-long-name-of-many-bytes-1\":1,\"a-long-name-of-many-bytes-2\":1}");
    assert_reads("{\"\xc3\xa9\":1,\"e\xcc\x81\":1}"); /* no normalisation */
    assert_reads("{\"12345678\":1,\"1234567\":1,\"123456789\":1}");
}

/* An object of `members` members with short and long names, of which `again` repeats `first`'s. */
static enum doc_error read_members(unsigned members, int first, int again)
{
    struct buf buf = BUF_INIT;
    for (unsigned i = 0; i < members; i++) {
        unsigned number = (int)i == again ? (unsigned)first : i;
        buf_addf(&buf, "%s\"%s%u\":{\"n\":[%u]}", i ? "," : "{",
                 number % 3 ? "" : "a-name-with-a-long-start-", number, i);
    }
    buf_adds(&buf, "}");
    enum doc_error error = read_as(buf.data, buf.size_bytes, wide_limits);
    buf_done(&buf);
    return error;
}

static void doc_duplicate_names_are_found_in_objects_of_every_size(void **state)
{
    (void)state;
    for (unsigned members = 2; members <= 40; members++) {
        assert_int_equal(read_members(members, -1, -1), DOC_OK);
        for (unsigned again = 1; again < members; again++)
            for (unsigned first = 0; first < again; first++)
                assert_int_equal(read_members(members, (int)first, (int)again), DOC_BAD_JSON);
    }
    assert_int_equal(read_members(20000, -1, -1), DOC_OK);
    assert_int_equal(read_members(20000, 0, 19999), DOC_BAD_JSON);
    assert_int_equal(read_members(20000, 9998, 9999), DOC_BAD_JSON);
}

static void doc_member_names_are_bounded(void **state)
{
    (void)state;
    for (size_t size = DOC_MAX_NAME_BYTES; size <= DOC_MAX_NAME_BYTES + 1; size++) {
        struct buf buf = BUF_INIT;
        buf_adds(&buf, "{\"");
        for (size_t i = 0; i < size; i++)
            buf_addc(&buf, 'n');
        buf_adds(&buf, "\":1}");
        enum doc_error error = read_as(buf.data, buf.size_bytes, wide_limits);
        assert_int_equal(error, size > DOC_MAX_NAME_BYTES ? DOC_TOO_LARGE : DOC_OK);
        buf_done(&buf);
    }
}

static const char sample[] =
    "{\"vid\":\"VID-001\",\"timestamp\":\"2026-01-15T10:30:00.123Z\",\"boot\":\"b\\u00e97\","
    "\"seq\":"
    "12345,\"data\":{\"lat\":-59.3e0,\"a\":[true,false,null,\"\xe2\x82\xac\\ud83d\\ude81\",{}]}}";

static void doc_truncated_at_every_byte_is_refused(void **state)
{
    (void)state;
    assert_reads(sample);
    for (size_t size = 0; size < sizeof sample - 1; size++)
        assert_int_equal(read_as(sample, size, wide_limits), DOC_BAD_JSON);
}

static void doc_refusal_names_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {{"", 0},           {"  x", 2},         {"[1,2,x]", 5},
                 {"{\"a\" 1}", 5},  {"{\"a\":1 1}", 7}, {"\"ab\\q\"", 3},
                 {"\"ab\xff\"", 3}, {"{} {}", 3},       {"{\"a\":1,\"a\":2}", 12},
                 {"{\"a\":1,", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_as(cases[i].text, strlen(cases[i].text), wide_limits);
        assert_int_equal(doc_parser_offset(parser), cases[i].offset);
        assert_true(strlen(doc_parser_reason(parser)) > 0);
    }
    /* and an accepted text forgets the refusal before */
    assert_reads("[]");
    assert_int_equal(doc_parser_offset(parser), 2);
    assert_string_equal(doc_parser_reason(parser), "");
}

static void doc_parser_that_is_none_may_be_freed(void **state)
{
    (void)state;
    struct doc_parser *one = doc_parser_new(), *two = NULL;
    assert_non_null(one);
    doc_parser_free(one); /* never used */
    doc_parser_free(two);
}

static void doc_parser_works_on_after_every_refusal(void **state)
{
    (void)state;
    for (size_t size = sizeof sample - 2; size > 0; size /= 2) {
        read_as(sample, size, wide_limits);
        assert_written(sample,
                       "{\"vid\":\"VID-001\",\"timestamp\":\"2026-01-15T10:30:00.123Z\",\"boot\":"
                       "\"b\xc3\xa9"
                       "7\",\"seq\":12345,\"data\":{\"lat\":-59.3,\"a\":[true,false,null,"
                       "\"\xe2\x82\xac\xf0\x9f\x9a\x81\",{}]}}");
    }
}

static bool parse_and_copy(void *context)
{
    const struct buf *text = context;
    struct doc_parser *fresh = doc_parser_new();
    if (!fresh)
        return false;
    struct doc_ref root;
    struct doc *doc = NULL;
    enum doc_error error = doc_parse(fresh, text->data, text->size_bytes, wide_limits, &root);
    assert_true(error == DOC_OK || error == DOC_NO_MEMORY);
    if (error == DOC_OK)
        doc = doc_copy(root);
    if (error == DOC_NO_MEMORY) { /* and it is as good as new */
        fault_disarm();
        assert_int_equal(doc_parse(fresh, text->data, text->size_bytes, wide_limits, &root),
                         DOC_OK);
    }
    doc_parser_free(fresh);
    free(doc);
    return doc != NULL;
}

static void doc_out_of_memory_anywhere_is_told_and_survived(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    for (int i = 0; i < 500; i++)
        buf_addf(&text, "%s\"member%d\":[%d,{}]", i ? "," : "{", i, i);
    buf_adds(&text, "}");
    /* the parser, the text, nodes and signatures that grow several times, the order, the copy */
    assert_in_range(fault_loop(parse_and_copy, &text), 8, 100);
    buf_done(&text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(doc_every_kind_of_value_is_read),
        cmocka_unit_test(doc_text_that_is_no_json_is_refused),
        cmocka_unit_test(doc_numbers_follow_the_grammar),
        cmocka_unit_test(doc_numbers_beyond_a_double_are_refused),
        cmocka_unit_test(doc_large_exponent_is_not_cut_before_the_fraction_is_counted),
        cmocka_unit_test(doc_strings_are_unescaped),
        cmocka_unit_test(doc_nul_is_refused_raw_and_read_escaped),
        cmocka_unit_test(doc_control_characters_and_bad_escapes_are_refused),
        cmocka_unit_test(doc_lone_surrogates_are_refused),
        cmocka_unit_test(doc_utf8_is_what_rfc_3629_says),
        cmocka_unit_test(doc_text_is_bounded_by_bytes),
        cmocka_unit_test(doc_depth_is_bounded_exactly),
        cmocka_unit_test(doc_first_fault_in_the_text_decides),
        cmocka_unit_test(doc_duplicate_names_are_refused),
        cmocka_unit_test(doc_duplicate_names_are_found_in_objects_of_every_size),
        cmocka_unit_test(doc_member_names_are_bounded),
        cmocka_unit_test(doc_truncated_at_every_byte_is_refused),
        cmocka_unit_test(doc_refusal_names_the_place),
        cmocka_unit_test(doc_parser_that_is_none_may_be_freed),
        cmocka_unit_test(doc_parser_works_on_after_every_refusal),
        cmocka_unit_test(doc_out_of_memory_anywhere_is_told_and_survived),
    };
    return cmocka_run_group_tests_name("doc_parse", tests, make_parser, free_parser);
}
