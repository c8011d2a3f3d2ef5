#include "worker/agent_state.h"

#include "worker/launch.h"

void hosts_dismiss(struct agent *a, bool kill) {
    struct wire_dismiss dismiss = {kill, 0};
    if (a->super_gone || !launch_hosts(a->wire_version))
        return;
    superlink_send(a->super, WIRE_DISMISS, &dismiss, sizeof dismiss, NULL, 0);
    hostbook_forget_idle(&a->hosts);
}

mono_ms_t hosts_left(const struct agent *a) {
    return mono_after(mono_now(), -a->config->kernel_idle_ms);
}

void hosts_note(struct agent *a, const struct run *run) {
    const struct wire_exit *e = &run->exit;
    struct usage_base use = {e->user_us + e->system_us, run->memory.read_bytes,
                             run->memory.write_bytes};
    if (!run->native)
        return;
    if (e->flags & WIRE_EXIT_HOST_STAYS)
        hostbook_stayed(&a->hosts, e->pid, &use, mono_now(), hosts_left(a));
    else
        hostbook_gone(&a->hosts, e->pid);
}

uint32_t hosts_room(const struct agent *a, uint32_t ahead) {
    size_t natives = a->runs.natives, most = (size_t)a->host_most + ahead;
    for (const struct run *run = a->runs.lists[RUN_READY].first; run; run = run->next)
        natives += run->native;
    return most > natives ? (uint32_t)(most - natives) : 0;
}
