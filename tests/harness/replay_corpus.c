/*
 * replay_corpus: the main() of a fuzz target where there is no libFuzzer. Runs every file of the
 * folders given through LLVMFuzzerTestOneInput, and the empty input, so that each kept input is a
 * regression test under whatever sanitizers the build has.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_MAX_BYTES = 4096, INPUT_MAX_BYTES = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input in a block of exactly its size, so that reading one byte beyond is found. */
static int replay_file(const char *path, size_t size)
{
    int result = -1;
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    if (file && data && fread(data, 1, size, file) == size) {
        LLVMFuzzerTestOneInput(data, size);
        result = 0;
    } else {
        perror(path);
    }
    free(data);
    if (file)
        fclose(file);
    return result;
}

/* The number of inputs run, -1 where one could not be read. */
static int replay_folder(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry; count >= 0 && (entry = readdir(dir));) {
        char path[PATH_MAX_BYTES];
        struct stat info;
        int written = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (written < 0 || (size_t)written >= sizeof path || stat(path, &info) != 0) {
            count = -1;
        } else if (S_ISREG(info.st_mode) && info.st_size <= INPUT_MAX_BYTES) {
            /* Told before it runs: a crash names its input. */
            fprintf(stderr, "input %s\n", entry->d_name);
            count = replay_file(path, (size_t)info.st_size) == 0 ? count + 1 : -1;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i],
                    count == 0 ? "a fuzz target keeps at least one input" : "cannot be read");
            return EXIT_FAILURE;
        }
        printf("replayed %d inputs of %s\n", count, argv[i]);
    }
    return EXIT_SUCCESS;
}
