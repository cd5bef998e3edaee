/* Opening what lies beneath a folder, and nothing else: no "..", no symbolic link, no race with whoever renames things
 * leads out of it. Links that stay inside are followed.
 *
 * By openat2(2) with RESOLVE_BENEATH; where the system call does not exist (before Linux 5.6, or forbidden by a filter that
 * answers ENOSYS) by a walk: each segment is opened from the descriptor of the one before with O_NOFOLLOW, links are read
 * and taken apart by ourselves, ".." takes a segment off and begins anew at the folder. */
#ifndef HOLDFAST_HANDLER_FILES_BENEATH_H
#define HOLDFAST_HANDLER_FILES_BENEATH_H

#define BENEATH_PATH_MAX 4096 /* bytes, with the NUL */
#define BENEATH_LINKS_MAX 40  /* as the kernel's own limit, path_resolution(7) */

/* Opens `path`, relative to the descriptor `root` of a folder; "" is the folder itself. `flags` of open(2), O_CLOEXEC
 * added. A descriptor, or -1 with errno: ELOOP, EXDEV: the path leads out, or too many links. */
int beneath_open(int root, const char *path, int flags);
/* The same, but never from a disk: -1 with EAGAIN if it would have to be waited for. Where that cannot be asked for, it is
 * waited for. */
int beneath_open_cached(int root, const char *path, int flags);

/* --- for tests --- */
int beneath_walk(int root, const char *path, int flags);

#endif
