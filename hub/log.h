/*
 * log: structured lines on standard error, in logfmt or JSON.
 *
 *     log_warn("record.batch_failed", "stream", "TWIN_EVENTS", "seq", LOG_INT(812), "error", text);
 *
 * The first word is the event's name, `<lane>.<what>`; then names and string values in pairs, ended
 * by the macro. Each line has ts, level and event. Values are escaped; control bytes never reach a
 * terminal. One write() per line. Any thread.
 */
#ifndef HUB_LOG_H
#define HUB_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_setup(enum log_level level, bool json);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* A number as a string, valid to the end of the statement. */
struct log_number {
    char text[32];
};
struct log_number log_number_of(int64_t value);
#define LOG_INT(value) (log_number_of((int64_t)(value)).text)

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG))                                                                \
            log_write(LOG_DEBUG, __VA_ARGS__, (char *)0);                                          \
    } while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, (char *)0)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, (char *)0)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, (char *)0)

#endif
