/* Numbers of the configuration, with units behind them. */
#include "hub/config_key.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_MAX_BYTES = 40 };

struct unit {
    const char *name;
    double factor;
};

/* The first unit that divides a value is the one that it is written in. */
static const struct unit time_units[] = {{"d", 86400}, {"h", 3600},  {"min", 60}, {"m", 60},
                                         {"s", 1},     {"ms", 1e-3}, {NULL, 0}};
/* KB and KiB are both 1024 bytes, as in the configuration of nats-server. */
static const struct unit size_units[] = {
    {"TB", 0x1p40},  {"GB", 0x1p30},  {"MB", 0x1p20},  {"KB", 0x1p10},  {"B", 1},
    {"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};

static const struct unit *units_of(enum config_type type)
{
    if (type == CONFIG_AGE || type == CONFIG_DURATION)
        return time_units;
    return type == CONFIG_SIZE ? size_units : no_units;
}

/* Sizes are written in any case; of times, an M would be anyone's guess. */
static bool is_unit(enum config_type type, const char *text, const char *name)
{
    return (type == CONFIG_SIZE ? strcasecmp(text, name) : strcmp(text, name)) == 0;
}

/* The length of the decimal number that `text` begins with; 0 where it begins with none. strtod
 * would take hexadecimal, infinities and white space too. */
static size_t number_size(const char *text)
{
    static const char digits[] = "0123456789";
    size_t size = text[0] == '-' || text[0] == '+';
    size_t whole = strspn(text + size, digits);
    size += whole;
    if (text[size] == '.') {
        size_t fraction = strspn(text + size + 1, digits);
        if (whole + fraction == 0)
            return 0;
        size += 1 + fraction;
    } else if (whole == 0) {
        return 0;
    }
    if (text[size] == 'e' || text[size] == 'E') {
        size_t sign = text[size + 1] == '-' || text[size + 1] == '+';
        size_t exponent = strspn(text + size + 1 + sign, digits);
        if (exponent > 0)
            size += 1 + sign + exponent;
    }
    return size;
}

bool config_number_read(enum config_type type, const char *text, double *value)
{
    char number[NUMBER_MAX_BYTES];
    size_t size = number_size(text);
    if (size == 0 || size >= sizeof number)
        return false;
    memcpy(number, text, size);
    number[size] = '\0';
    double read = strtod(number, NULL);
    const char *suffix = text + size;
    while (*suffix == ' ')
        suffix++;
    const struct unit *unit = units_of(type);
    while (*suffix && unit->name && !is_unit(type, suffix, unit->name))
        unit++;
    if (*suffix && !unit->name)
        return false;
    if (*suffix)
        read *= unit->factor;
    if (!isfinite(read))
        return false;
    if (fabs(read - round(read)) < 1e-6) /* 1.1h are 3960 seconds, whatever binary makes of it */
        read = round(read);
    *value = read;
    return true;
}

void config_number_write(enum config_type type, double value, struct buf *out)
{
    for (const struct unit *unit = units_of(type); unit->name && value != 0; unit++) {
        double count = value / unit->factor;
        if (unit->factor > 1 && count == floor(count)) {
            buf_addf(out, "%.0f%s", count, unit->name);
            return;
        }
    }
    if (value == floor(value) && fabs(value) < 1e15) {
        buf_addf(out, "%.0f", value);
        return;
    }
    char text[NUMBER_MAX_BYTES];
    for (int digits = 6; digits <= 17; digits++) { /* the shortest that reads the same */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_adds(out, text);
}
