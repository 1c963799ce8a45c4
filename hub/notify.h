/*
 * notify: tells the service manager how the hub is (sd_notify(3): one datagram of lines to the
 * socket that NOTIFY_SOCKET names). Without a manager it does nothing.
 *
 * Threads: any.
 */
#ifndef HUB_NOTIFY_H
#define HUB_NOTIFY_H

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…", lines with a line break between them. */
void notify_say(const char *lines);
/* How often WATCHDOG=1 has to be said, half of what the manager bears; 0: never. */
int notify_watchdog_ms(void);

#endif
