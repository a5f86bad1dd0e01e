/*
 * Loaded before libc: while the file that FAILING_SYNCS names is there, nothing can be brought to the disk (EIO), and each
 * attempt is noted in it by a byte.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_or_fail(const char *name, int descriptor) {
  const char *path = getenv("FAILING_SYNCS");
  int noted = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND);
  if (noted >= 0) {
    if (write(noted, "x", 1) != 1) abort();
    close(noted);
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(descriptor);
}

int fsync(int descriptor) { return sync_or_fail("fsync", descriptor); }
int fdatasync(int descriptor) { return sync_or_fail("fdatasync", descriptor); }
