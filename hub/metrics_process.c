/* metrics: what the process itself uses, as the kernel tells it. */
#include "hub/metrics_impl.h"
#include "twin/timestamp.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Field `number` (as in proc(5), from 1) of /proc/self/stat. The second field, the program's
 * name, may hold anything, so counting starts behind its closing bracket. */
static double stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    if (!at)
        return NAN;
    double value = NAN;
    int field = 2;
    for (at++; *at && field < number; field++) {
        while (*at == ' ')
            at++;
        if (field + 1 == number)
            return sscanf(at, "%lf", &value) == 1 ? value : NAN;
        at += strcspn(at, " ");
    }
    return NAN;
}

static void sample_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_set(METRIC_MAX_FDS, 0, (double)limit.rlim_cur);
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return;           /* none left, most likely: the last number stands */
    double open_fds = -3; /* `.`, `..`, and the folder itself */
    while (readdir(folder))
        open_fds++;
    closedir(folder);
    metrics_set(METRIC_OPEN_FDS, 0, open_fds);
}

void metrics_sample_process(void)
{
    sample_files();
    char stat[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return;
    size_t size = fread(stat, 1, sizeof stat - 1, file);
    fclose(file);
    stat[size] = '\0';

    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    struct timespec wall, since_boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    double boot_s = (double)(wall.tv_sec - since_boot.tv_sec) +
                    (double)(wall.tv_nsec - since_boot.tv_nsec) / (double)NS_PER_S;
    metrics_set(METRIC_CPU_SECONDS, 0, (stat_field(stat, 14) + stat_field(stat, 15)) / ticks_per_s);
    metrics_set(METRIC_RESIDENT, 0, stat_field(stat, 24) * (double)sysconf(_SC_PAGESIZE));
    metrics_set(METRIC_THREADS, 0, stat_field(stat, 20));
    /* Rounded: the two clocks are read one after the other, and a start time does not move. */
    metrics_set(METRIC_START_TIME, 0,
                round((boot_s + stat_field(stat, 22) / ticks_per_s) * 100) / 100);
}
