/*
 * wire.h - what agent and supervisor say to each other, over one AF_UNIX SOCK_STREAM socket pair.
 *
 * DESIGN
 * The supervisor starts the agent with one end of a socket pair at the descriptor named by the
 * environment variable DISTCOMP_AGENT_FD. It also listens on STATE_DIR/supervisor.sock: when it has
 * no agent (after WIRE_BYE_KEEP), a redisWorker started on the same state_dir connects there and is
 * the agent; while it has one, a second connection gets WIRE_WELCOME with capacity 0 and agent_pid,
 * and is closed. (A HELLO with agent_pid 0 only asks whether an agent is wanted: WELCOME alone is
 * the answer; see statedir_attach.) Both ends run on one machine and are built together, but an
 * agent may be newer than its supervisor (an upgrade restarts the agent alone), or older. HELLO
 * carries the agent's version, WELCOME the one that both speak: the agent's if the supervisor knows
 * it, else the supervisor's own. Each end knows WIRE_VERSION_OLDEST up to WIRE_VERSION; an agent
 * that does not know what WELCOME says leaves with exit code 100.
 *   3  adds struct wire_confine to START, and the failed step to EXIT; nothing else changed
 *   4  adds struct wire_host to START, two members to the end of EXIT, DISMISS and FILES
 *
 * A frame is struct wire_frame followed by `length` bytes. Integers are in host order; structs are
 * copied whole (fixed-width members, no padding: static-asserted). The supervisor trusts the
 * agent's intent but not its bytes: it checks every length, slot and count and drops the connection
 * (which restarts the agent) on a malformed frame.
 *
 * Slots: the supervisor has a table of `capacity` slots. The agent picks a free one for each START
 * and may use it again after its own ACK. Each slot has two output files, STATE_DIR/out/SLOT.out
 * and SLOT.err, which belong to the try until ACK.
 *
 * The supervisor never interprets `note`: it is the agent's memory of the try (id, token,
 * deadlines), given back in TASK when a new agent asks what runs.
 *
 *   agent                                 supervisor
 *     HELLO ------------------------------->
 *     <------------------------------------ WELCOME, TASK (one a used slot), READY
 *     START ------------------------------->
 *     <------------------------------------ STARTED      (may be up to 5 ms late, to go with EXIT)
 *     <------------------------------------ EXIT         (repeated after a new HELLO until ACK)
 *     ACK --------------------------------->             (slot free)
 *     <------------------------------------ PING         (only while the lease is not renewed)
 *     ALIVE ------------------------------->
 */
#ifndef DISTCOMP_WIRE_H
#define DISTCOMP_WIRE_H

#include <stdint.h>

#define WIRE_VERSION          4u
#define WIRE_VERSION_OLDEST   2u
#define WIRE_VERSION_CONFINED 3u /* from here on START may have WIRE_START_CONFINED */
#define WIRE_VERSION_HOST     4u /* and WIRE_START_HOST */
#define WIRE_FRAME_MAX        (4u * 1024u * 1024u) /* largest payload */
#define WIRE_NOTE_MAX         1024u

enum wire_type {
    /* agent to supervisor */
    WIRE_HELLO = 1, /* struct wire_hello */
    WIRE_START,   /* struct wire_start, struct wire_host and what confines it if flagged, then note,
                     cwd, argv strings, env strings (NUL-terminated) */
    WIRE_KILL,    /* struct wire_kill */
    WIRE_ACK,     /* struct wire_ack */
    WIRE_LEASE,   /* struct wire_lease: Redis renewed the lease until then */
    WIRE_BYE,     /* struct wire_bye: the agent is about to exit on purpose */
    WIRE_ALIVE,   /* struct wire_alive: answers PING; or says that it may be quiet for a while */
    WIRE_DISMISS, /* struct wire_dismiss: all idle hosts go */
    /* supervisor to agent */
    WIRE_WELCOME = 64, /* struct wire_welcome */
    WIRE_TASK,         /* struct wire_task, then note */
    WIRE_READY,        /* no payload: the last TASK was sent */
    WIRE_STARTED,      /* struct wire_started */
    WIRE_EXIT,         /* struct wire_exit */
    WIRE_SIGNAL, /* struct wire_signal: SIGTERM, SIGINT, SIGHUP or SIGUSR1 reached the supervisor */
    WIRE_PING, /* no payload: the lease was not renewed in time or, where there is none, nothing was
                 heard for 60 s. Says ALIVE, or is killed (pulse.h) */
    WIRE_FILES /* struct wire_files, after STARTED or TASK of a try in a host */
};

struct wire_frame {
    uint32_t type;   /* enum wire_type */
    uint32_t length; /* bytes that follow */
};

struct wire_hello {
    uint32_t version;
    uint32_t agent_pid; /* 0: only asks, is no agent yet */
};

struct wire_welcome {
    uint32_t version;
    uint32_t supervisor_pid;
    uint32_t capacity; /* slots */
    uint32_t used;     /* TASK frames that follow */
    uint32_t
        agent_pid; /* the agent it already has, when capacity is 0: this connection is refused */
    uint32_t padding;
    uint64_t incarnation; /* random, drawn when the supervisor started */
    uint64_t previous;    /* the incarnation that held this state_dir before, 0 for none */
    uint64_t output_max;  /* bytes of a stream kept on disk */
};

/* Bits of wire_start.flags. */
#define WIRE_START_DIRECT                                                                          \
    1u /* argv[0] is looked up in PATH; when that fails, fallback_argc applies */
#define WIRE_START_WAIT_LEFTOVER 2u /* the try ends when its last process ends, not its first */
#define WIRE_START_CONFINED      4u /* struct wire_confine follows, CPUs, cgroup, procs */
#define WIRE_START_HOST          8u /* struct wire_host follows, before that */

struct wire_start {
    uint32_t slot;
    uint32_t flags;
    uint64_t timeout_ms;   /* 0: none. The supervisor ends the try with WIRE_WHY_TIMEOUT */
    uint32_t grace_ms;     /* from SIGTERM to SIGKILL, for the timeout */
    int32_t oom_score_adj; /* 0 leaves it alone */
    uint32_t note_len;
    uint32_t cwd_len;       /* absolute, without NUL; 0: the supervisor's own directory */
    uint32_t argc;          /* strings of the program's arguments, at least 1 */
    uint32_t fallback_argc; /* with DIRECT: that many further strings, run instead (/bin/sh -c LINE)
                               when the program cannot be executed; so the shell's own message and
                               code appear */
    uint32_t envc; /* strings NAME=VALUE that are put over the supervisor's environment; no NAME
                         twice. One is DISTCOMP_COOKIE=... (under 96 bytes in all), unique to the
                      try: daemons of it are known by it. PWD, DISTCOMP_STATE_DIR and
                         DISTCOMP_INCARNATION are set by the supervisor, whatever is sent */
    uint32_t strings_len; /* bytes of all argv, fallback and env strings with their NULs */
};

/*
 * A try for a host (docs/kernels.md; hostwire.h): a process that stays when the try has ended, for
 * the next with the same key, whatever its slot. The program is started with its first two
 * arguments; all of them, the directory and the environment go to it as one message, and so does
 * a later START of its key while it is idle. No fallback, not DIRECT; the message's length is
 * bounded by HOST_MESSAGE_MAX, else it is a failed start (ARGUMENTS).
 */
struct wire_host {
    uint64_t key;  /* what a process cannot change later, hashed; 0: it ends with the try */
    uint32_t most; /* hosts at the same time, as far as idle ones can make room; 0: any number */
    uint32_t padding;
};

#define WIRE_CPUS_MAX   512u /* bytes of a set of CPUs */
#define WIRE_PROCS_MAX  2u
#define WIRE_CGROUP_MAX 1040u /* bytes of a name, with its NUL */

/* Bits of wire_confine.flags. */
#define WIRE_CONFINE_STRICT 1u /* a cgroup that cannot be entered is a failed start */

/*
 * Where a try runs and what bounds it. All of it is done before the program is executed, so it
 * holds for every process of the try. What cannot be done is a failed start
 * (wire_exit.spawn_errno), but for a cgroup without STRICT, which only measures: the agent sees
 * whether it was entered.
 */
struct wire_confine {
    uint64_t data_bytes; /* RLIMIT_DATA of each process; 0: the supervisor's own */
    uint32_t flags;
    uint32_t cpus_len; /* bytes, a multiple of 8, of a set of CPUs as struct cpus has it; 0: any */
    uint32_t cgroup_len;  /* bytes, with the NUL, of the name of a version 2 group's directory to be
                             born in; 0: none */
    uint32_t procs_count; /* that many files to write 0 to: cgroup.procs of version 1 groups */
    uint32_t procs_len;   /* bytes of their names with their NULs */
    uint32_t padding;
};

/* What a start could not do. X(symbol, words after "cannot"). The numbers go to agents of other
 * versions: append. */
#define WIRE_STEPS(X)                                                                              \
    X(NONE, "start it") /* an older supervisor does not say */                                     \
    X(ARGUMENTS, "pass so many arguments")                                                         \
    X(RELATIVE, "use a relative directory")                                                        \
    X(FORK, "make a process")                                                                      \
    X(SESSION, "make a session")                                                                   \
    X(DEATH_SIGNAL, "be told of the supervisor's death")                                           \
    X(STDOUT, "open standard output's file")                                                       \
    X(STDERR, "open standard error's file")                                                        \
    X(REDIRECT, "redirect its output")                                                             \
    X(CGROUP, "enter its cgroup")                                                                  \
    X(CPUS, "be pinned to its CPUs")                                                               \
    X(DATA_LIMIT, "limit its memory")                                                              \
    X(SOCKET, "pass the socket")                                                                   \
    X(CWD, "change to its directory")                                                              \
    X(EXECUTE, "execute its program")

enum wire_step {
#define X(symbol, words) WIRE_STEP_##symbol,
    WIRE_STEPS(X)
#undef X
        WIRE_STEP_COUNT
};

enum wire_why {                    /* why the supervisor ended a try */
                WIRE_WHY_NONE = 0, /* it did not: the task ended by itself */
                WIRE_WHY_TIMEOUT,  /* its timeout passed */
                WIRE_WHY_CANCEL,   /* cancelTask */
                WIRE_WHY_MEMORY,   /* memory was short */
                WIRE_WHY_RETURN,   /* the worker stops; the task goes back to todo */
                WIRE_WHY_STALE,    /* the queue gave it to somebody else: nothing is reported */
                WIRE_WHY_ORPHAN    /* no agent could be kept alive until the lease ended */
};

struct wire_kill {
    uint32_t slot;
    uint32_t why;      /* enum wire_why; the first one is kept */
    uint32_t grace_ms; /* SIGTERM now, SIGKILL to the whole tree after this; 0: SIGKILL at once */
};

/* Bits of wire_ack.flags. */
#define WIRE_ACK_OUT_TAKEN 1u /* the agent renamed SLOT.out away: open a new one */
#define WIRE_ACK_ERR_TAKEN 2u

struct wire_ack {
    uint32_t slot;
    uint32_t flags;
};

/* Without an agent the supervisor stops its tasks before that, unless orphan_policy is `keep`. */
struct wire_lease {
    uint64_t end_boot_ms; /* CLOCK_BOOTTIME */
    uint64_t length_ms;   /* from the renewal on; 0: there is no lease */
};

struct wire_alive {
    uint64_t quiet_ms; /* it may say nothing for so long; 0: it goes on as ever */
};

struct wire_dismiss {
    uint32_t kill; /* 1: SIGKILL, memory is short; 0: by end of file, and SIGKILL 2 s later */
    uint32_t padding;
};

enum wire_bye_mode {
    WIRE_BYE_RESTART = 0, /* start a new agent at once (upgrade); tasks go on */
    WIRE_BYE_STOP,        /* the worker is done: end what still runs, then exit 0 */
    WIRE_BYE_KEEP,   /* leave: tasks go on without an agent until the next redisWorker with this
                        state_dir connects, or the lease is nearly over (orphan_policy) */
    WIRE_BYE_REFUSED /* the agent may not run (bad configuration, name in use): exit with `code`;
                    but while slots are used, another agent is tried every 10 s until the lease */
};

struct wire_bye {
    uint32_t mode; /* enum wire_bye_mode */
    uint32_t code; /* exit code of redisWorker for WIRE_BYE_REFUSED */
};

struct wire_started {
    uint32_t slot;
    int32_t pid;
    uint64_t start_wall_ms; /* Unix time */
};

struct wire_exit {
    uint32_t slot;
    int32_t pid;
    int32_t status; /* as from waitpid; with spawn_errno: enum wire_step */
    int32_t
        spawn_errno; /* not 0: the try could not be started at all (EAGAIN, ENOENT of cwd, ...) */
    uint32_t why;    /* enum wire_why */
    uint32_t leftovers; /* processes that were still there after the main one and were ended */
    uint64_t start_wall_ms, end_wall_ms; /* Unix time */
    uint64_t wall_us;                    /* monotonic */
    uint64_t user_us, system_us; /* of all processes that were waited for; of a host, in this try */
    uint64_t maxrss_kib;         /* of the largest single process */
    uint64_t out_bytes, err_bytes; /* sizes of the output files, holes included */
    /* From WIRE_VERSION_HOST on; WIRE_EXIT_OLD_BYTES are sent to an older agent. */
    uint32_t flags;
    uint32_t files;                   /* as in struct wire_files */
    uint64_t read_bytes, write_bytes; /* from and to storage, as times are counted */
};
#define WIRE_EXIT_OLD_BYTES  88u
#define WIRE_EXIT_HOST_STAYS 1u /* flags: process `pid` waits for the next try */

/* Where a try's output is, when it is in a host: STATE_DIR/out/hN.out and hN.err, until ACK. N is
 * `files` less WIRE_FILES_HOST; of any other try `files` is its slot. */
#define WIRE_FILES_HOST 4096u
struct wire_files {
    uint32_t slot;
    uint32_t files;
};

/* A used slot, for a new agent: running when running is 1, else ended (its EXIT follows READY). */
struct wire_task {
    struct wire_started started;
    uint32_t running;
    uint32_t note_len;
};

struct wire_signal {
    int32_t signal;
    uint32_t padding;
};

#endif
