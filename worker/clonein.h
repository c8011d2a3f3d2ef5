/*
 * clonein.h - a vfork that is born in a cgroup.
 *
 * clone3(CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP) on a stack of its own. The C library has no
 * wrapper for it that leaves the stack to us, so it is a few instructions of our own: on x86-64.
 */
#ifndef DISTCOMP_CLONEIN_H
#define DISTCOMP_CLONEIN_H

#include <stddef.h>

/*
 * The child runs run(arg), which must not return, on stack[0..size) (aligned to 16 bytes) in the
 * group whose directory is open as cgroup_fd. Returns, when the child has executed a program or
 * ended, its pid; or -1 with errno: ENOSYS (also on other processors, and where containers forbid
 * clone3), E2BIG (before Linux 5.7), EACCES, EBUSY, ENODEV, EOPNOTSUPP (that group will not have
 * it), EAGAIN, ENOMEM.
 */
int clone_into(int cgroup_fd, int (*run)(void *), void *arg, char *stack, size_t size);

#endif
