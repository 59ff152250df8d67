/* The bundle's `tcnat`: starts the interpreter that lies beside it, with the loader and libraries that lie beside it.
 *
 * Statically linked, because the machine may have no C library. Leaves the environment alone: what the agent starts
 * (a kubeconfig's credential plugin, for instance) must not inherit this bundle's Python.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LOADER
#error "LOADER must be the file name of the dynamic loader"
#endif

static char directory[PATH_MAX];

static char *beside(const char *name)
{
    char *path = malloc(strlen(directory) + strlen(name) + 2);
    if (path == NULL) {
        fputs("tcnat: out of memory\n", stderr);
        exit(1);
    }
    sprintf(path, "%s/%s", directory, name);
    return path;
}

int main(int count, char **words)
{
    ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    char *slash = length > 0 ? strrchr(directory, '/') : NULL;
    if (slash == NULL) {
        fputs("tcnat: /proc is not mounted, so this bundle cannot tell where it lies\n", stderr);
        return 1;
    }
    *slash = 0;
    /* -I: no variables, no modules of the user's; -S: no site packages; -X utf8: whatever the locale. */
    char *fixed[] = {beside("lib/" LOADER),
                     "--inhibit-cache",
                     "--library-path",
                     beside("lib"),
                     "--argv0",
                     beside("tcnat"),
                     beside("lib/python"),
                     "-I",
                     "-S",
                     "-X",
                     "utf8",
                     beside("lib/main.pyc")};
    size_t start = sizeof(fixed) / sizeof(*fixed);
    char **all = calloc(start + count, sizeof(*all));
    if (all == NULL)
        return 1;
    memcpy(all, fixed, sizeof(fixed));
    memcpy(all + start, words + 1, (count - 1) * sizeof(*all));
    execv(fixed[0], all);
    fprintf(stderr, "tcnat: %s: %s; is the bundle whole?\n", fixed[0], strerror(errno));
    return 1;
}
