#include "worker/cpus.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = CPUS_MAX / 64 };

bool cpus_has(const struct cpus *set, uint32_t cpu) {
    return cpu < CPUS_MAX && (set->bits[cpu / 64] >> (cpu % 64) & 1);
}

void cpus_add(struct cpus *set, uint32_t cpu) {
    if (cpu < CPUS_MAX)
        set->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

void cpus_add_range(struct cpus *set, uint32_t first, uint32_t last) {
    for (uint32_t cpu = first; cpu <= last && cpu < CPUS_MAX; cpu++)
        cpus_add(set, cpu);
}

void cpus_join(struct cpus *set, const struct cpus *other) {
    for (size_t i = 0; i < WORDS; i++)
        set->bits[i] |= other->bits[i];
}

void cpus_keep(struct cpus *set, const struct cpus *other) {
    for (size_t i = 0; i < WORDS; i++)
        set->bits[i] &= other->bits[i];
}

bool cpus_meet(const struct cpus *a, const struct cpus *b) {
    for (size_t i = 0; i < WORDS; i++)
        if (a->bits[i] & b->bits[i])
            return true;
    return false;
}

bool cpus_same(const struct cpus *a, const struct cpus *b) {
    return memcmp(a->bits, b->bits, sizeof a->bits) == 0;
}

uint32_t cpus_count(const struct cpus *set) {
    uint32_t count = 0;
    for (size_t i = 0; i < WORDS; i++)
        count += (uint32_t)__builtin_popcountll(set->bits[i]);
    return count;
}

uint32_t cpus_next(const struct cpus *set, uint32_t from) {
    for (uint32_t cpu = from; cpu < CPUS_MAX; cpu = (cpu / 64 + 1) * 64) {
        uint64_t rest = set->bits[cpu / 64] >> (cpu % 64);
        if (rest)
            return cpu + (uint32_t)__builtin_ctzll(rest);
    }
    return CPUS_MAX;
}

/* Digits only, so that strtoul's signs and blanks are no numbers. */
static bool read_number(const char **at, uint32_t *number) {
    if (**at < '0' || **at > '9')
        return false;
    char *end;
    unsigned long value = strtoul(*at, &end, 10);
    *number = value < CPUS_MAX ? (uint32_t)value : CPUS_MAX;
    *at = end;
    return true;
}

bool cpus_parse(const char *text, struct cpus *set) {
    memset(set, 0, sizeof *set);
    const char *at = text;
    uint32_t first = 0, last;
    bool more = at[strspn(at, " \t\n")] != '\0';
    while (more) {
        bool ok = read_number(&at, &first);
        last = first;
        if (ok && *at == '-') {
            at++;
            ok = read_number(&at, &last) && last >= first;
        }
        more = ok && *at == ',';
        at += more;
        if (!ok || (!more && at[strspn(at, " \t\n")] != '\0')) {
            memset(set, 0, sizeof *set);
            return false;
        }
        cpus_add_range(set, first, last);
    }
    return true;
}

void cpus_print(const struct cpus *set, struct buf *out) {
    const char *comma = "";
    for (uint32_t first = cpus_next(set, 0); first < CPUS_MAX;) {
        uint32_t last = first;
        while (cpus_has(set, last + 1))
            last++;
        buf_addf(out, last > first ? "%s%u-%u" : "%s%u", comma, first, last);
        comma = ",";
        first = cpus_next(set, last + 1);
    }
}

bool cpus_of_process(struct cpus *set) {
    memset(set, 0, sizeof *set);
    /* The kernel refuses a mask shorter than the machine might have CPUs. */
    for (size_t room = 1024; room <= 65536; room *= 4) {
        cpu_set_t *mask = CPU_ALLOC(room);
        if (!mask)
            return false;
        size_t size = CPU_ALLOC_SIZE(room);
        CPU_ZERO_S(size, mask);
        if (sched_getaffinity(0, size, mask) == 0) {
            for (size_t cpu = 0; cpu < room; cpu++)
                if (CPU_ISSET_S(cpu, size, mask))
                    cpus_add(set, (uint32_t)cpu);
            CPU_FREE(mask);
            return true;
        }
        CPU_FREE(mask);
    }
    return false;
}
