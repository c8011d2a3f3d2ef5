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
 *   -DHOLE_NAME   a hole that this model found, as the code was then: the check must fail
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
#define K_REDIS 0 /* Redis is killed and started again */
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

/* --- the queue: what is in Redis ------------------------------------------------------------------- */

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

/* --- workers ------------------------------------------------------------------------------------------ */

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
  unsigned renew : 1;     /* wanted */
  unsigned unknown : 1;   /* a claim's answer was lost */
  unsigned stopping : 1;
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
  unsigned current : 1; /* a claim: its request is still the one the agent speaks of */
  unsigned task : 1;    /* a report */
  unsigned outcome : 3;
  unsigned used : S;    /* a reconcile: which of `token` and `tasks` are set */
  unsigned tasks : S;
  byte token[S];
};
Late late;

byte luck = LUCK;
unsigned epoch : 2;
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
hidden byte list_task[S], list_token[S];
hidden byte list_used[S], is_listed, wait_first;
byte fate;
#define F_OK 0
#define F_LOST 1
#define F_LATE 2
#define F_ERROR 3

/* --- what the scripts share: lua/lib ------------------------------------------------------------------------ */

inline to_todo(job) {
  task[job].state = TODO;
  task[job].hint = 1
}

inline release_hold(job) {
  task[job].holder = 0;
  task[job].token = 0
}

/* Back to todo; or, if its cancelling was asked for, the end of it. */
inline give_back(job) {
  if
  :: task[job].cancel -> task[job].cancel = 0; task[job].state = CANCELLED
  :: else -> to_todo(job)
  fi
}

/* Its worker vanished. */
inline lose(job) {
  task[job].losses++;
  if
  :: task[job].losses >= MAX_LOSSES && !task[job].cancel -> task[job].state = FAILED
  :: else -> give_back(job)
  fi
}

/* All that a worker holds is taken from it. */
inline lose_some(who) {
  for (x : 0 .. T - 1) {
    if
    :: task[x].holder == who + 1 ->
       release_hold(x);
#ifdef FAULT_EXPIRE_WITHOUT_REQUEUE
       skip
#else
       lose(x)
#endif
    :: else
    fi
  }
}

/* --- promises that hold after every script ------------------------------------------------------------- */

inline promises() {
  for (x : 0 .. T - 1) {
    /* 1: one state; who runs a task holds it, under its last number, and has a lease that can end. */
    assert((task[x].state == RUNNING) == (task[x].holder != 0));
    if
    :: task[x].holder != 0 ->
       assert(NUMBER(task[x].token) == task[x].tries);
       assert(reg[task[x].holder - 1].lease)
    :: else
    fi;
    assert(task[x].state != TODO || task[x].hint);
    /* 4, 5: one result; and one that was acknowledged stays. */
    assert(task[x].finished <= 1);
    assert(!IN(acked, x) || task[x].state == FINISHED)
  }
  for (x : 0 .. W - 1) {
    assert(!reg[x].lease || reg[x].incarnation != 0);
    /* A copy that the queue knows as its holder's has no excuse for a second one. */
    for (y : 0 .. S - 1) {
      if
      :: wk[x].slot[y].excused && !wk[x].slot[y].stale && task[wk[x].slot[y].task].holder == x + 1 &&
         task[wk[x].slot[y].task].token == wk[x].slot[y].token -> wk[x].slot[y].excused = 0
      :: else
      fi
    }
  }
  x = 0; y = 0; z = 0
}

/* Two copies run at a time only when a lease ended, Redis lost its tail, or an operator said so. */
inline one_copy(job) {
  z = 0;
  for (x : 0 .. W - 1) {
    for (y : 0 .. S - 1) {
      if
      :: (wk[x].slot[y].super == RUNS || wk[x].slot[y].super == LEFT) && wk[x].slot[y].task == job &&
         !wk[x].slot[y].excused -> z++
      :: else
      fi
    }
  }
  assert(z <= 1);
#ifdef ONCE /* 6: nothing that happens in such a run makes a task run again */
  assert(starts[job] <= 1);
#endif
  x = 0; y = 0; z = 0
}

inline excuse(who, job, ticket, reason) {
  for (y : 0 .. S - 1) {
    if
    :: (wk[who].slot[y].agent != NONE || wk[who].slot[y].super != FREE) && wk[who].slot[y].task == job &&
       (wk[who].slot[y].token == ticket) -> wk[who].slot[y].excused = reason
    :: else
    fi
  }
}

/* --- the scripts ------------------------------------------------------------------------------------------- */

inline script_load(job) {
  d_step {
    assert(task[job].state == ABSENT);
    to_todo(job);
    task[job].born = epoch;
    printf("load task%d\n", job);
    promises()
  }
}

/* Answers GONE, STOP (another worker has the name) or OK. */
inline script_register(who, life) {
  d_step {
    answer = OK;
    if
    :: reg[who].incarnation != 0 && reg[who].incarnation != life ->
       if
#ifdef HOLE_PREVIOUS_IS_LAST_START
       :: reg[who].incarnation != life - 1 && reg[who].lease -> answer = STOP
#else
       :: reg[who].incarnation > life && reg[who].lease -> answer = STOP /* a late one, of the dead */
#endif
       :: else ->
#ifndef FAULT_REGISTER_KEEPS_OLD_TASKS
          lose_some(who);
#endif
          reg[who].request = 0; reg[who].given = 0; reg[who].given_token = 0
       fi
    :: else
    fi;
    if
    :: answer == OK -> reg[who].incarnation = life; reg[who].lease = 1
    :: else
    fi;
    printf("  register worker%d, incarnation %d: answer %d\n", who, life, answer);
    promises()
  }
}

/* t: the task that is first in the lists and fits; T: none. Answers GONE or OK, with what it gave in got
 * (task + 1) and got_token. current: the request is the one the agent speaks of now. */
inline script_claim(who, life, job, is_current) {
  d_step {
    got = 0; got_token = 0; answer = OK;
    if
    :: reg[who].incarnation != life -> answer = GONE
#ifndef HOLE_CLAIM_WITHOUT_LEASE
    :: reg[who].incarnation == life && !reg[who].lease -> answer = GONE
#endif
    :: else ->
       if
#ifndef FAULT_CLAIM_NOT_IDEMPOTENT
       :: is_current && reg[who].request ->
          if
          :: reg[who].given && task[reg[who].given - 1].holder == who + 1 &&
             task[reg[who].given - 1].token == reg[who].given_token ->
             got = reg[who].given; got_token = reg[who].given_token
          :: else
          fi
#endif
       :: else ->
          reg[who].request = is_current; reg[who].given = 0; reg[who].given_token = 0;
          if
          :: job < T && task[job].state == TODO && task[job].hint ->
             assert(task[job].tries < 7);
             task[job].tries++;
             task[job].state = RUNNING; task[job].hint = 0;
             task[job].holder = who + 1; task[job].token = TOKEN(task[job].tries);
             got = job + 1; got_token = task[job].token;
             if
             :: is_current -> reg[who].given = got; reg[who].given_token = got_token
             :: else
             fi
          :: else
          fi
       fi
    fi;
    printf("  claim worker%d: answer %d, task%d token %d\n", who, answer, got - 1, got_token);
    promises()
  }
}

/* Answers A_RECORDED, A_YOURS or A_STALE. wait_first: a failed try's back-off. */
inline script_report(who, job, ticket, result) {
  d_step {
    if
#ifdef FAULT_NO_TOKEN_CHECK
    :: task[job].state != RUNNING ->
#else
    :: task[job].state != RUNNING || task[job].holder != who + 1 || task[job].token != ticket ->
#endif
       answer = (IN(task[job].log, ticket) -> A_YOURS : A_STALE)
    :: else ->
       answer = A_RECORDED;
       /* 2: a stale token changes nothing. 5: a result is recorded once. */
       assert(task[job].holder == who + 1 && task[job].token == ticket);
       assert(!IN(task[job].log, ticket));
       if
       :: result != O_RELEASED -> task[job].log = task[job].log | (1 << ticket)
       :: else
       fi;
#ifndef FAULT_REPORT_KEEPS_HOLD
       release_hold(job);
#endif
       got = result;
       if
       :: result == O_LOST -> lose(job)
       :: else ->
          if
          :: task[job].cancel -> task[job].cancel = 0; got = (result == O_FINISHED -> result : O_CANCELLED)
          :: else
          fi;
          if
          :: got == O_FINISHED -> task[job].state = FINISHED; task[job].finished++
          :: got == O_CANCELLED -> task[job].state = CANCELLED
          :: got == O_FAILED ->
             task[job].failures++;
             if
             :: task[job].failures >= MAX_FAILURES -> task[job].state = FAILED
             :: else ->
                if
                :: wait_first -> task[job].state = DELAYED
                :: else -> to_todo(job)
                fi
             fi
          :: got == O_TEMPFAIL -> task[job].state = DELAYED
          :: else -> give_back(job)
          fi
       fi
    fi;
    printf("  report worker%d task%d token %d outcome %d: answer %d, task now %d\n", who, job, ticket, result, answer, task[job].state);
    got = 0; wait_first = 0;
    promises()
  }
}

/* What the agent believes it holds: runs_held(). */
#define HOLDS(w, y) (wk[w].slot[y].agent >= READY && wk[w].slot[y].agent <= ENDED && !wk[w].slot[y].stale)

#define HAS(w, y, t) (HOLDS(w, y) && wk[w].slot[y].task == t && wk[w].slot[y].token == task[t].token)
#define EXTRA(w, y) (HOLDS(w, y) && (task[wk[w].slot[y].task].holder != w + 1 || \
                                     task[wk[w].slot[y].task].token != wk[w].slot[y].token))
#if S == 2
#define ANY(what, w) (what(w, 0) || what(w, 1))
#define MISSES(w, t) (task[t].holder == w + 1 && !HAS(w, 0, t) && !HAS(w, 1, t))
#else
#define ANY(what, w) (what(w, 0) || what(w, 1) || what(w, 2))
#define MISSES(w, t) (task[t].holder == w + 1 && !HAS(w, 0, t) && !HAS(w, 1, t) && !HAS(w, 2, t))
#endif
/* The queue and the agent differ in what the worker holds (count and digest). */
#define DIFFERS(w) (MISSES(w, 0) || MISSES(w, 1) || ANY(EXTRA, w))

/* Answers GONE, MISMATCH or OK. */
inline script_renew(who, life) {
  d_step {
    answer = OK;
    if
#ifndef FAULT_RENEW_WITHOUT_OWNER
    :: reg[who].incarnation != life -> answer = GONE
#endif
    :: else ->
       reg[who].lease = 1;
#ifndef FAULT_RENEW_WITHOUT_DIGEST
       answer = (DIFFERS(who) -> MISMATCH : OK)
#endif
    fi;
    printf("  renew worker%d incarnation %d: answer %d\n", who, life, answer);
    promises()
  }
}

/* is_listed: whether what this worker is said to hold of task t is one of those that it lists. */
inline find_listed(job) {
  is_listed = 0;
  for (z : 0 .. S - 1) {
    if
    :: list_used[z] && list_task[z] == job &&
#ifdef HOLE_RECONCILE_BY_ID
       1
#else
       list_token[z] == task[job].token
#endif
       -> is_listed = 1
    :: else
    fi
  }
}

inline drop(who, job) {
  if
  :: task[job].holder == who + 1 -> release_hold(job); give_back(job)
  :: else
  fi
}

/* What is listed is in list_*; the answers come in answers[]. Answers GONE or OK. */
inline script_reconcile(who, life) {
  d_step {
    answer = OK;
    if
    :: reg[who].incarnation != life || (!reg[who].lease
#ifdef HOLE_CLAIM_WITHOUT_LEASE
       && 0
#endif
       ) -> answer = GONE
    :: else ->
       for (y : 0 .. S - 1) {
         answers[y] = A_STALE;
         if
         :: list_used[y] ->
            x = list_task[y];
            if
            :: task[x].state == RUNNING && task[x].holder == who + 1 && task[x].token == list_token[y] ->
               answers[y] = A_YOURS
#ifdef FAULT_RECONCILE_TAKES_CLAIMED
            :: (task[x].state == TODO || task[x].state == RUNNING) &&
               !(task[x].holder == who + 1 && task[x].token == list_token[y]) &&
#else
            :: task[x].state == TODO &&
#endif
#ifndef HOLE_RECONCILE_TAKES_RECORDED
               !IN(task[x].log, list_token[y]) &&
#endif
#ifndef HOLE_RECONCILE_TAKES_FORGOTTEN
               (list_token[y] >> 3) >= task[x].born &&
#endif
#ifdef FAULT_RECONCILE_TAKES_OLDER
               1 ->
#else
               task[x].tries <= NUMBER(list_token[y]) ->
#endif
               task[x].tries = NUMBER(list_token[y]);
               task[x].state = RUNNING; task[x].hint = 0;
               task[x].holder = who + 1; task[x].token = list_token[y];
               answers[y] = A_RETAKEN;
               /* What an operator took away is not taken back. */
               for (z : 0 .. S - 1) {
                 assert(!(wk[who].slot[z].excused == REQUEUED && wk[who].slot[z].task == x &&
                          wk[who].slot[z].token == list_token[y] && wk[who].slot[z].agent != NONE))
               }
            :: else ->
#ifdef HOLE_RECONCILE_BY_ID
               drop(who, x)
#else
               skip /* what it holds of it instead is either listed too, or dropped below */
#endif
            fi
         :: else
         fi
       }
       for (x : 0 .. T - 1) {
         find_listed(x);
         if
#ifdef FAULT_RECONCILE_KEEPS_UNLISTED
         :: 0 -> skip
#else
         :: !is_listed -> drop(who, x)
#endif
         :: else
         fi
       }
    fi;
    printf("  reconcile worker%d: answer %d; %d %d\n", who, answer, answers[0], answers[1]);
    promises()
  }
}

/* over: the worker whose lease is over; W: none. Delayed tasks that are due start. */
inline script_maintain(ended) {
  d_step {
    for (x : 0 .. T - 1) {
      if
      :: task[x].state == DELAYED -> to_todo(x)
      :: else
      fi
    }
    if
    :: ended < W ->
       for (x : 0 .. T - 1) {
         if
         :: task[x].holder == ended + 1 -> excuse(ended, x, task[x].token, TAKEN)
         :: else
         fi
       }
       lose_some(ended);
       reg[ended].lease = 0
    :: else
    fi;
    printf("maintain, lease ended of worker%d\n", ended);
    promises()
  }
}

/* The worker is stopping: what it still holds goes back, uncounted. */
inline script_leave(who, life) {
  d_step {
    if
    :: reg[who].incarnation != life -> answer = GONE
    :: else ->
       answer = OK;
       for (x : 0 .. T - 1) {
#ifndef FAULT_LEAVE_KEEPS_TASKS
         drop(who, x)
#else
         skip
#endif
       }
       reg[who].incarnation = 0; reg[who].lease = 0;
       reg[who].request = 0; reg[who].given = 0; reg[who].given_token = 0
    fi;
    printf("  leave worker%d: answer %d\n", who, answer);
    promises()
  }
}

inline script_cancel(job) {
  d_step {
    if
    :: task[job].state == RUNNING -> task[job].cancel = 1
    :: task[job].state == TODO || task[job].state == DELAYED || task[job].state == HELD ->
       task[job].state = CANCELLED
    :: else
    fi;
    printf("cancel task%d\n", job);
    promises()
  }
}

inline script_hold(job) {
  d_step {
    if
    :: task[job].state == TODO || task[job].state == DELAYED -> task[job].state = HELD
    :: else
    fi;
    printf("hold task%d\n", job);
    promises()
  }
}

inline script_release(job) {
  d_step {
    if
    :: task[job].state == HELD -> to_todo(job)
    :: else
    fi;
    printf("release task%d\n", job);
    promises()
  }
}

inline script_requeue(job) {
  d_step {
    if
    :: task[job].state == RUNNING ->
       excuse(task[job].holder - 1, job, task[job].token, REQUEUED);
       release_hold(job);
       task[job].cancel = 0;
#ifndef FAULT_REQUEUE_SAME_TRY
       task[job].tries++;
#endif
       to_todo(job)
    :: else
    fi;
    printf("requeue task%d\n", job);
    promises()
  }
}

inline script_retry(job) {
  d_step {
    if
    :: task[job].state == FAILED || task[job].state == CANCELLED ->
       task[job].failures = 0; task[job].losses = 0; task[job].cancel = 0;
       to_todo(job)
    :: else
    fi;
    printf("retry task%d\n", job);
    promises()
  }
}

inline script_forget(job) {
  d_step {
    if
    :: task[job].state == FINISHED || task[job].state == FAILED || task[job].state == CANCELLED ->
       task[job].state = ABSENT; task[job].hint = 0;
       task[job].tries = 0; task[job].failures = 0; task[job].losses = 0; task[job].cancel = 0;
       task[job].log = 0; task[job].finished = 0; task[job].born = 0;
       acked = acked & ~(1 << job);
       epoch++
    :: else
    fi;
    printf("forget task%d\n", job);
    promises()
  }
}

/* --- steps of an agent ------------------------------------------------------------------------------------- */

#define LIVES(w) (wk[w].up && !wk[w].gone)
#define SPEAKS(w) (LIVES(w) && wk[w].registered)
#define SETTLED(w) (SPEAKS(w) && !wk[w].reconcile) /* lease_ready() */

inline disconnect(who) {
  wk[who].registered = 0
}

inline clear_slot(who, place) {
  wk[who].slot[place].agent = NONE; wk[who].slot[place].super = FREE;
  wk[who].slot[place].task = 0; wk[who].slot[place].token = 0; wk[who].slot[place].outcome = 0;
  wk[who].slot[place].stale = 0; wk[who].slot[place].cancel = 0; wk[who].slot[place].excused = 0
}

inline choose_fate(who) {
  if
  :: fate = F_OK
  :: UNLUCKY(K_LOST) -> fate = F_LOST; luck--
  :: UNLUCKY(K_LATE) && late.kind == M_NONE -> fate = F_LATE; luck--
  fi;
  printf("worker%d, fate of its request %d:\n", who, fate)
}

inline send_late(mark, who) {
  late.kind = mark; late.worker = who; late.incarnation = wk[who].incarnation
}

inline drop_late() {
  d_step {
    late.kind = M_NONE; late.worker = 0; late.incarnation = 0; late.current = 0; late.task = 0;
    late.outcome = 0; late.used = 0; late.tasks = 0;
    for (x : 0 .. S - 1) { late.token[x] = 0 }
    x = 0
  }
}

inline make_list(who) {
  d_step {
    for (x : 0 .. S - 1) {
      list_used[x] = HOLDS(who, x) || wk[who].slot[x].agent == AGAIN;
      list_task[x] = wk[who].slot[x].task;
      list_token[x] = wk[who].slot[x].token
    }
    x = 0
  }
}

inline clear_list() {
  d_step {
    for (x : 0 .. S - 1) {
      list_used[x] = 0; list_task[x] = 0; list_token[x] = 0; answers[x] = 0
    }
    x = 0
  }
}

inline step_register(who) {
  choose_fate(who);
  if
  :: fate == F_LATE -> send_late(M_REGISTER, who); disconnect(who)
  :: else ->
     script_register(who, wk[who].incarnation);
     assert(answer != STOP); /* it is refused its own name */
     if
     :: fate == F_OK ->
        wk[who].registered = 1; wk[who].reconcile = 1
#ifndef HOLE_LATE_REQUESTS
        ;
        if /* a new session: what an older one sent is refused, but reports, which have tokens */
        :: late.worker == who && late.kind != M_REPORT -> drop_late()
        :: else
        fi
#endif
     :: else -> disconnect(who)
     fi
  fi
}

inline receive_reconcile(who) {
  d_step {
    if
    :: answer == GONE -> wk[who].registered = 0
    :: else ->
       for (x : 0 .. S - 1) {
         if
         :: list_used[x] && answers[x] == A_STALE ->
            if
            :: wk[who].slot[x].agent == STARTED -> wk[who].slot[x].stale = 1
            :: wk[who].slot[x].agent == READY -> clear_slot(who, x)
            :: else /* one that has ended is reported all the same */
            fi
         :: else
         fi
       }
    fi;
    x = 0
  }
}

inline step_reconcile(who) {
  choose_fate(who);
  make_list(who);
  wk[who].reconcile = 0;
  if
  :: fate == F_LATE ->
     d_step {
       send_late(M_RECONCILE, who);
       for (x : 0 .. S - 1) {
         late.used = late.used | (list_used[x] << x);
         late.tasks = late.tasks | ((list_used[x] -> list_task[x] : 0) << x);
         late.token[x] = (list_used[x] -> list_token[x] : 0)
       }
       x = 0
     };
     disconnect(who)
  :: else ->
     script_reconcile(who, wk[who].incarnation);
     if
     :: fate == F_OK -> receive_reconcile(who)
     :: else -> disconnect(who)
     fi
  fi;
  clear_list()
}

inline receive_renew(who) {
  d_step {
    if
    :: answer == GONE -> wk[who].registered = 0
    :: else ->
       if
       :: answer == MISMATCH -> wk[who].reconcile = 1
       :: else
       fi;
       for (y : 0 .. S - 1) { /* cancel_runs() */
         if
         :: HOLDS(who, y) && task[wk[who].slot[y].task].cancel && task[wk[who].slot[y].task].holder == who + 1 &&
            !wk[who].slot[y].cancel ->
            wk[who].slot[y].cancel = 1;
            if
            :: wk[who].slot[y].agent == READY ->
               wk[who].slot[y].agent = ENDED; wk[who].slot[y].outcome = O_RELEASED
            :: else
            fi
         :: else
         fi
       }
    fi;
    y = 0
  }
}

inline step_renew(who) {
  choose_fate(who);
  wk[who].renew = 0;
  if
  :: fate == F_LATE -> send_late(M_RENEW, who); disconnect(who)
  :: else ->
     script_renew(who, wk[who].incarnation);
     if
     :: fate == F_OK -> receive_renew(who)
     :: else -> disconnect(who)
     fi
  fi
}

/* The tasks are alike, and so are the workers: of two that nothing has happened to, the first is taken. */
#define PRISTINE(t) (task[t].state == TODO && task[t].tries == 0 && epoch == 0)
#define NOTHING_YET (luck == LUCK && !saved && PRISTINE(0) && PRISTINE(1))

/* The first of the tasks that may be next, or T. */
inline choose_task() {
  if
  :: task[0].state == TODO -> first = 0
  :: task[1].state == TODO && !(PRISTINE(0) && PRISTINE(1)) -> first = 1
  :: task[0].state != TODO && task[1].state != TODO -> first = T
  fi
}

inline free_slot(who) {
  z = S;
  for (y : 0 .. S - 1) {
    if
    :: z == S && wk[who].slot[y].agent == NONE && wk[who].slot[y].super == FREE -> z = y
    :: else
    fi
  }
  y = 0
}

inline receive_claim(who) {
  d_step {
    if
    :: answer == GONE -> wk[who].registered = 0
    :: else ->
       if
       :: got ->
          free_slot(who);
          assert(z < S);
          wk[who].slot[z].agent = READY;
          wk[who].slot[z].task = got - 1; wk[who].slot[z].token = got_token
       :: else
       fi;
       /* From here on it would draw another request. */
       reg[who].request = 0; reg[who].given = 0; reg[who].given_token = 0;
       old_reg[who].request = 0; old_reg[who].given = 0; old_reg[who].given_token = 0;
       if
       :: late.kind == M_CLAIM && late.worker == who -> late.current = 0
       :: else
       fi
    fi;
    z = 0; got = 0; got_token = 0
  }
}

inline step_claim(who) {
  if
  :: UNLUCKY(K_ERROR) -> fate = F_ERROR; luck--
  :: choose_fate(who)
  fi;
  wk[who].unknown = 0;
  choose_task();
  if
  :: fate == F_LATE -> send_late(M_CLAIM, who); late.current = 1; wk[who].unknown = 1; disconnect(who)
  :: fate == F_ERROR -> wk[who].unknown = 1; wk[who].renew = 1 /* its time comes while it waits */
  :: else ->
     script_claim(who, wk[who].incarnation, first, 1);
     if
     :: fate == F_OK -> receive_claim(who)
     :: else -> wk[who].unknown = 1; disconnect(who)
     fi
  fi;
  got = 0; got_token = 0; first = 0
}

/* slot s has ended and is reported, or reported again. */
inline step_report(who, place) {
  choose_fate(who);
  if
  :: fate == F_LATE ->
     send_late(M_REPORT, who);
     late.task = wk[who].slot[place].task; late.token[0] = wk[who].slot[place].token;
     late.outcome = wk[who].slot[place].outcome;
     disconnect(who)
  :: else ->
#ifdef FAULT_ACK_BEFORE_RECORDED
     wk[who].slot[place].super = FREE;
#endif
     if
     :: wait_first = 0
     :: wk[who].slot[place].outcome == O_FAILED -> wait_first = 1
     fi;
     script_report(who, wk[who].slot[place].task, wk[who].slot[place].token, wk[who].slot[place].outcome);
     if
     :: fate != F_OK -> disconnect(who)
     :: else ->
        d_step {
          if
          :: (answer == A_RECORDED || answer == A_YOURS) && wk[who].slot[place].outcome == O_FINISHED ->
             acked = acked | (1 << wk[who].slot[place].task);
             promises()
          :: else
          fi;
          if
          :: answer == A_RECORDED && wk[who].slot[place].agent == ENDED && saved ->
             wk[who].slot[place].agent = RECENT; wk[who].slot[place].super = FREE
          :: else -> clear_slot(who, place)
          fi
        }
     fi
  fi
}

inline step_leave(who) {
  choose_fate(who);
  if
  :: fate == F_LATE -> send_late(M_LEAVE, who); disconnect(who)
  :: else ->
     script_leave(who, wk[who].incarnation);
     if
     :: fate != F_OK -> disconnect(who)
     :: answer == GONE -> wk[who].registered = 0
     :: else -> wk[who].gone = 1; wk[who].up = 0; wk[who].super = 0; wk[who].unknown = 0; disconnect(who)
     fi
  fi
}

inline forget_agent(who) {
  wk[who].up = 0; wk[who].noticed = 0; wk[who].reconcile = 0; wk[who].renew = 0; wk[who].unknown = 0;
  wk[who].stopping = 0; /* SIGTERM was for that one */
  disconnect(who);
  reg[who].request = 0; reg[who].given = 0; reg[who].given_token = 0;
  old_reg[who].request = 0; old_reg[who].given = 0; old_reg[who].given_token = 0;
  if
  :: late.kind == M_CLAIM && late.worker == who -> late.current = 0
  :: else
  fi
}

/* What is left of a dead agent's tries: what the supervisor has. */
inline agent_dies(who) {
  d_step {
    printf("agent of worker%d dies\n", who);
    forget_agent(who);
    for (x : 0 .. S - 1) {
      if
      :: wk[who].slot[x].super == FREE -> clear_slot(who, x)
      :: else -> wk[who].slot[x].agent = NONE; wk[who].slot[x].stale = 0; wk[who].slot[x].cancel = 0
      fi
    }
    x = 0
  }
}

inline agent_starts(who) {
  d_step {
    printf("agent of worker%d is started again\n", who);
    wk[who].up = 1;
    for (x : 0 .. S - 1) {
      if
      :: wk[who].slot[x].super != FREE -> wk[who].slot[x].agent = STARTED
      :: else
      fi
    }
    x = 0
  }
}

inline super_dies(who) {
  d_step {
    printf("supervisor of worker%d dies\n", who);
    wk[who].super = 0;
    for (x : 0 .. S - 1) {
      if
      :: wk[who].slot[x].super == RUNS -> wk[who].slot[x].super = LEFT
      :: wk[who].slot[x].super == EXITED && wk[who].slot[x].agent == NONE -> clear_slot(who, x)
      :: wk[who].slot[x].super == EXITED && wk[who].slot[x].agent != NONE -> wk[who].slot[x].super = FREE
      :: else
      fi
    }
    x = 0
  }
}

/* on_super_closed(): what is left is ended, and then reported lost. */
inline notice_super(who) {
  d_step {
    printf("agent of worker%d ends what its supervisor left\n", who);
    wk[who].noticed = 1;
    for (x : 0 .. S - 1) {
#ifndef FAULT_LOST_BEFORE_ENDED
      if
      :: wk[who].slot[x].super == LEFT -> wk[who].slot[x].super = FREE
      :: else
      fi;
#endif
      if
      :: wk[who].slot[x].agent == STARTED && wk[who].slot[x].stale -> clear_slot(who, x)
      :: wk[who].slot[x].agent == STARTED && !wk[who].slot[x].stale ->
         wk[who].slot[x].agent = ENDED; wk[who].slot[x].outcome = O_LOST
      :: wk[who].slot[x].agent == READY -> wk[who].slot[x].agent = ENDED; wk[who].slot[x].outcome = O_RELEASED
      :: else
      fi
    }
    x = 0
  }
}

/* A new supervisor and a new agent; before it says so, what an earlier one left has been ended. */
inline starts_anew(who) {
  d_step {
    printf("worker%d starts anew\n", who);
    forget_agent(who);
    for (x : 0 .. S - 1) { clear_slot(who, x) }
    x = 0;
    assert(wk[who].incarnation < 3);
    wk[who].incarnation++;
    wk[who].super = 1; wk[who].up = 1
  }
}

#define HAS_ENDED(w, s) (wk[w].slot[s].agent == ENDED)
/* What has ended is reported in the same turn of the agent's loop in which it would renew. */
#define REPORTABLE(w, s) ((wk[w].slot[s].agent == ENDED && !wk[w].slot[s].stale) || wk[w].slot[s].agent == AGAIN)
#define IS_BUSY(w, s) (wk[w].slot[s].agent >= READY && wk[w].slot[s].agent <= ENDED)
#define IS_FREE(w, s) (wk[w].slot[s].agent == NONE && wk[w].slot[s].super == FREE)
#define CANCEL_NEWS(w, s) (HAS(w, s, wk[w].slot[s].task) && task[wk[w].slot[s].task].holder == w + 1 && \
                           task[wk[w].slot[s].task].cancel && !wk[w].slot[s].cancel)
#define WORK (task[0].state == TODO || task[1].state == TODO)
#define OVER(t) (task[t].state == FINISHED || task[t].state == FAILED || task[t].state == CANCELLED)

/* Renewing is left out where it would change nothing, so that the model comes to rest. */
#define RENEW_MATTERS(w) (wk[w].renew || reg[w].incarnation != wk[w].incarnation || !reg[w].lease || \
                          DIFFERS(w) || ANY(CANCEL_NEWS, w))
#define MAY_CLAIM(w) (SETTLED(w) && !wk[w].renew && !wk[w].noticed && !wk[w].stopping)
#define CLAIMS(w) (MAY_CLAIM(w) && !wk[w].unknown && WORK && ANY(IS_FREE, w) && (w == 0 || !NOTHING_YET))
#ifdef HOLE_UNKNOWN_CLAIM_BLOCKS
#define ASKS_AGAIN(w) (MAY_CLAIM(w) && wk[w].unknown)
#else
#define ASKS_AGAIN(w) (SPEAKS(w) && wk[w].unknown) /* before everything else */
#endif

inline machine_goes(who) {
  d_step {
    printf("the machine of worker%d is gone\n", who);
    forget_agent(who);
    for (x : 0 .. S - 1) { clear_slot(who, x) }
    x = 0;
    wk[who].super = 0; wk[who].gone = 1
  }
}

/* Redis reads what a connection that its client has given up still brings. Nobody hears the answer. */
inline late_arrives() {
  printf("late, of worker%d:\n", late.worker);
  if
  :: late.kind == M_REGISTER -> script_register(late.worker, late.incarnation)
  :: late.kind == M_CLAIM -> choose_task(); script_claim(late.worker, late.incarnation, first, late.current)
  :: late.kind == M_RENEW -> script_renew(late.worker, late.incarnation)
  :: late.kind == M_RECONCILE ->
     d_step {
       for (x : 0 .. S - 1) {
         list_used[x] = IN(late.used, x); list_task[x] = IN(late.tasks, x); list_token[x] = late.token[x]
       }
       x = 0
     };
     script_reconcile(late.worker, late.incarnation);
     clear_list()
  :: late.kind == M_REPORT -> script_report(late.worker, late.task, late.token[0], late.outcome)
  :: late.kind == M_LEAVE -> script_leave(late.worker, late.incarnation)
  fi;
  got = 0; got_token = 0; first = 0; answer = 0;
  drop_late()
}

inline copy_task(dest, source) {
  dest.state = source.state; dest.tries = source.tries; dest.failures = source.failures; dest.losses = source.losses;
  dest.cancel = source.cancel; dest.hint = source.hint; dest.holder = source.holder; dest.token = source.token;
  dest.finished = source.finished; dest.log = source.log; dest.born = source.born
}

inline copy_reg(dest, source) {
  dest.incarnation = source.incarnation; dest.lease = source.lease; dest.request = source.request;
  dest.given = source.given; dest.given_token = source.given_token
}

/* From here on everything that is written may be lost: the last fsync was now. */
inline save_queue() {
  d_step {
    printf("the last fsync before Redis is killed\n");
    saved = 1;
#if EVERYSEC
    for (x : 0 .. T - 1) { copy_task(old_task[x], task[x]) }
    for (x : 0 .. W - 1) { copy_reg(old_reg[x], reg[x]) }
    x = 0
#endif
  }
}

inline clear_old() {
  for (x : 0 .. T - 1) {
    old_task[x].state = 0; old_task[x].tries = 0; old_task[x].failures = 0; old_task[x].losses = 0;
    old_task[x].cancel = 0; old_task[x].hint = 0; old_task[x].holder = 0; old_task[x].token = 0;
    old_task[x].finished = 0; old_task[x].log = 0; old_task[x].born = 0
  }
  for (x : 0 .. W - 1) {
    old_reg[x].incarnation = 0; old_reg[x].lease = 0; old_reg[x].request = 0; old_reg[x].given = 0;
    old_reg[x].given_token = 0
  }
  x = 0
}

inline redis_restarts(forgets) {
  d_step {
    printf("Redis restarts; forgets its tail: %d\n", forgets);
    if
    :: forgets ->
       for (x : 0 .. T - 1) { copy_task(task[x], old_task[x]) }
       for (x : 0 .. W - 1) { copy_reg(reg[x], old_reg[x]) }
       assert(epoch < 3);
       epoch++;
       acked = 0
    :: else
    fi;
    saved = 0;
    clear_old();
    for (x : 0 .. W - 1) {
      disconnect(x);
      for (y : 0 .. S - 1) {
        if
        :: wk[x].slot[y].agent == RECENT -> wk[x].slot[y].agent = AGAIN
        :: else
        fi;
        if
        :: forgets && (wk[x].slot[y].agent != NONE || wk[x].slot[y].super != FREE) ->
           wk[x].slot[y].excused = TAKEN
        :: else
        fi
      }
    }
    x = 0; y = 0;
    drop_late();
    promises()
  }
}

/* The end of a worker's lease. Without an agent the supervisor has ended its tasks before. */
inline lease_ends(who) {
  d_step {
    for (y : 0 .. S - 1) {
      if
      :: !wk[who].up && wk[who].super && wk[who].slot[y].super == RUNS ->
         wk[who].slot[y].super = EXITED; wk[who].slot[y].outcome = O_STOPPED
      :: else
      fi
    }
    y = 0
  };
  script_maintain(who)
}

inline operator(job) {
  if
  :: task[job].state == RUNNING || task[job].state == TODO || task[job].state == DELAYED || task[job].state == HELD ->
     script_cancel(job)
  :: task[job].state == TODO || task[job].state == DELAYED -> script_hold(job)
  :: task[job].state == RUNNING -> script_requeue(job)
  :: task[job].state == FAILED || task[job].state == CANCELLED -> script_retry(job)
  :: OVER(job) && epoch < 3 -> script_forget(job)
  fi
}

/* --- the processes ------------------------------------------------------------------------------------------- */

#define A wk[w].slot[s]

/* One try at a worker: the agent's and the supervisor's side of it, and the task itself. */
proctype Try(byte w; byte s) {
end:
  do
  :: atomic { LIVES(w) && A.agent == READY && !wk[w].noticed && !wk[w].stopping ->
       A.agent = STARTED;
       if
       :: wk[w].super ->
          A.super = RUNS;
#ifdef ONCE
          starts[A.task]++;
#endif
          d_step { printf("worker%d starts task%d token %d\n", w, A.task, A.token); one_copy(A.task) }
       :: else /* its START is lost with the supervisor */
       fi }
     /* given back before it started */
  :: atomic { LIVES(w) && A.agent == READY && (wk[w].stopping || UNLUCKY(K_RETURN)) ->
       if
       :: wk[w].stopping
       :: !wk[w].stopping -> luck--
       fi;
       A.agent = ENDED; A.outcome = O_RELEASED }
     /* its main process ends */
  :: atomic { A.super == RUNS ->
       if
       :: A.outcome = O_FINISHED
       :: UNLUCKY(K_FAIL) -> luck--; A.outcome = O_FAILED
       :: UNLUCKY(K_FAIL) -> luck--; A.outcome = O_TEMPFAIL
       :: UNLUCKY(K_RETURN) && LIVES(w) && A.agent == STARTED -> luck--; A.outcome = O_RETURNED
       :: A.cancel -> A.outcome = O_CANCELLED
       :: A.stale || wk[w].stopping -> A.outcome = O_STOPPED
       fi;
       printf("worker%d: task%d token %d ends, outcome %d\n", w, A.task, A.token, A.outcome);
       A.super = EXITED }
     /* the agent hears of it */
  :: atomic { LIVES(w) && wk[w].super && A.agent == STARTED && A.super == EXITED -> A.agent = ENDED }
  :: atomic { LIVES(w) && A.agent == ENDED && A.stale -> clear_slot(w, s) }
  :: atomic { SETTLED(w) && ((A.agent == ENDED && !A.stale) || A.agent == AGAIN) -> step_report(w, s); fate = 0 }
     /* it is safe on disk by now, or there is no more room to keep it */
  :: atomic { A.agent == RECENT || A.agent == AGAIN -> clear_slot(w, s) }
  od
}

/* A worker's agent, and the life and death of its supervisor. */
proctype Agent(byte w) {
end:
  do
  :: atomic { LIVES(w) && !wk[w].registered -> step_register(w); fate = 0 }
  :: atomic { ASKS_AGAIN(w) -> step_claim(w); fate = 0 }
  :: atomic { SPEAKS(w) && wk[w].reconcile && !wk[w].unknown -> step_reconcile(w); fate = 0 }
  :: atomic { SETTLED(w) && !wk[w].unknown && RENEW_MATTERS(w) && !ANY(REPORTABLE, w) -> step_renew(w); fate = 0 }
  :: atomic { CLAIMS(w) -> step_claim(w); fate = 0 }
  :: atomic { SPEAKS(w) && wk[w].stopping && !ANY(IS_BUSY, w) -> step_leave(w); fate = 0 }
  :: atomic { LIVES(w) && !wk[w].super && !wk[w].noticed -> notice_super(w) }
     /* it starts itself again as a supervisor, once all is reported or Redis is away */
  :: atomic { LIVES(w) && wk[w].noticed && (!ANY(HAS_ENDED, w) || !wk[w].registered) -> starts_anew(w) }
  :: atomic { !wk[w].up && wk[w].super && !wk[w].gone -> agent_starts(w) }
  :: atomic { !wk[w].up && !wk[w].super && !wk[w].gone -> starts_anew(w) }

  :: atomic { UNLUCKY(K_AGENT) && LIVES(w) -> luck--; agent_dies(w) }
  :: atomic { UNLUCKY(K_SUPER) && wk[w].super && wk[w].incarnation < 3 -> luck--; super_dies(w) }
  :: atomic { UNLUCKY(K_GONE) && !wk[w].gone && !wk[1 - w].gone && !wk[1 - w].stopping -> luck--; machine_goes(w) }
  :: atomic { UNLUCKY(K_LEAVE) && LIVES(w) && !wk[w].stopping && !wk[1 - w].gone && !wk[1 - w].stopping ->
       luck--; wk[w].stopping = 1 }
  od
}

/* Redis, whoever calls maintain, the operators; and the end. */
active proctype World() {
  byte t;
  atomic {
    script_load(0); script_load(1);
    for (t : 0 .. W - 1) {
      wk[t].up = 1; wk[t].super = 1; wk[t].incarnation = 1; wk[t].registered = 1;
      script_register(t, 1)
    }
    run Agent(0); run Agent(1);
    run Try(0, 0); run Try(0, 1); run Try(1, 0); run Try(1, 1);
#if S == 3
    run Try(0, 2); run Try(1, 2);
#endif
    t = 0
  };
  do
  :: atomic { task[0].state == DELAYED || task[1].state == DELAYED -> script_maintain(W) }
  :: atomic { wk[0].gone && reg[0].lease -> lease_ends(0) }
  :: atomic { wk[1].gone && reg[1].lease -> lease_ends(1) }
  :: atomic { UNLUCKY(K_EXPIRE) && reg[0].lease && !wk[0].gone -> luck--; lease_ends(0) }
  :: atomic { UNLUCKY(K_EXPIRE) && reg[1].lease && !wk[1].gone -> luck--; lease_ends(1) }
  :: atomic { late.kind != M_NONE -> late_arrives() }
  :: atomic { late.kind != M_NONE -> drop_late() }
  :: atomic { UNLUCKY(K_REDIS) && !saved -> save_queue() }
  :: atomic { K_REDIS && saved -> luck--; redis_restarts(0) }
  :: atomic { K_REDIS && EVERYSEC && saved -> luck--; redis_restarts(1) }
  :: atomic { task[0].state == HELD -> script_release(0) }
  :: atomic { task[1].state == HELD -> script_release(1) }
  :: atomic { task[0].state == ABSENT -> script_load(0) }
  :: atomic { task[1].state == ABSENT -> script_load(1) }
  :: atomic { UNLUCKY(K_OPERATOR) && (task[0].state != FINISHED || epoch < 3) && task[0].state != ABSENT ->
       luck--; operator(0) }
  :: atomic { UNLUCKY(K_OPERATOR) && (task[1].state != FINISHED || epoch < 3) && task[1].state != ABSENT &&
              !(PRISTINE(0) && PRISTINE(1)) ->
       luck--; operator(1) }
#ifndef LIVENESS
  :: timeout -> break
#endif
  od;
  /* Nothing can happen any more: every task has ended, and nobody holds anything. */
  assert(OVER(0) && OVER(1));
  assert(task[0].holder == 0 && task[1].holder == 0);
#ifdef NO_WASTE /* lost answers alone cost no try */
  assert(task[0].tries == 1 && task[1].tries == 1)
#endif
}

#ifdef LIVENESS
/* Luck runs out, and then every task ends and stays so: no execution goes round for ever either. */
ltl every_task_ends { <> [] (OVER(0) && OVER(1)) }
#endif
