/* agent.pml - what an agent does between two scripts (worker/agent*.c), and how agents and supervisors die. */

/* --- steps of an agent ---------------------------------------------------------------------------------- */

#define LIVES(w) (wk[w].up && !wk[w].gone)
#define SPEAKS(w) (LIVES(w) && wk[w].registered)
#define SETTLED(w) (SPEAKS(w) && !wk[w].reconcile) /* lease_ready() */

/* Its session counts for nothing any more: an agent asks nothing before it has registered anew. */
inline disconnect(who) {
  wk[who].registered = 0; reg[who].session = 0
}

inline clear_slot(who, place) {
  wk[who].slot[place].agent = NONE; wk[who].slot[place].super = FREE;
  wk[who].slot[place].task = 0; wk[who].slot[place].token = 0; wk[who].slot[place].born = 0;
  wk[who].slot[place].outcome = 0;
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
  late.kind = mark; late.worker = who; late.incarnation = wk[who].incarnation; late.session = reg[who].session
}

inline drop_late() {
  d_step {
    late.kind = M_NONE; late.worker = 0; late.incarnation = 0; late.session = 0; late.current = 0; late.task = 0;
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
      list_token[x] = wk[who].slot[x].token;
      list_born[x] = wk[who].slot[x].born
    }
    x = 0
  }
}

inline clear_list() {
  d_step {
    for (x : 0 .. S - 1) {
      list_used[x] = 0; list_task[x] = 0; list_token[x] = 0; list_born[x] = 0; answers[x] = 0
    }
    x = 0
  }
}

inline step_register(who) {
  choose_fate(who);
  if
  :: fate == F_LATE -> send_late(M_REGISTER, who); disconnect(who)
  :: else ->
     script_register(who, wk[who].incarnation, 1);
     assert(answer != STOP); /* it is refused its own name */
     if
     :: fate == F_OK ->
        wk[who].registered = 1; wk[who].reconcile = 1
     :: else -> disconnect(who)
     fi
  fi
}

inline receive_reconcile(who) {
  d_step {
    if
    :: answer == GONE -> disconnect(who)
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
         late.token[x] = (list_used[x] -> list_token[x] + 32 * list_born[x] : 0)
       }
       x = 0
     };
     disconnect(who)
  :: else ->
     script_reconcile(who, wk[who].incarnation, reg[who].session);
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
    :: answer == GONE -> disconnect(who)
    :: else ->
       /* 8: a worker that has renewed knows which of its copies are the queue's. */
       assert(answer == MISMATCH || !DIFFERS(who));
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
  if
  :: fate == F_LATE -> send_late(M_RENEW, who); disconnect(who)
  :: else ->
     script_renew(who, reg[who].session);
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
    :: answer == GONE -> disconnect(who)
    :: else ->
       if
       :: got ->
          free_slot(who);
          assert(z < S);
          wk[who].slot[z].agent = READY;
          wk[who].slot[z].task = got - 1; wk[who].slot[z].token = got_token;
          wk[who].slot[z].born = task[got - 1].born
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
  :: fate == F_ERROR /* nothing was given */
  :: else ->
     script_claim(who, reg[who].session, first, 1);
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
#ifdef FAULT_ACK_BEFORE_RECORDED
  wk[who].slot[place].super = FREE;
#endif
  if
  :: fate == F_LATE ->
     send_late(M_REPORT, who);
     late.task = wk[who].slot[place].task; late.token[0] = wk[who].slot[place].token;
     late.outcome = wk[who].slot[place].outcome;
     disconnect(who)
  :: else ->
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
     script_leave(who, reg[who].session);
     if
     :: fate != F_OK -> disconnect(who)
     :: answer == GONE -> disconnect(who)
     :: else -> wk[who].gone = 1; wk[who].up = 0; wk[who].super = 0; wk[who].unknown = 0; disconnect(who)
     fi
  fi
}

inline forget_agent(who) {
  wk[who].up = 0; wk[who].noticed = 0; wk[who].reconcile = 0; wk[who].unknown = 0;
#ifdef FAULT_DRAIN_DIES_WITH_AGENT
  wk[who].stopping = 0;
#endif
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
    wk[who].super = 1; wk[who].up = 1;
    wk[who].stopping = 0; wk[who].told = 0 /* who was told was another */
  }
}

/* What has ended is reported in the same turn of the agent's loop in which it would renew. */
#define REPORTABLE(w, s) ((wk[w].slot[s].agent == ENDED && !wk[w].slot[s].stale) || wk[w].slot[s].agent == AGAIN)
#define IS_BUSY(w, s) (wk[w].slot[s].agent >= READY && wk[w].slot[s].agent <= ENDED)
#define IS_FREE(w, s) (wk[w].slot[s].agent == NONE && wk[w].slot[s].super == FREE)
#define CANCEL_NEWS(w, s) (HAS(w, s, wk[w].slot[s].task) && task[wk[w].slot[s].task].holder == w + 1 && \
                           task[wk[w].slot[s].task].cancel && !wk[w].slot[s].cancel)
#define WORK (task[0].state == TODO || task[1].state == TODO)
#define OVER(t) (task[t].state == FINISHED || task[t].state == FAILED || task[t].state == CANCELLED)

/* Renewing is left out where it would change nothing, so that the model comes to rest. */
#define RENEW_MATTERS(w) (!reg[w].session || !reg[w].lease || DIFFERS(w) || ANY(CANCEL_NEWS, w))
#define MAY_CLAIM(w) (SETTLED(w) && !wk[w].noticed && !wk[w].stopping)
#define CLAIMS(w) (MAY_CLAIM(w) && !wk[w].unknown && WORK && ANY(IS_FREE, w) && (w == 0 || !NOTHING_YET))
#ifdef FAULT_UNKNOWN_CLAIM_BLOCKS
#define ASKS_AGAIN(w) (MAY_CLAIM(w) && wk[w].unknown)
#endif
#ifdef FAULT_UNKNOWN_CLAIM_WITHOUT_SUPER
#define ASKS_AGAIN(w) (SPEAKS(w) && wk[w].unknown && !wk[w].noticed)
#endif
#ifndef ASKS_AGAIN
#define ASKS_AGAIN(w) (SPEAKS(w) && wk[w].unknown) /* before everything else */
#endif
