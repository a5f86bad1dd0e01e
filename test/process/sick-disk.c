/*
 * Loaded before libc (LD_PRELOAD): a disk that fails, and what it would still hold after a loss of power.
 *
 * SICK_DISK names a file. While it is there, its one line says what happens: FAULT OPERATIONS PATTERN FROM TO
 *   FAULT       EIO: the operation fails.  KILL: the process is killed before it.
 *   OPERATIONS  sync, or change: also writes, new lengths, links and removals.
 *   PATTERN     of the paths concerned, as for fnmatch(3), where * matches slashes too. A socket is called socket:[INODE].
 *   FROM TO     which of these operations, counted from 1 over all processes. Each is noted by a byte after the line.
 *
 * DURABLE names a directory. What is synced there is copied to it: a file as `content-INODE`, and the names in a directory, with
 * their inodes, as `names-INODE`. Whatever was not synced is not there.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum operation { SYNC, CHANGE };

/* Whether the operation on the path fails, with errno. May not return. */
static int fails(enum operation operation, const char *path) {
  const char *control = getenv("SICK_DISK");
  int file = control == NULL ? -1 : open(control, O_RDWR | O_APPEND | O_CLOEXEC);
  if (file < 0) return 0;
  flock(file, LOCK_EX);
  char line[PATH_MAX + 64] = "", fault[16] = "", operations[16] = "", pattern[PATH_MAX] = "";
  long from = 0, to = 0;
  ssize_t length = pread(file, line, sizeof line - 1, 0);
  const char *end = length > 0 ? memchr(line, '\n', length) : NULL;
  int is_concerned = end != NULL && sscanf(line, "%15s %15s %4095s %ld %ld", fault, operations, pattern, &from, &to) == 5 &&
                    (operation == SYNC || strcmp(operations, "change") == 0) && fnmatch(pattern, path, 0) == 0;
  long count = 0;
  if (is_concerned) {
    if (REAL(write)(file, "x", 1) != 1) abort();
    struct stat found;
    fstat(file, &found);
    count = found.st_size - (end + 1 - line);
  }
  close(file);
  if (!is_concerned || count < from || count > to) return 0;
  if (strcmp(fault, "KILL") == 0) kill(getpid(), SIGKILL);
  errno = EIO;
  return 1;
}

static int descriptor_fails(enum operation operation, int descriptor) {
  if (getenv("SICK_DISK") == NULL) return 0;
  char link[64], path[PATH_MAX + 1];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, PATH_MAX);
  if (length <= 0) return 0;
  path[length] = 0;
  return fails(operation, path);
}

static void put(const char *directory, const char *kind, ino_t inode, int from, DIR *entries) {
  char name[PATH_MAX], temporary[PATH_MAX + 16];
  snprintf(name, sizeof name, "%s/%s-%lu", directory, kind, (unsigned long)inode);
  snprintf(temporary, sizeof temporary, "%s.%d", name, gettid());
  int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (to < 0) abort();
  char block[16384];
  off_t at = 0;
  for (ssize_t got; entries == NULL && (got = pread(from, block, sizeof block, at)) > 0; at += got)
    if (REAL(write)(to, block, got) != got) abort();
  for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    int written = snprintf(block, sizeof block, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    if (REAL(write)(to, block, written) != written) abort();
  }
  close(to);
  if (rename(temporary, name) != 0) abort();
}

static void keep(int descriptor) {
  const char *directory = getenv("DURABLE");
  struct stat found;
  if (directory == NULL || fstat(descriptor, &found) != 0) return;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  if (S_ISDIR(found.st_mode)) {
    DIR *entries = opendir(path);
    put(directory, "names", found.st_ino, -1, entries);
    closedir(entries);
  } else {
    /* Not a second one for SQLite's files: to close it would drop the locks that SQLite has on them. */
    int is_readable = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_WRONLY;
    int from = is_readable ? descriptor : open(path, O_RDONLY | O_CLOEXEC);
    put(directory, "content", found.st_ino, from, NULL);
    if (!is_readable) close(from);
  }
}

#define SYNC_BY(name)                                  \
  int name(int descriptor) {                           \
    if (descriptor_fails(SYNC, descriptor)) return -1; \
    int result = REAL(name)(descriptor);               \
    if (result == 0) keep(descriptor);                 \
    return result;                                     \
  }
SYNC_BY(fsync)
SYNC_BY(fdatasync)

ssize_t write(int descriptor, const void *bytes, size_t count) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(write)(descriptor, bytes, count);
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(writev)(descriptor, parts, count);
}
ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(sendmsg)(descriptor, message, flags);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(pwrite)(descriptor, bytes, count, offset);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(pwrite64)(descriptor, bytes, count, offset);
}
int ftruncate(int descriptor, off_t length) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(ftruncate)(descriptor, length);
}
int ftruncate64(int descriptor, off64_t length) {
  return descriptor_fails(CHANGE, descriptor) ? -1 : REAL(ftruncate64)(descriptor, length);
}
int link(const char *from, const char *to) { return fails(CHANGE, to) ? -1 : REAL(link)(from, to); }
int unlink(const char *path) { return fails(CHANGE, path) ? -1 : REAL(unlink)(path); }
