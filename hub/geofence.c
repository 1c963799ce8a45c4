#include "hub/geofence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of a regular file, at most one byte more than is allowed; NULL with errno, 0 where it is no
 * regular file. Opened without waiting, so that a pipe or a device stops nobody. */
static char *read_regular(const char *path, size_t *size)
{
    struct stat status;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    errno = 0;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        goto out;
    text = malloc(GEO_JSON_MAX_BYTES + 1);
    ssize_t got = text ? 1 : -1;
    for (*size = 0; got > 0 && *size <= GEO_JSON_MAX_BYTES; *size += got > 0 ? (size_t)got : 0)
        got = read(fd, text + *size, GEO_JSON_MAX_BYTES + 1 - *size);
    if (got < 0) {
        free(text);
        text = NULL;
    }
out:;
    int saved = errno;
    close(fd);
    errno = saved;
    return text;
}

bool geofence_load(const struct config *config, struct geo_area **area, struct buf *why)
{
    const char *path = config->commands.policy.geofence;
    struct text_error error;
    size_t size;
    if (!path) {
        *area = NULL;
        return true;
    }
    char *text = read_regular(path, &size);
    if (!text) {
        buf_addf(why, "%s: %s", path, errno ? strerror(errno) : "is no regular file");
        return false;
    }
    struct geo_area *read = geo_area_from_geojson(text, size, &error);
    free(text);
    if (!read) {
        buf_addf(why, "%s: %s%s%s%s", path, error.detail, *error.hint ? " (" : "", error.hint,
                 *error.hint ? ")" : "");
        return false;
    }
    *area = read;
    return true;
}
