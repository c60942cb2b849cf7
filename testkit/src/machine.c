/* Loaded into one process: its wall clock and its DNS are what the file in MACHINE says, as "SECONDS DNS". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void machine(long *seconds, int *dns) {
    char text[64] = "";
    const char *name = getenv("MACHINE");
    // Without O_NOATIME, a read of the file that the test has just written counts as a write of this process.
    int file = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOATIME) : -1;
    *seconds = 0;
    *dns = 1;
    if (file < 0)
        return;
    if (read(file, text, sizeof text - 1) > 0)
        sscanf(text, "%ld %d", seconds, dns);
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long seconds;
    int dns, failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed || clock != CLOCK_REALTIME)
        return failed;
    machine(&seconds, &dns);
    now->tv_sec += seconds;
    return 0;
}

/* Names under lab. are this host's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    long seconds;
    int dns, (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    machine(&seconds, &dns);
    if (!dns)
        return EAI_AGAIN;
    return next(node && strstr(node, ".lab") ? "127.0.0.1" : node, service, hints, found);
}
