/* Runs a fuzz target over every file of the folders named: seeds and past crashes as plain tests.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *path)
{
    static uint8_t data[4 << 20];
    FILE *fp = fopen(path, "rb");
    size_t size;

    if (fp == NULL)
        return 1;
    size = fread(data, 1, sizeof(data), fp);
    fclose(fp);
    return LLVMFuzzerTestOneInput(data, size);
}

int
main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *ent;
        char path[4096];

        if (dir == NULL) {
            perror(argv[i]);
            return 1;
        }
        while ((ent = readdir(dir)) != NULL) {
            if (ent->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], ent->d_name);
            if (replay_file(path) != 0)
                return 1;
            count++;
        }
        closedir(dir);
    }
    printf("%d inputs replayed\n", count);
    return count == 0;
}
