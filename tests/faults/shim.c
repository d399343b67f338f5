/* Stands between a program and the C library, and lets some calls fail or lie as a file says.
   Compiled by the tests, loaded with LD_PRELOAD. The file: five 64-bit numbers, in order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t wall_ns;      /* is added to the wall clock */
    int64_t failing_sync; /* the sync of a segment with this number fails, counted from 1 */
    int64_t syncs;        /* syncs of segments so far */
    int64_t full;         /* 1: for checkpoints; 2: for everything that grows in the directory */
    int64_t refused;      /* writes that found no space */
};

static struct control nothing, *control = &nothing;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) control = map;
    close(fd);
}

static int64_t load(int64_t *number) { return __atomic_load_n(number, __ATOMIC_SEQ_CST); }

static int is_below(int fd, const char *folder) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, folder) != 0;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, time);
    if (result == 0 && id == CLOCK_REALTIME) {
        int64_t ns = time->tv_sec * 1000000000LL + time->tv_nsec + load(&control->wall_ns);
        time->tv_sec = ns / 1000000000LL;
        time->tv_nsec = ns % 1000000000LL;
    }
    return result;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (is_below(fd, "/segments/")) {
        int64_t number = __atomic_add_fetch(&control->syncs, 1, __ATOMIC_SEQ_CST);
        if (number == load(&control->failing_sync)) {
            errno = EIO;
            return -1;
        }
    }
    return real(fd);
}

/* How many of the bytes the disk takes: some of a checkpoint and then none, as a real one does. */
static size_t taken(int fd, size_t bytes, off_t offset) {
    int64_t full = load(&control->full);
    if (full == 1 && is_below(fd, "/audit/checkpoints/"))
        return __atomic_fetch_add(&control->refused, 1, __ATOMIC_SEQ_CST) % 2 ? 0 : bytes / 2;
    struct stat stat;
    if (full == 2 && is_below(fd, "/data/") && fstat(fd, &stat) == 0
        && offset + (off_t)bytes > stat.st_size) {
        __atomic_fetch_add(&control->refused, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    return bytes;
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    size_t some = bytes ? taken(fd, bytes, offset) : 0;
    if (bytes && !some) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, from, some, offset);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset) {
    return pwrite64(fd, from, bytes, offset);
}

ssize_t write(int fd, const void *from, size_t bytes) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (load(&control->full) && bytes) {
        off_t offset = lseek(fd, 0, SEEK_CUR);
        size_t some = offset < 0 ? bytes : taken(fd, bytes, offset);
        if (!some) {
            errno = ENOSPC;
            return -1;
        }
        bytes = some;
    }
    return real(fd, from, bytes);
}
