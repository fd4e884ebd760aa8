/* Preloaded into a process: appends every write, truncate and fsync of *.db and *.db-wal to $POWERLOG,
   and every line written to *.acks, in the order in which they happened.
   Record: op 'w' 't' 's' 'a', file 'd' 'l' 'a', offset int64, length int64, then the bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char kind[4096];
static int out = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void put(const void *bytes, size_t length) {
    if (REAL(write)(out, bytes, length) != (ssize_t)length) abort();
}

static void record(char op, int fd, int64_t offset, const void *bytes, int64_t length) {
    if (fd < 0 || fd >= 4096 || !kind[fd]) return;
    pthread_mutex_lock(&turn);
    if (out < 0) {
        int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
        out = really(getenv("POWERLOG"), O_CREAT | O_WRONLY | O_APPEND, 0644);
    }
    char head[2] = {op, kind[fd]};
    put(head, 2), put(&offset, 8), put(&length, 8);
    if (bytes) put(bytes, length);
    pthread_mutex_unlock(&turn);
}

static int opened(int fd, const char *path) {
    if (fd < 0 || fd >= 4096) return fd;
    size_t n = strlen(path);
    kind[fd] = n > 3 && !strcmp(path + n - 3, ".db") ? 'd'
             : n > 4 && !strcmp(path + n - 4, "-wal") ? 'l'
             : n > 5 && !strcmp(path + n - 5, ".acks") ? 'a' : 0;
    return fd;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
    int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
    return opened(really(path, flags, mode), path); }
OPEN(open)
OPEN(open64)

int close(int fd) { if (fd >= 0 && fd < 4096) kind[fd] = 0; return REAL(close)(fd); }

/* What is about to happen may be half done when the power goes: writes are recorded before. */
#define PWRITE(name, off) ssize_t name(int fd, const void *b, size_t n, off offset) { \
    record('w', fd, offset, b, n); return REAL(name)(fd, b, n, offset); }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *b, size_t n) {
    if (fd >= 0 && fd < 4096 && kind[fd] == 'a') record('a', fd, 0, b, n);
    else if (fd >= 0 && fd < 4096 && kind[fd]) record('w', fd, lseek(fd, 0, SEEK_CUR), b, n);
    return REAL(write)(fd, b, n);
}

#define TRUNCATE(name, off) int name(int fd, off n) { \
    record('t', fd, n, NULL, 0); return REAL(name)(fd, n); }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* A sync has happened only when it returns. */
#define SYNC(name) int name(int fd) { int rc = REAL(name)(fd); if (!rc) record('s', fd, 0, NULL, 0); return rc; }
SYNC(fsync)
SYNC(fdatasync)
