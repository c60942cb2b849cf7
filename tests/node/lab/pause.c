/* What holds a Pod's namespaces: it waits for a signal, and reaps whoever was left to it. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

static void reap(int signal) {
    (void)signal;
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
}

int main(void) {
    struct sigaction ends = {.sa_handler = end}, reaps = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
    sigaction(SIGINT, &ends, 0);
    sigaction(SIGTERM, &ends, 0);
    sigaction(SIGCHLD, &reaps, 0);
    for (;;)
        pause();
}
