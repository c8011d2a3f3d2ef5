/*
 * slot.h - the supervisor's table of tries.
 *
 * One table a process, in static memory (pages that were never used cost nothing). A slot goes
 *
 *     FREE --START--> RUNNING --last process gone--> ENDED --ACK--> FREE
 *
 * and while it is RUNNING its phase says how hard it is being ended: CALM, TERM (SIGTERM was sent),
 * KILL (SIGKILL is sent until none is left). The main process may be reaped (main_done) long before
 * the slot is ENDED: what it left behind is waited for or ended first (ending.h). A host (host.h)
 * is not reaped but answers, and stays.
 *
 * pids of our own children cannot be given to another process before we wait for them, so the table
 * needs no pidfds.
 */
#ifndef DISTCOMP_SLOT_H
#define DISTCOMP_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/wire.h"

#define SLOT_MAX        4096
#define SLOT_COOKIE_MAX 96 /* bytes of "DISTCOMP_COOKIE=..." with its NUL */

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_ENDED };
enum slot_phase { SLOT_CALM, SLOT_TERM, SLOT_KILL };

struct slot {
    uint8_t state; /* enum slot_state */
    uint8_t phase; /* enum slot_phase */
    bool main_done;
    bool wait_leftover;
    bool new_stray;     /* one was found since the last sweep */
    bool sweep_due;     /* its processes get the phase's signal at the next ending_sweep */
    bool queued;        /* is in the queue of messages to the agent */
    bool send_started;  /* a STARTED is owed */
    bool send_exit;     /* an EXIT is owed */
    bool replace_files; /* somebody unknown may hold the output files */
    bool silent;        /* its host says that these are empty */
    uint32_t files;     /* which they are (capture.h) */
    uint32_t note_len;
    uint32_t strays; /* of this try: children that became ours because their parent died */
    uint32_t grace_ms;
    uint32_t retry_ms;   /* KILL: until SIGKILL is sent again */
    int64_t start_us;    /* monotonic */
    int64_t deadline_us; /* timeout (CALM), SIGKILL (TERM), again (KILL); 0 for none */
    uint64_t
        punched[2]; /* bytes of out and err already dropped from the middle, as an end offset */
    uint64_t last_size[2];
    struct wire_exit exit;        /* filled as it becomes known */
    char cookie[SLOT_COOKIE_MAX]; /* the whole environment string, or "" */
};

extern struct slot slot_table[SLOT_MAX];
extern uint8_t slot_note[SLOT_MAX][WIRE_NOTE_MAX];
extern uint32_t slot_capacity; /* slots in use of SLOT_MAX */
extern uint32_t slot_used;     /* not FREE */
extern uint32_t slot_running;  /* RUNNING */
extern uint32_t slot_mains;    /* main processes not reaped yet */
extern uint32_t slot_high;     /* one more than the highest slot ever used */

/* FREE to RUNNING; clears the slot but for its number in exit.slot. The caller fills the rest. */
struct slot *slot_begin(uint32_t number);
/* The main process runs: it is found by slot_of_main and slot_of_session from now on. */
void slot_set_main(uint32_t number, int32_t pid);
/* The main process was reaped, or is an idle host from now on. Its session may live on. */
void slot_main_reaped(uint32_t number);
/* RUNNING to ENDED. */
void slot_end(uint32_t number);
/* ENDED to FREE. */
void slot_free(uint32_t number);

/* The slot whose unreaped main process, or whose session, this is; -1 for none. */
int slot_of_main(int32_t pid);
int slot_of_session(int32_t session);
/* The RUNNING slot with this cookie (the whole environment string); -1 for none. */
int slot_of_cookie(const char *cookie);

/* Sets a slot's deadline; 0 clears it. */
void slot_set_deadline(uint32_t number, int64_t deadline_us);
/* No deadline lies before this; INT64_MAX for none. May be early: slot_refresh_deadline corrects
 * it. */
int64_t slot_next_deadline(void);
void slot_refresh_deadline(void);

#endif
