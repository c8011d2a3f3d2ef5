/*
 * queue.pml - the protocol between the queue's Lua scripts, the agents and their supervisors, for Spin.
 * README.md explains it to a reader who has never seen Promela; check.py runs it (make model).
 *
 * Every script of common/lua that matters for the protocol is one `inline script_NAME`: one atomic step,
 * as Redis runs it. What surrounds them is what an agent does between two scripts.
 *
 *   -DLUCK=n      how many unlucky events an execution may have, in all
 *   -DK_NAME=1    which kinds there are (below); check.py has the mixes
 *   -DFAULT_NAME  a rule left out on purpose: the check must fail
 */

#define W 2 /* workers */
#define T 2 /* tasks */
#ifndef S
#define S 2 /* tries a worker can have at hand */
#endif
#ifndef LUCK
#define LUCK 1
#endif
#define MAX_LOSSES 3
#define MAX_FAILURES 2

/* Kinds of unlucky events. */
#ifndef K_LOST
#define K_LOST 0 /* a script ran, its answer was lost with the connection */
#endif
#ifndef K_LATE
#define K_LATE 0 /* the connection was lost first; the script runs at any time after that, or never */
#endif
#ifndef K_ERROR
#define K_ERROR 0 /* Redis refuses a claim with an error (full, read-only); the connection stays */
#endif
#ifndef K_AGENT
#define K_AGENT 0 /* an agent dies; the supervisor starts another */
#endif
#ifndef K_SUPER
#define K_SUPER 0 /* a supervisor dies */
#endif
#ifndef K_GONE
#define K_GONE 0 /* a machine is gone for good */
#endif
#ifndef K_EXPIRE
#define K_EXPIRE 0 /* a lease ends although the worker lives (cut off, frozen) */
#endif
#ifndef K_REDIS
#define K_REDIS 0 /* how often Redis is killed and started again */
#endif
#ifndef EVERYSEC
#define EVERYSEC 0 /* ... and then has forgotten its last writes (appendfsync everysec) */
#endif
#ifndef K_FAIL
#define K_FAIL 0 /* a try fails, or asks to be queued again */
#endif
#ifndef K_RETURN
#define K_RETURN 0 /* memory is short: a running try is given back; or one that has not started is */
#endif
#ifndef K_OPERATOR
#define K_OPERATOR 0 /* cancelTask, holdTask, moveInProgressTaskToTodo, removeFinishedTask, ... */
#endif
#ifndef K_LEAVE
#define K_LEAVE 0 /* a worker is stopped: it drains and leaves */
#endif

#define UNLUCKY(kind) (kind && luck > saved) /* once the tail is doomed, one is kept for its loss */

/* --- the queue: what is in Redis ------------------------------------------------------------------------ */

#define ABSENT 0
#define TODO 1
#define RUNNING 2 /* in_progress */
#define FINISHED 3
#define FAILED 4
#define DELAYED 5
#define HELD 6
#define CANCELLED 7

/* A token is a try's number and its nonce. Nonces are 64 random bits; all that matters is that two claims
 * which have the same number differ in it. Numbers only repeat after Redis forgot some, or a task was
 * forgotten: so the nonce is the count of such events. */
#define TOKEN(number) ((number) + 8 * epoch)
#define NUMBER(token) ((token) & 7)
#define IN(set, token) (((set) >> (token)) & 1)

typedef Task {
  unsigned state : 3;
  unsigned tries : 3;
  unsigned failures : 2;
  unsigned losses : 2;
  unsigned cancel : 1; /* cancelling was asked for */
  unsigned hint : 1;   /* an entry of a todo list points here, and is not stale */
  unsigned holder : 2; /* `running` and `held:WORKER`: worker + 1, or 0 */
  unsigned token : 5;  /* under which it is held */
  unsigned finished : 2; /* how many results 'finished' were recorded; no script reads this */
  unsigned born : 2;     /* the epoch in which it was loaded: its `loaded` */
  int log;             /* the try log: tokens whose results were recorded */
};

typedef Registration {
  unsigned incarnation : 2; /* 0: there is no such worker */
  unsigned lease : 1;       /* it has one */
  unsigned session : 1;     /* the session in force is the one that its agent drew last; 0 while that is not registered */
  unsigned request : 1;     /* its last claim request is the one its agent speaks of now */
  unsigned given : 2;       /* what that request was given: task + 1, or 0 */
  unsigned given_token : 5;
};

Task task[T];
Registration reg[W];

/* What Redis has on disk when it comes to the worst. */
Task old_task[T];
Registration old_reg[W];
bit saved; /* old_* are in force: what was written since may be lost */

/* --- workers -------------------------------------------------------------------------------------------- */

/* A try as the agent sees it (run.h), and as the supervisor sees it (slot.h). */
#define NONE 0
#define READY 1
#define STARTED 2
#define ENDED 3
#define RECENT 4 /* its result is in Redis, but may still be lost with the tail of the AOF */
#define AGAIN 5  /* Redis was started again: to be reported once more */

#define FREE 0
#define RUNS 1
#define EXITED 2
#define LEFT 3 /* it runs, and its supervisor is dead */

/* Outcomes. */
#define O_FINISHED 0
#define O_FAILED 1
#define O_CANCELLED 2
#define O_RETURNED 3
#define O_RELEASED 4 /* never started */
#define O_TEMPFAIL 5
#define O_LOST 6
#define O_STOPPED 7 /* ended by us (stale, orphan): back to todo, uncounted */

typedef Slot {
  unsigned agent : 3;
  unsigned super : 2;
  unsigned task : 1;
  unsigned token : 5;
  unsigned born : 2;    /* `loaded` of the record that was claimed */
  unsigned outcome : 3;
  unsigned stale : 1;   /* the queue gave it to somebody else: it is being ended */
  unsigned cancel : 1;  /* a kill for cancelTask was sent */
  unsigned excused : 2; /* why another copy may run beside it: TAKEN or REQUEUED; no code reads this */
};
#define TAKEN 1    /* its lease ended, or the queue's memory of it was lost */
#define REQUEUED 2 /* an operator took it away */

typedef Worker {
  unsigned up : 1;    /* the agent lives */
  unsigned super : 1; /* the supervisor lives */
  unsigned noticed : 1; /* the agent has seen that it does not */
  unsigned incarnation : 2;
  unsigned registered : 1; /* and so connected: an agent asks anew after every connection */
  unsigned reconcile : 1; /* wanted */
  unsigned unknown : 1;   /* a claim's answer was lost */
  unsigned stopping : 1;  /* it was told to leave, and knows it */
  unsigned told : 1;      /* it was told to leave; no code reads this */
  unsigned gone : 1; /* for good: it left, or its machine is no more */
  Slot slot[S];
};
Worker wk[W];

/* One request whose connection was lost before Redis had read it. */
#define M_NONE 0
#define M_REGISTER 1
#define M_CLAIM 2
#define M_RENEW 3
#define M_RECONCILE 4
#define M_REPORT 5
#define M_LEAVE 6
typedef Late {
  unsigned kind : 3;
  unsigned worker : 1;
  unsigned incarnation : 2;
  unsigned session : 1; /* its session is the one in force */
  unsigned current : 1; /* a claim: its request is still the one the agent speaks of */
  unsigned task : 1;    /* a report */
  unsigned outcome : 3;
  unsigned used : S;    /* a reconcile: which of `token` and `tasks` are set */
  unsigned tasks : S;
  byte token[S];        /* and 32 times `born` */
};
Late late;

byte luck = LUCK;
unsigned epoch : 2;
unsigned restarts : 2; /* of Redis */
unsigned acked : T;   /* finished, and the agent was told so */
byte starts[T];       /* how often each task was started; counted where a promise asks */

/* Scratch of one step; never part of a state. */
#define OK 0
#define GONE 1
#define MISMATCH 2
#define STOP 3
#define A_RECORDED 0
#define A_YOURS 1
#define A_STALE 2
#define A_RETAKEN 3
hidden byte x, y, z, answer, got, got_token, first;
hidden byte answers[S];
hidden byte list_task[S], list_token[S], list_born[S];
hidden byte list_used[S], is_listed, is_newest, wait_first;
byte fate;
#define F_OK 0
#define F_LOST 1
#define F_LATE 2
#define F_ERROR 3

#include "scripts.pml"
#include "agent.pml"
#include "world.pml"
