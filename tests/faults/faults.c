/* Faults of the disk, from outside the process: loaded with LD_PRELOAD, it stands between a program and libc.

   Concerned are the files below FAULTS_ROOT (an absolute path without links), which the program must name by
   absolute paths. What happens is told by environment variables, and each kind of operation is counted:

   FAULTS_MODE    what the operation with number FAULTS_AT does:
     count        nothing
     eio          a write fails with EIO
     enospc       a write that makes its file longer, and every such write after it, fails with ENOSPC
     short        a write is cut to a random length; a write to that file that follows fails with ENOSPC
     fsync        a sync of a file fails with EIO
     lostsync     the same, and what was not synced is gone from the file at once, as from a page cache
     power        the power is cut before the operation, whatever kind it is
   FAULTS_AT      counted from 1: writes (eio, enospc, short), syncs (fsync, lostsync), all (power); 0: never
   FAULTS_ONLY    only files whose path has this text are counted and fail
   FAULTS_SEED    of all that is random here
   FAULTS_KEEP    percentage: how likely an unsynced write survives a power cut; 0 drops all of them
   FAULTS_PIECE   bytes that a disk writes whole or not at all (default 4096)
   FAULTS_TRIGGER a fifo: the power is cut when somebody opens it for writing
   FAULTS_REPORT  a file of at least 512 bytes that is mapped: see struct report

   The power cut. Until a file is synced we keep what each write replaced, in pieces of FAULTS_PIECE bytes. At the
   cut every piece goes back to what it was: at the last sync (FAULTS_KEEP=0), or at some moment since, each piece
   by itself, as a disk may write what it was given in any order. So does the length of the file. Truncation is a
   write of nothing. A sync of a file makes its data durable, and not its name.

   Names (creation, rename, removal, new directories) are durable once their directory was synced, as POSIX has it,
   and no file's sync makes them so. At the cut the others are undone from the newest on: all of them, or with
   FAULTS_KEEP as many as chance has it; a file system keeps their order. A new directory that is undone takes along
   all that is in it. What a removal or a rename took away is kept meanwhile in FAULTS_ROOT.lost, a folder that the
   tests make beside it.

   Then the process ends with code 99, with no handler run. debug.log, .lock, .cookie and SQLite's -shm files are
   left as they are: nobody relies on them. Syncs of concerned files are not passed on: only we cut the power.
   Processes that the program starts are not concerned. Files written through mmap, dup or directory descriptors
   are not seen; neither SQLite nor the node writes so. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FD 65536
#define CUT_CODE 99
#define READY do { if (!real_mkdir) find_real(); } while (0)

enum mode { COUNT, EIO_WRITE, ENOSPC_WRITE, SHORT_WRITE, FSYNC, LOST_SYNC, POWER };
enum kind { WRITE, SYNC, NAME };

struct report {
    uint64_t operations, writes, syncs, fired; /* fired: how often an operation failed, or the power was cut */
    char where[480];                           /* the last one: what, and which file */
};

struct piece { /* what a write replaced; the newest comes first */
    struct piece *next;
    off_t at;
    size_t size, old_size; /* old_size: what the file had there */
    char old[];
};

struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    int fd;            /* ours, never closed: closing any descriptor drops the program's locks on the file */
    off_t synced_size;
    struct piece *pieces;
    bool journaled;    /* undone by a power cut */
    char path[PATH_MAX];
};

enum change { CREATED, REMOVED, RENAMED, MADE_DIRECTORY };

struct name { /* an entry of a directory that changed and was not synced, oldest first */
    struct name *next;
    enum change change;
    dev_t dev;
    ino_t dir;
    unsigned kept; /* number of the file in FAULTS_ROOT.lost; 0 for none */
    char path[PATH_MAX], to[PATH_MAX];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool armed;
static enum mode mode;
static uint64_t fault_at, keep, seed = 1;
static off_t piece_size = 4096;
static const char *root, *only, *trigger;
static size_t root_length;
static struct report nowhere, *report = &nowhere;
static struct file *files, *of_fd[MAX_FD], *cut_short;
static struct name *names, **last_name = &names;
static unsigned lost_count;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);

static void power_cut(const char *what, const char *path);

static uint64_t chance(void) { /* splitmix64 */
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool survives(void) { return chance() % 100 < keep; }

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool concerned(const char *path) {
    return armed && strncmp(path, root, root_length) == 0 && path[root_length] == '/' &&
           !ends_with(path, "/debug.log") && !ends_with(path, "/.lock") && !ends_with(path, "/.cookie");
}

static void tell(const char *what, const char *path) {
    report->fired++;
    snprintf(report->where, sizeof report->where, "%s %s", what, path + root_length + 1);
}

/* Counts an operation; true if it is the one that is to fail. A power cut does not return. */
static bool strike(enum kind kind, const char *path) {
    if (only && !strstr(path, only))
        return false;
    report->operations++;
    uint64_t number = kind == WRITE ? ++report->writes : kind == SYNC ? ++report->syncs : 0;
    if (!fault_at)
        return false;
    if (mode == POWER && report->operations == fault_at) {
        static const char *const before[] = {"power cut before a write to", "power cut before a sync of",
                                             "power cut before a change of the name"};
        power_cut(before[kind], path);
    }
    if (kind == WRITE && mode == ENOSPC_WRITE)
        return number >= fault_at;
    if (kind == WRITE && (mode == EIO_WRITE || mode == SHORT_WRITE))
        return number == fault_at;
    return kind == SYNC && (mode == FSYNC || mode == LOST_SYNC) && number == fault_at;
}

/* Files */

static off_t size_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

static struct file *find_file(const struct stat *st) {
    struct file *file = files;
    while (file && !(file->dev == st->st_dev && file->ino == st->st_ino))
        file = file->next;
    return file;
}

/* The record of an open file; old_size: before this open truncated it. */
static struct file *remember(int fd, const char *path, off_t old_size) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    struct file *file = find_file(&st);
    if (!file) {
        char self[64];
        file = calloc(1, sizeof *file);
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        file->fd = real_open(self, O_RDWR | O_CLOEXEC);
        file->dev = st.st_dev, file->ino = st.st_ino;
        file->synced_size = old_size;
        file->journaled = !ends_with(path, "-shm");
        file->next = files, files = file;
    }
    snprintf(file->path, sizeof file->path, "%s", path);
    return file;
}

static void forget_pieces(struct file *file) {
    while (file->pieces) {
        struct piece *piece = file->pieces;
        file->pieces = piece->next;
        free(piece);
    }
    file->synced_size = size_of(file->fd);
}

/* Keeps what the file has from at on, before size bytes there change. */
static void keep_old(struct file *file, off_t at, size_t size) {
    if (!file->journaled)
        return;
    for (off_t end = at + (off_t)size; at < end;) {
        off_t stop = (at / piece_size + 1) * piece_size;
        size_t part = (size_t)((stop < end ? stop : end) - at);
        struct piece *piece = malloc(sizeof *piece + part);
        ssize_t got = pread(file->fd, piece->old, part, at);
        piece->at = at, piece->size = part, piece->old_size = got > 0 ? (size_t)got : 0;
        piece->next = file->pieces, file->pieces = piece;
        at += (off_t)part;
    }
}

/* Names */

static void name_changed(enum change change, const char *path, const char *to, unsigned kept) {
    struct stat st;
    struct name *name = calloc(1, sizeof *name);
    char *folder = strdup(to ? to : path);
    *strrchr(folder, '/') = 0;
    if (stat(folder, &st) == 0)
        name->dev = st.st_dev, name->dir = st.st_ino;
    free(folder);
    name->change = change, name->kept = kept;
    snprintf(name->path, sizeof name->path, "%s", path);
    snprintf(name->to, sizeof name->to, "%s", to ? to : "");
    *last_name = name, last_name = &name->next;
}

static void lost_path(char *path, unsigned number) { snprintf(path, PATH_MAX, "%s.lost/%u", root, number); }

/* A second name for the file at path, so that its removal can be undone; 0 if there is none. */
static unsigned keep_file(const char *path) {
    char kept[PATH_MAX];
    lost_path(kept, ++lost_count);
    return link(path, kept) == 0 ? lost_count : 0;
}

static void names_synced(const struct stat *dir) {
    char kept[PATH_MAX];
    struct name **at = &names;
    while (*at) {
        struct name *name = *at;
        if (name->dev != dir->st_dev || name->dir != dir->st_ino) {
            at = &name->next;
            continue;
        }
        if (name->kept) {
            lost_path(kept, name->kept);
            real_unlink(kept);
        }
        *at = name->next;
        free(name);
    }
    last_name = at;
}

/* The power cut */

static void undo_pieces(struct file *file) {
    off_t size = size_of(file->fd), kept_end = 0;
    size_t count = (size_t)((size > file->synced_size ? size : file->synced_size) / piece_size) + 2;
    for (struct piece *piece = file->pieces; piece; piece = piece->next)
        if ((size_t)(piece->at / piece_size) + 1 > count)
            count = (size_t)(piece->at / piece_size) + 1;
    bool *done = calloc(count, 1); /* by piece: it reached the disk as it is now */
    static const char zeros[1 << 16];
    for (struct piece *piece = file->pieces; piece; piece = piece->next) {
        bool *settled = &done[piece->at / piece_size];
        if (!*settled && survives())
            *settled = true;
        if (*settled) {
            if (piece->at + (off_t)piece->size > kept_end)
                kept_end = piece->at + (off_t)piece->size;
            continue;
        }
        real_pwrite(file->fd, piece->old, piece->old_size, piece->at);
        if (piece->old_size < piece->size)
            real_pwrite(file->fd, zeros, piece->size - piece->old_size, piece->at + (off_t)piece->old_size);
    }
    if (kept_end > size)
        kept_end = size; /* was cut off again */
    if (!survives())
        size = file->synced_size > kept_end ? file->synced_size : kept_end;
    if (real_ftruncate(file->fd, size) != 0)
        abort();
    free(done);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st, (void)type, (void)where;
    return remove(path);
}

static void undo_name(const struct name *name) {
    char kept[PATH_MAX];
    lost_path(kept, name->kept);
    if (name->change == CREATED)
        real_unlink(name->path);
    else if (name->change == MADE_DIRECTORY)
        nftw(name->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else if (name->change == RENAMED)
        real_rename(name->to, name->path);
    if (name->kept)
        real_rename(kept, name->change == RENAMED ? name->to : name->path);
}

static void undo_names_from(const struct name *name) {
    if (name) {
        undo_names_from(name->next);
        undo_name(name);
    }
}

/* Runs with the mutex held, which nobody gets any more. */
static void power_cut(const char *what, const char *path) {
    for (struct file *file = files; file; file = file->next)
        if (file->pieces || size_of(file->fd) != file->synced_size)
            if (file->journaled)
                undo_pieces(file);
    size_t count = 0;
    for (struct name *name = names; name; name = name->next)
        count++;
    const struct name *first = names;
    for (uint64_t kept = keep ? chance() % (count + 1) : 0; kept; kept--)
        first = first->next;
    undo_names_from(first);
    tell(what, path);
    _exit(CUT_CODE);
}

static void find(void *pointer, const char *name) { *(void **)pointer = dlsym(RTLD_NEXT, name); }

/* Other libraries may open files before our turn to begin comes. */
static void find_real(void) {
    find(&real_open, "open"), find(&real_openat, "openat"), find(&real_close, "close");
    find(&real_write, "write"), find(&real_pwrite, "pwrite"), find(&real_fsync, "fsync");
    find(&real_fdatasync, "fdatasync"), find(&real_ftruncate, "ftruncate"), find(&real_rename, "rename");
    find(&real_unlink, "unlink"), find(&real_mkdir, "mkdir");
}

static void *wait_for_trigger(void *unused) {
    (void)unused;
    real_open(trigger, O_RDONLY | O_CLOEXEC); /* waits for a writer */
    pthread_mutex_lock(&mutex);
    power_cut("power cut when told to", root);
    return NULL;
}

/* What the program calls */

static int open_file(int dir, const char *path, int flags, mode_t permissions) {
    READY;
    if (!concerned(path))
        return real_openat(dir, path, flags, permissions);
    pthread_mutex_lock(&mutex);
    struct stat st;
    bool existed = stat(path, &st) == 0, regular = existed && S_ISREG(st.st_mode);
    bool truncates = regular && (flags & O_TRUNC) && st.st_size > 0;
    if ((!existed && (flags & O_CREAT)) || truncates)
        strike(NAME, path);
    if (truncates) {
        int fd = real_open(path, O_RDWR | O_CLOEXEC);
        struct file *file = fd < 0 ? NULL : remember(fd, path, st.st_size);
        if (file)
            keep_old(file, 0, (size_t)st.st_size);
        if (fd >= 0)
            real_close(fd); /* SQLite, which needs its locks, never truncates so */
    }
    int fd = real_openat(dir, path, flags, permissions);
    if (fd >= 0 && fd < MAX_FD && (flags & O_ACCMODE) != O_RDONLY) {
        of_fd[fd] = remember(fd, path, size_of(fd));
        if (!existed && of_fd[fd] && of_fd[fd]->journaled)
            name_changed(CREATED, path, NULL, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return fd;
}

static ssize_t write_file(int fd, const void *data, size_t size, off_t at, bool positioned) {
    pthread_mutex_lock(&mutex);
    struct file *file = of_fd[fd];
    off_t length = size_of(fd);
    if (!positioned)
        at = fcntl(fd, F_GETFL) & O_APPEND ? length : lseek(fd, 0, SEEK_CUR);
    bool struck = strike(WRITE, file->path);
    ssize_t result = -1;
    errno = 0;
    if (file == cut_short || (struck && mode == ENOSPC_WRITE && at + (off_t)size > length)) {
        tell("no space to write to", file->path);
        errno = ENOSPC;
    } else if (struck && mode == EIO_WRITE) {
        tell("error on a write to", file->path);
        errno = EIO;
    } else {
        if (struck && mode == SHORT_WRITE && size > 1) {
            size = 1 + chance() % (size - 1);
            cut_short = file;
            tell("a write cut short to", file->path);
        }
        keep_old(file, at, size);
        result = positioned ? real_pwrite(fd, data, size, at) : real_write(fd, data, size);
    }
    int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

static int sync_file(int fd, int (*real)(int)) {
    struct stat st;
    if (!armed || fd < 0 || fd >= MAX_FD || fstat(fd, &st) != 0)
        return real(fd);
    int result = 0;
    pthread_mutex_lock(&mutex);
    if (S_ISDIR(st.st_mode)) {
        names_synced(&st);
    } else if (!of_fd[fd]) {
        result = real(fd);
    } else if (strike(SYNC, of_fd[fd]->path)) {
        tell("error on a sync of", of_fd[fd]->path);
        if (mode == LOST_SYNC && of_fd[fd]->journaled) {
            undo_pieces(of_fd[fd]);
            forget_pieces(of_fd[fd]);
        }
        result = -1;
    } else {
        forget_pieces(of_fd[fd]);
    }
    pthread_mutex_unlock(&mutex);
    if (result)
        errno = EIO;
    return result;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(AT_FDCWD, path, flags, permissions);
}

int openat(int dir, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(dir, path, flags, permissions);
}

int close(int fd) {
    READY;
    if (fd >= 0 && fd < MAX_FD)
        of_fd[fd] = NULL;
    return real_close(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    READY;
    if (fd < 0 || fd >= MAX_FD || !of_fd[fd])
        return real_write(fd, data, size);
    return write_file(fd, data, size, 0, false);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    READY;
    if (fd < 0 || fd >= MAX_FD || !of_fd[fd])
        return real_pwrite(fd, data, size, at);
    return write_file(fd, data, size, at, true);
}

int fsync(int fd) {
    READY;
    return sync_file(fd, real_fsync);
}

int fdatasync(int fd) {
    READY;
    return sync_file(fd, real_fdatasync);
}

int ftruncate(int fd, off_t size) {
    READY;
    if (fd < 0 || fd >= MAX_FD || !of_fd[fd])
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&mutex);
    struct file *file = of_fd[fd];
    off_t old = size_of(fd);
    strike(NAME, file->path);
    if (size < old)
        keep_old(file, size, (size_t)(old - size));
    int result = real_ftruncate(fd, size), error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) {
    READY;
    if (!concerned(from))
        return real_rename(from, to);
    pthread_mutex_lock(&mutex);
    strike(NAME, to);
    unsigned kept = keep_file(to);
    int result = real_rename(from, to), error = errno;
    if (result == 0)
        name_changed(RENAMED, from, to, kept);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

int unlink(const char *path) {
    READY;
    if (!concerned(path))
        return real_unlink(path);
    pthread_mutex_lock(&mutex);
    strike(NAME, path);
    unsigned kept = ends_with(path, "-shm") ? 0 : keep_file(path);
    int result = real_unlink(path), error = errno;
    if (result == 0 && kept)
        name_changed(REMOVED, path, NULL, kept);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t permissions) {
    READY;
    if (!concerned(path))
        return real_mkdir(path, permissions);
    pthread_mutex_lock(&mutex);
    strike(NAME, path);
    int result = real_mkdir(path, permissions), error = errno;
    if (result == 0)
        name_changed(MADE_DIRECTORY, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

/* The same calls under their names for large files; off_t has 64 bits here. */
int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    static const char *const modes[] = {"count", "eio", "enospc", "short", "fsync", "lostsync", "power"};
    find_real();
    root = getenv("FAULTS_ROOT");
    const char *wanted = getenv("FAULTS_MODE"), *file = getenv("FAULTS_REPORT");
    unsetenv("LD_PRELOAD"); /* not for the program's own children */
    if (!root || !wanted)
        return;
    root_length = strlen(root);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(wanted, modes[i]) == 0)
            mode = (enum mode)i;
    fault_at = number_of("FAULTS_AT", 0), keep = number_of("FAULTS_KEEP", 0), seed = number_of("FAULTS_SEED", 1);
    piece_size = (off_t)number_of("FAULTS_PIECE", 4096);
    only = getenv("FAULTS_ONLY"), trigger = getenv("FAULTS_TRIGGER");
    int fd = file ? real_open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *mapped = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapped != MAP_FAILED)
            report = mapped;
        real_close(fd);
    }
    armed = true;
    pthread_t thread;
    if (trigger && pthread_create(&thread, NULL, wait_for_trigger, NULL) == 0)
        pthread_detach(thread);
}
