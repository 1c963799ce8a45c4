#include "twin/timestamp.h"

#include <stdio.h>

enum {
    SECONDS_PER_DAY = 86400,
    DATE_TIME_BYTES = sizeof "2026-01-31T12:00:00" - 1,
    OFFSET_BYTES = sizeof "01:00" - 1,
};

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years start in March here,
 * so that the leap day is the last of its year. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Two digits; -1 where they are not. */
static int two_digits(const char *at)
{
    unsigned tens = (unsigned char)at[0] - (unsigned)'0',
             ones = (unsigned char)at[1] - (unsigned)'0';
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

static bool read_char(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    ++*at;
    return true;
}

static bool read_fraction(const char **at, const char *end, int64_t *fraction_ns)
{
    int64_t sum = 0, unit = NS_PER_S / 10;
    const char *start = *at;
    while (*at < end && **at >= '0' && **at <= '9') {
        sum += (**at - '0') * unit;
        unit /= 10;
        ++*at;
    }
    *fraction_ns = sum;
    return *at > start;
}

static bool read_offset(const char **at, const char *end, int64_t *offset_s)
{
    int hours, minutes;
    if (*at == end)
        return false;
    char sign = *(*at)++;
    *offset_s = 0;
    if (sign == 'Z' || sign == 'z')
        return true;
    if ((sign != '+' && sign != '-') || end - *at < OFFSET_BYTES || (*at)[2] != ':')
        return false;
    hours = two_digits(*at);
    minutes = two_digits(*at + 3);
    *at += OFFSET_BYTES;
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *offset_s = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

static int64_t saturated_ns(int64_t seconds, int64_t fraction_ns)
{
    __int128 instant = (__int128)seconds * NS_PER_S + fraction_ns;
    if (instant > TIMESTAMP_MAX)
        return TIMESTAMP_MAX;
    if (instant < TIMESTAMP_MIN)
        return TIMESTAMP_MIN;
    return (int64_t)instant;
}

bool timestamp_parse(const char *text, size_t size, int64_t *timestamp_ns)
{
    const char *at = text + DATE_TIME_BYTES, *end = text + size;
    int64_t fraction_ns = 0, offset_s;
    if (size <= DATE_TIME_BYTES || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':')
        return false;
    int century = two_digits(text), year_of_century = two_digits(text + 2);
    int month = two_digits(text + 5), day = two_digits(text + 8);
    int hour = two_digits(text + 11), minute = two_digits(text + 14);
    int second = two_digits(text + 17);
    if (century < 0 || year_of_century < 0 || hour < 0 || minute < 0 || second < 0)
        return false;
    if (read_char(&at, end, '.') && !read_fraction(&at, end, &fraction_ns))
        return false;
    if (!read_offset(&at, end, &offset_s) || at != end)
        return false;
    int year = century * 100 + year_of_century;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;

    int64_t seconds = days_of_date(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 +
                      second - offset_s;
    *timestamp_ns = saturated_ns(seconds, second == 60 ? 0 : fraction_ns);
    return true;
}

static size_t put_digits(char *text, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return (size_t)digits;
}

size_t timestamp_format(int64_t timestamp_ns, char text[TIMESTAMP_TEXT_BYTES])
{
    int64_t seconds = timestamp_ns / NS_PER_S, fraction_ns = timestamp_ns % NS_PER_S;
    if (fraction_ns < 0) {
        fraction_ns += NS_PER_S;
        seconds--;
    }
    int64_t days = seconds / SECONDS_PER_DAY, second_of_day = seconds % SECONDS_PER_DAY;
    if (second_of_day < 0) {
        second_of_day += SECONDS_PER_DAY;
        days--;
    }
    int64_t year;
    int month, day;
    date_of_days(days, &year, &month, &day);

    size_t at = put_digits(text, year, 4);
    text[at++] = '-';
    at += put_digits(text + at, month, 2);
    text[at++] = '-';
    at += put_digits(text + at, day, 2);
    text[at++] = 'T';
    at += put_digits(text + at, second_of_day / 3600, 2);
    text[at++] = ':';
    at += put_digits(text + at, second_of_day / 60 % 60, 2);
    text[at++] = ':';
    at += put_digits(text + at, second_of_day % 60, 2);
    text[at++] = '.';
    if (fraction_ns % NS_PER_MS == 0)
        at += put_digits(text + at, fraction_ns / NS_PER_MS, 3);
    else
        at += put_digits(text + at, fraction_ns, 9);
    text[at++] = 'Z';
    text[at] = '\0';
    return at;
}
