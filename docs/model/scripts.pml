/* scripts.pml - the scripts of common/lua, each one atomic step, and the promises that hold after every one. */

/* --- what the scripts share: lua/lib -------------------------------------------------------------------- */

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

/* --- promises that hold after every script -------------------------------------------------------------- */

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

/* --- the scripts ---------------------------------------------------------------------------------------- */

inline script_load(job) {
  d_step {
    assert(task[job].state == ABSENT);
    to_todo(job);
    task[job].born = epoch;
    printf("load task%d\n", job);
    promises()
  }
}

/* Answers GONE, STOP (another worker has the name) or OK. drawn: by the agent that lives, for this very call. */
inline script_register(who, life, drawn) {
  d_step {
    answer = OK;
    if
    :: reg[who].incarnation != 0 && reg[who].incarnation != life ->
       if
#ifdef FAULT_REGISTER_KNOWS_LAST_LIFE_ONLY
       :: reg[who].incarnation != life - 1 && reg[who].lease -> answer = STOP
#else
       /* It lists all lives before its own: this is a late one, of the dead. */
       :: reg[who].incarnation > life && reg[who].lease -> answer = STOP
#endif
       :: else ->
          lose_some(who);
          reg[who].request = 0; reg[who].given = 0; reg[who].given_token = 0
       fi
    :: else
    fi;
    if
    :: answer == OK ->
       reg[who].incarnation = life; reg[who].lease = 1; reg[who].session = drawn;
       if
       :: late.worker == who -> late.session = 0
       :: else
       fi
    :: else
    fi;
    printf("  register worker%d, incarnation %d: answer %d\n", who, life, answer);
    promises()
  }
}

/* t: the task that is first in the lists and fits; T: none. Answers GONE or OK, with what it gave in got
 * (task + 1) and got_token. current: the request is the one the agent speaks of now. */
inline script_claim(who, session_, job, is_current) {
  d_step {
    got = 0; got_token = 0; answer = OK;
    if
    :: !(session_) -> answer = GONE
#ifndef FAULT_CLAIM_WITHOUT_LEASE
    :: session_ && !reg[who].lease -> answer = GONE
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
    printf("  report worker%d task%d token %d outcome %d: answer %d, task now %d\n", who, job, ticket, result,
           answer, task[job].state);
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
inline script_renew(who, session_) {
  d_step {
    answer = OK;
    if
#ifndef FAULT_RENEW_WITHOUT_OWNER
    :: !(session_) -> answer = GONE
#endif
    :: else ->
       reg[who].lease = 1;
#ifndef FAULT_RENEW_WITHOUT_DIGEST
       answer = (DIFFERS(who) -> MISMATCH : OK)
#endif
    fi;
    printf("  renew worker%d: answer %d\n", who, answer);
    promises()
  }
}

/* is_listed: whether what this worker is said to hold of task t is one of those that it lists. */
inline find_listed(job) {
  is_listed = 0;
  for (z : 0 .. S - 1) {
    if
    :: list_used[z] && list_task[z] == job &&
#ifdef FAULT_RECONCILE_BY_ID
       1
#else
       list_token[z] == task[job].token
#endif
       -> is_listed = 1
    :: else
    fi
  }
}

#ifdef FAULT_RECONCILE_TAKES_FORGOTTEN
#define SAME_TASK(job, born_) 1
#else
#define SAME_TASK(job, born_) (task[job].born == (born_))
#endif

/* is_newest: of the tries of one task that the worker lists, place has the last. */
inline find_newest(place) {
  is_newest = 1;
  for (z : 0 .. S - 1) {
    if
    :: list_used[z] && list_task[z] == list_task[place] && SAME_TASK(list_task[z], list_born[z]) &&
       NUMBER(list_token[z]) > NUMBER(list_token[place]) -> is_newest = 0
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

/* What is asked under an older session is refused: here and in claim, renew and leave. */
#ifdef FAULT_LATE_RECONCILE
#define IS_OLD(who, life, session_) (reg[who].incarnation != life)
#else
#define IS_OLD(who, life, session_) (!(session_))
#endif

/* What is listed is in list_*; the answers come in answers[]. Answers GONE or OK. */
inline script_reconcile(who, life, session_) {
  d_step {
    answer = OK;
    if
    :: IS_OLD(who, life, session_) || (!reg[who].lease
#ifdef FAULT_RECONCILE_WITHOUT_LEASE
       && 0
#endif
       ) -> answer = GONE
    :: else ->
       for (y : 0 .. S - 1) {
         answers[y] = A_STALE;
         if
         :: list_used[y] ->
            x = list_task[y];
            find_newest(y);
            if
            :: task[x].state == RUNNING && task[x].holder == who + 1 && task[x].token == list_token[y] ->
               answers[y] = A_YOURS
#ifdef FAULT_RECONCILE_TAKES_CLAIMED
            :: (task[x].state == TODO || task[x].state == RUNNING) &&
               !(task[x].holder == who + 1 && task[x].token == list_token[y]) &&
#else
            :: task[x].state == TODO &&
#endif
#ifndef FAULT_RECONCILE_TAKES_RECORDED
               !IN(task[x].log, list_token[y]) &&
#endif
               SAME_TASK(x, list_born[y]) && is_newest &&
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
            :: else -> /* somebody else may have it; what it holds under a token that it lists too is settled there */
               find_listed(x);
               if
#ifdef FAULT_RECONCILE_BY_ID
               :: 1 -> drop(who, x)
#else
               :: !is_listed -> drop(who, x)
#endif
               :: else
               fi
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
    promises();
    one_copy(0);
    one_copy(1)
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
inline script_leave(who, session_) {
  d_step {
    if
    :: !(session_) -> answer = GONE
    :: else ->
       answer = OK;
       for (x : 0 .. T - 1) {
#ifndef FAULT_LEAVE_KEEPS_TASKS
         drop(who, x)
#else
         skip
#endif
       }
       reg[who].incarnation = 0; reg[who].lease = 0; reg[who].session = 0;
       if
       :: late.worker == who -> late.session = 0
       :: else
       fi;
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
