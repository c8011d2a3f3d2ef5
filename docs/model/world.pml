/* world.pml - what happens to Redis and the queue, and the processes of the model. */

/* --- Redis, leases, operators --------------------------------------------------------------------------- */

inline machine_goes(who) {
  d_step {
    printf("the machine of worker%d is gone\n", who);
    forget_agent(who);
    for (x : 0 .. S - 1) { clear_slot(who, x) }
    x = 0;
    wk[who].super = 0; wk[who].gone = 1; wk[who].stopping = 0
  }
}

/* Redis reads what a connection that its client has given up still brings. Nobody hears the answer. */
inline late_arrives() {
  printf("late, of worker%d:\n", late.worker);
  if
  :: late.kind == M_REGISTER -> script_register(late.worker, late.incarnation, 0)
  :: late.kind == M_CLAIM -> choose_task(); script_claim(late.worker, late.session, first, late.current)
  :: late.kind == M_RENEW -> script_renew(late.worker, late.session)
  :: late.kind == M_RECONCILE ->
     d_step {
       for (x : 0 .. S - 1) {
         list_used[x] = IN(late.used, x); list_task[x] = IN(late.tasks, x); list_token[x] = late.token[x] & 31;
         list_born[x] = late.token[x] >> 5
       }
       x = 0
     };
     script_reconcile(late.worker, late.incarnation, late.session);
     clear_list()
  :: late.kind == M_REPORT -> script_report(late.worker, late.task, late.token[0], late.outcome)
  :: late.kind == M_LEAVE -> script_leave(late.worker, late.session)
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
    restarts++;
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

/* --- the processes -------------------------------------------------------------------------------------- */

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
  :: atomic { LIVES(w) && A.agent == READY && (wk[w].stopping || wk[w].noticed || UNLUCKY(K_RETURN)) ->
       if
       :: wk[w].stopping || wk[w].noticed
       :: else -> luck--
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
  :: atomic { SETTLED(w) && !wk[w].unknown && UNLUCKY(K_LATE) && late.kind == M_NONE ->
       luck--; send_late(M_RENEW, w); disconnect(w) }
  :: atomic { CLAIMS(w) -> step_claim(w); fate = 0 }
  :: atomic { SPEAKS(w) && wk[w].stopping && !ANY(IS_BUSY, w) -> step_leave(w); fate = 0 }
  :: atomic { LIVES(w) && !wk[w].super && !wk[w].noticed -> notice_super(w) }
     /* it starts itself again as a supervisor, once all is reported or Redis is away */
  :: atomic { LIVES(w) && wk[w].noticed && !wk[w].stopping && (!ANY(IS_BUSY, w) || !wk[w].registered) ->
       starts_anew(w) }
     /* it was told to leave, and Redis is away */
  :: atomic { LIVES(w) && wk[w].noticed && wk[w].stopping && !wk[w].registered -> machine_goes(w) }
  :: atomic { !wk[w].up && wk[w].super && !wk[w].gone -> agent_starts(w) }
  :: atomic { !wk[w].up && !wk[w].super && !wk[w].gone -> starts_anew(w) }

  :: atomic { UNLUCKY(K_AGENT) && LIVES(w) -> luck--; agent_dies(w) }
  :: atomic { UNLUCKY(K_SUPER) && wk[w].super && wk[w].incarnation < 3 -> luck--; super_dies(w) }
  :: atomic { UNLUCKY(K_GONE) && !wk[w].gone && !wk[1 - w].gone && !wk[1 - w].stopping -> luck--; machine_goes(w) }
  :: atomic { UNLUCKY(K_LEAVE) && LIVES(w) && !wk[w].stopping && !wk[1 - w].gone && !wk[1 - w].stopping ->
       luck--; wk[w].stopping = 1; wk[w].told = 1 }
  od
}

/* Redis, whoever calls maintain, the operators; and the end. */
active proctype World() {
  byte t;
  atomic {
    script_load(0); script_load(1);
    for (t : 0 .. W - 1) {
      wk[t].up = 1; wk[t].super = 1; wk[t].incarnation = 1; wk[t].registered = 1;
      script_register(t, 1, 1)
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
  :: atomic { UNLUCKY(K_REDIS) && !saved && restarts < K_REDIS -> save_queue() }
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
  /* Who was told to leave has left, or was started anew. */
  assert((!wk[0].told || wk[0].gone) && (!wk[1].told || wk[1].gone));
#ifdef NO_WASTE /* lost answers alone cost no try */
  assert(task[0].tries == 1 && task[1].tries == 1)
#endif
}

#ifdef LIVENESS
/* Luck runs out, and then every task ends and stays so: no execution goes round for ever either. */
ltl every_task_ends { <> [] (OVER(0) && OVER(1)) }
#endif
