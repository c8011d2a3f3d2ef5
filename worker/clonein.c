#include "worker/clonein.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__) && defined(__LP64__) && defined(CLONE_INTO_CGROUP) && defined(SYS_clone3)

int clone_into(int cgroup_fd, int (*run)(void *), void *arg, char *stack, size_t size) {
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
                              .exit_signal = SIGCHLD,
                              .stack = (uintptr_t)stack,
                              .stack_size = size,
                              .cgroup = (unsigned)cgroup_fd};
    long result = SYS_clone3;
    /* The child goes on behind `syscall` with the same registers and an empty stack: nothing of
     * this function's frame may be touched there. */
    register int (*entry)(void *) __asm__("r12") = run;
    register void *argument __asm__("r13") = arg;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "movq %%r13, %%rdi\n\t"
                     "callq *%%r12\n\t"
                     "ud2\n"
                     "1:"
                     : "+a"(result)
                     : "D"(&args), "S"(sizeof args), "r"(entry), "r"(argument)
                     : "rcx", "r11", "cc", "memory");
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return (int)result;
}

#else

int clone_into(int cgroup_fd, int (*run)(void *), void *arg, char *stack, size_t size) {
    (void)cgroup_fd;
    (void)run;
    (void)arg;
    (void)stack;
    (void)size;
    errno = ENOSYS;
    return -1;
}

#endif
