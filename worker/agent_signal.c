#include "worker/agent_state.h"

#include <signal.h>
#include <string.h>

#include "common/log.h"
#include "worker/standing.h"

enum { SIGNAL_ECHO_MS = 500 }; /* between the two deliveries of one signal */

/* `killall redisWorker` reaches supervisor and agent, but is meant once. */
static bool signal_is_echo(struct agent *a, int signal, bool forwarded) {
    mono_ms_t now = mono_now();
    bool echo = a->last_signal == signal && a->last_forwarded != forwarded &&
                mono_diff(now, a->last_signal_at) < SIGNAL_ECHO_MS;
    a->last_signal = echo ? 0 : signal;
    a->last_forwarded = forwarded;
    a->last_signal_at = now;
    return echo;
}

void signal_handle(struct agent *a, int signal, bool forwarded) {
    if (signal_is_echo(a, signal, forwarded))
        return;
    log_event(LOG_INFO, "signal", kv_text("signal", sigabbrev_np(signal)));
    switch (signal) {
    case SIGTERM:
        agent_set_mode(a, a->mode >= MODE_STOP ? MODE_RETURN : MODE_STOP);
        break;
    case SIGINT:
        agent_set_mode(a, MODE_RETURN);
        break;
    case SIGHUP:
        config_reload(a);
        break;
    case SIGUSR1:
        standing_drop(a->config->state_dir); /* whoever takes over was started to run */
        log_event(LOG_INFO, "left_running", kv_uint("tasks", a->runs.lists[RUN_STARTED].count));
        agent_bye(a, WIRE_BYE_KEEP, 0);
        break;
    default:
        break;
    }
}

static void on_signal(uv_signal_t *handle, int signal) {
    signal_handle(handle->data, signal, false);
}

/* A child of the supervisor hears of signals by WIRE_SIGNAL, also of those that reach both. */
void signal_watch(struct agent *a) {
    static const int numbers[4] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 4; i++) {
        if (!a->attached) {
            signal(numbers[i], SIG_IGN);
            continue;
        }
        uv_signal_init(&a->loop, &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, numbers[i]);
    }
}
