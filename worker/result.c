#include "worker/result.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "common/need.h"
#include "common/units.h"
#include "worker/hostwire.h"
#include "worker/wireio.h"

enum { SAMPLES_FEW_US = 5000000 }; /* a try as short as this was measured a few times at most */
enum { REASON_LINES = 5, REASON_BYTES = 1000, DISK_PAGE = 4096, EXIT_NOT_STARTED = 126 };

int64_t result_backoff(uint64_t first_ms, uint64_t most_ms, uint32_t failures) {
    uint64_t delay = first_ms;
    for (uint32_t i = 0; i < failures && delay < most_ms; i++)
        delay *= 2;
    return (int64_t)(delay < most_ms ? delay : most_ms);
}

static int64_t retry_delay(const struct run *run, const struct config *config) {
    uint64_t first =
        run->backoff_ms == UINT64_MAX ? (uint64_t)config->retry_backoff_ms : run->backoff_ms;
    uint64_t most = (uint64_t)config->retry_backoff_max_ms;
    return result_backoff(first, most > first ? most : first, run->failures);
}

/* A program that could not be started for want of something that may come back. */
static bool passes_by_itself(int error) {
    return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

enum try_outcome result_outcome(const struct run *run, const struct config *config,
                                int64_t *delay_ms) {
    uint32_t retries = run->retries ? run->retries : (uint32_t)config->max_retry_per_task;
    const struct wire_exit *e = &run->exit;
    *delay_ms = 0;
    if (run->fate == RUN_LOST || run->fate == RUN_RELEASED)
        return run->fate == RUN_LOST ? TRY_LOST : TRY_RELEASED;
    if (run->memory.verdict == OOM_MACHINE)
        return TRY_RETURNED;
    switch ((enum wire_why)e->why) {
    case WIRE_WHY_CANCEL:
        return TRY_CANCELLED;
    case WIRE_WHY_MEMORY:
        return TRY_RETURNED;
    case WIRE_WHY_RETURN:
    case WIRE_WHY_STALE:
    case WIRE_WHY_ORPHAN:
        return TRY_RELEASED;
    case WIRE_WHY_NONE:
    case WIRE_WHY_TIMEOUT:
        break;
    }
    if (passes_by_itself(e->spawn_errno))
        return TRY_RELEASED;
    *delay_ms = retry_delay(run, config);
    bool by_itself = e->why == WIRE_WHY_NONE && !e->spawn_errno && WIFEXITED(e->status);
    if (by_itself && WEXITSTATUS(e->status) == EXIT_TEMPFAIL)
        return TRY_TEMPFAIL;
    if (by_itself && WEXITSTATUS(e->status) == 0)
        return TRY_FINISHED;
    bool refused = run->native && by_itself && WEXITSTATUS(e->status) == HOST_REFUSED;
    if (run->failures + 1u >= retries || refused)
        *delay_ms = -1;
    return e->why == WIRE_WHY_TIMEOUT ? TRY_TIMEOUT : TRY_FAILED;
}

uint64_t result_peak(const struct usage_reading *last, const struct wire_exit *how) {
    uint64_t largest = how->maxrss_kib * 1024;
    bool exact = last->source == USAGE_CGROUP;
    bool seldom =
        last->source == USAGE_NONE || (last->processes < 2 && how->wall_us < SAMPLES_FEW_US);
    return !exact && seldom && largest > last->peak_bytes ? largest : last->peak_bytes;
}

void result_stream_path(struct buf *out, const char *state_dir, uint32_t files, bool err) {
    bool host = files >= WIRE_FILES_HOST;
    buf_addf(out, "%s/out/%s%u.%s", state_dir, host ? "h" : "",
             host ? files - WIRE_FILES_HOST : files, err ? "err" : "out");
}

/* One captured stream. */
struct stream {
    int fd;
    uint64_t size;
    bool err;
    bool moved; /* an agent that died before the report was answered has put it in result_dir */
    int error;  /* errno: it could not be read; or 0 */
    bool cut;   /* what goes to Redis is not all of it */
    struct buf kept; /* what goes to Redis */
    struct buf tail; /* the last REASON_BYTES, of stderr */
};

/* Appends bytes from..from+len of a file; what is missing is left out. Returns errno, or 0. */
static int read_range(int fd, uint64_t from, uint64_t len, struct buf *out) {
    int error = 0;
    buf_reserve(out, (size_t)len);
    while (len > 0) {
        ssize_t n = pread(fd, out->data + out->len, (size_t)len, (off_t)from);
        if (n < 0 && errno == EINTR)
            continue;
        error = n < 0 ? errno : 0;
        if (n <= 0)
            break;
        out->len += (size_t)n;
        from += (uint64_t)n;
        len -= (uint64_t)n;
    }
    out->data[out->len] = '\0';
    return error;
}

/* First and last half of `limit` bytes, with a mark in between. */
static void read_ends(struct stream *s, uint64_t limit) {
    uint64_t half = limit / 2;
    s->error = read_range(s->fd, 0, half, &s->kept);
    buf_addf(&s->kept, "\n[distcomp: %llu bytes left out]\n",
             (unsigned long long)(s->size - 2 * half));
    int error = read_range(s->fd, s->size - half, half, &s->kept);
    s->error = s->error ? s->error : error;
    s->cut = true;
}

static void kept_path(struct buf *out, const struct run *run, const struct result_files *files,
                      bool err) {
    buf_addf(out, "%s/%s.%u.%s", files->result_dir, run->id, run->try_number, err ? "err" : "out");
}

static void stream_open(struct stream *s, const struct run *run, const struct result_files *files,
                        bool err) {
    *s = (struct stream){.fd = -1,
                         .size = err ? run->exit.err_bytes : run->exit.out_bytes,
                         .err = err,
                         .kept = BUF_INIT,
                         .tail = BUF_INIT};
    if (run->fate == RUN_REFUSED || s->size == 0)
        return;
    struct buf path = BUF_INIT;
    result_stream_path(&path, files->state_dir, run->files, err);
    s->fd = open(path.data, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 && errno == ENOENT) {
        buf_clear(&path);
        kept_path(&path, run, files, err);
        s->fd = open(path.data, O_RDONLY | O_CLOEXEC);
        s->moved = s->fd >= 0;
    }
    s->error = s->fd < 0 ? errno : 0;
    s->cut = s->fd < 0;
    buf_free(&path);
    /* A task that wrote through a second open file may have left a shorter one. */
    struct stat st;
    if (s->fd >= 0 && fstat(s->fd, &st) == 0)
        s->size = (uint64_t)st.st_size;
}

static void stream_read(struct stream *s, uint64_t limit) {
    if (s->fd < 0 || s->size == 0)
        return;
    if (s->size <= limit)
        s->error = read_range(s->fd, 0, s->size, &s->kept);
    else
        read_ends(s, limit);
    s->cut = s->cut || s->error;
    if (s->err)
        read_range(s->fd, s->size > REASON_BYTES ? s->size - REASON_BYTES : 0, REASON_BYTES,
                   &s->tail);
}

static void stream_close(struct stream *s) {
    if (s->fd >= 0)
        close(s->fd);
    buf_free(&s->kept);
    buf_free(&s->tail);
}

static void compress_stream(struct stream *s) {
    struct buf packed = BUF_INIT;
    uLongf size = compressBound((uLong)s->kept.len);
    buf_reserve(&packed, size);
    if (compress((Bytef *)packed.data, &size, (const Bytef *)s->kept.data, (uLong)s->kept.len) ==
        Z_OK)
        packed.len = size;
    buf_free(&s->kept);
    s->kept = packed;
}

static bool copy_file(int from, const char *path) {
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0)
        return false;
    char chunk[65536];
    ssize_t n, wrote = 0;
    off_t at = 0;
    for (; wrote >= 0 && (n = pread(from, chunk, sizeof chunk, at)) > 0; at += wrote)
        wrote = write(to, chunk, (size_t)n);
    bool ok = wrote >= 0 && n == 0;
    int error = errno;
    if (close(to) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (!ok)
        unlink(path);
    errno = error;
    return ok;
}

/* Moves a stream's file to result_dir; true when it is there. taken: the slot's file is gone. */
static bool keep_stream(const struct stream *s, const struct run *run,
                        const struct result_files *files, bool *taken) {
    struct buf from = BUF_INIT, to = BUF_INIT;
    result_stream_path(&from, files->state_dir, run->files, s->err);
    kept_path(&to, run, files, s->err);
    mkdir(files->result_dir, 0700);
    *taken = s->moved || rename(from.data, to.data) == 0;
    bool kept = *taken || (errno == EXDEV && s->fd >= 0 && copy_file(s->fd, to.data));
    buf_free(&from);
    buf_free(&to);
    return kept;
}

/* Memory ended it: how much it had. False: something else did. */
static bool add_memory_reason(struct buf *reason, const struct run *run, enum try_outcome outcome) {
    const struct run_memory *m = &run->memory;
    bool killed = m->verdict == OOM_MACHINE;
    if (m->verdict == OOM_LIMIT) {
        buf_adds(reason, "it went over its limit of ");
        units_add_bytes(reason, run->placement ? run->placement->limit_bytes : run->mem_bytes);
        buf_adds(reason, " (limit=hard)");
        return true;
    }
    if (outcome != TRY_RETURNED)
        return false;
    buf_adds(reason, killed ? "the kernel killed it for want of memory" : "memory was short");
    if (m->peak_bytes) {
        buf_adds(reason, ": it used ");
        units_add_bytes(reason, m->peak_bytes);
        buf_adds(reason, m->peak_bytes > run->mem_bytes ? " of the " : ", within the ");
        units_add_bytes(reason, run->mem_bytes);
        buf_adds(reason, " promised");
    }
    return true;
}

/* The last lines of stderr, or a sentence: why the try failed. */
static void add_reason(struct buf *reason, const struct run *run, enum try_outcome outcome,
                       const struct stream *err) {
    if (add_memory_reason(reason, run, outcome))
        return;
    if (run->start_error) {
        buf_adds(reason, run->start_error);
        return;
    }
    if (run->exit.spawn_errno) {
        buf_adds(reason, "it could not be started: ");
        if (run->exit.status != WIRE_STEP_NONE)
            buf_addf(reason, "cannot %s: ", wire_step_text(run->exit.status));
        buf_adds(reason, strerror(run->exit.spawn_errno));
        return;
    }
    size_t end = err->tail.len;
    while (end > 0 && err->tail.data[end - 1] == '\n')
        end--;
    size_t start = end;
    for (int lines = 0; start > 0; start--)
        if (err->tail.data[start - 1] == '\n' && ++lines == REASON_LINES)
            break;
    buf_add(reason, err->tail.data + start, end - start);
}

static void add_sentence(struct buf *reason, const char *what, const char *why) {
    buf_addf(reason, "%s%s: %s", reason->len ? "\n" : "", what, why);
}

static void fill_entry(struct try_entry *entry, const struct run *run, const struct config *config,
                       const struct stream streams[2]) {
    const struct wire_exit *e = &run->exit;
    bool started = !e->spawn_errno;
    entry->try_number = run->try_number;
    entry->exit_code = EXIT_NOT_STARTED;
    if (started)
        entry->exit_code = WIFEXITED(e->status) ? WEXITSTATUS(e->status) : 0;
    entry->signal = started && WIFSIGNALED(e->status) ? WTERMSIG(e->status) : 0;
    entry->start_ms = e->start_wall_ms;
    entry->end_ms = e->end_wall_ms;
    entry->wall_us = e->wall_us;
    entry->user_us = e->user_us;
    entry->system_us = e->system_us;
    entry->maxrss_kib = run->memory.peak_bytes ? run->memory.peak_bytes / 1024 : e->maxrss_kib;
    entry->out_bytes = streams[0].size;
    entry->err_bytes = streams[1].size;
    entry->read_bytes = run->memory.read_bytes;
    entry->write_bytes = run->memory.write_bytes;
    memcpy(entry->nonce, run->nonce, sizeof entry->nonce);
    entry->worker = (struct slice){config->name, strlen(config->name)};
}

/* Which streams are kept as files: those that were asked for, and those that are not whole in
 * Redis. */
static void keep_streams(struct result *result, struct try_entry *entry, const struct run *run,
                         struct stream streams[2], const struct result_files *files,
                         struct buf *path, struct buf *reason) {
    static const uint32_t taken_flags[2] = {WIRE_ACK_OUT_TAKEN, WIRE_ACK_ERR_TAKEN};
    for (int i = 0; i < 2; i++) {
        bool taken = false;
        if (streams[i].error)
            add_sentence(reason,
                         i ? "its stderr could not be read" : "its stdout could not be read",
                         strerror(streams[i].error));
        if (streams[i].size == 0 || !(streams[i].cut || run->output == OUTPUT_KEEP))
            continue;
        if (keep_stream(&streams[i], run, files, &taken)) {
            buf_adds(path, path->len ? "\n" : "");
            kept_path(path, run, files, i == 1);
        } else {
            const char *why = strerror(errno);
            struct buf what = BUF_INIT;
            buf_addf(&what, "its output could not be kept in %s", files->result_dir);
            add_sentence(reason, what.data, why);
            buf_free(&what);
        }
        if (taken)
            result->ack_flags |= taken_flags[i];
    }
    if (path->len) {
        entry->node = (struct slice){files->node, strlen(files->node)};
        entry->path = (struct slice){path->data, path->len};
    }
}

static void pack_output(struct result *result, const struct run *run, struct stream streams[2]) {
    if (streams[0].size == 0 && streams[1].size == 0)
        return;
    struct task_output output = {
        .try_number = run->try_number, .out_bytes = streams[0].size, .err_bytes = streams[1].size};
    output.flags = (streams[0].cut ? OUTPUT_CUT_OUT : 0) | (streams[1].cut ? OUTPUT_CUT_ERR : 0);
    if (run->output == OUTPUT_REDIS) {
        compress_stream(&streams[0]);
        compress_stream(&streams[1]);
        output.flags |= OUTPUT_COMPRESSED;
    }
    output.out = (struct slice){streams[0].kept.data, streams[0].kept.len};
    output.err = (struct slice){streams[1].kept.data, streams[1].kept.len};
    task_output_pack(&output, &result->output);
}

/* The kernel kills what is largest or newest: its try counts as a culprit whatever was measured. */
static void fill_memory(struct result_memory *memory, const struct run *run,
                        enum try_outcome outcome) {
    uint64_t peak = run->memory.peak_bytes;
    snprintf(memory->family, sizeof memory->family, "%s", run->family);
    memory->peak_bytes = peak;
    memory->promised_bytes = run->mem_bytes;
    if (run->memory.verdict == OOM_MACHINE && peak <= run->mem_bytes)
        peak = run->mem_bytes + 1;
    struct need need = need_after_return(run->mem_bytes, peak, UINT64_MAX);
    if (outcome == TRY_RETURNED && need.verdict == NEED_RAISED)
        memory->need_bytes = need.mem_bytes;
}

void result_make(struct result *result, const struct run *run, const struct config *config,
                 const struct result_files *files) {
    struct stream streams[2];
    struct try_entry entry = {0};
    struct buf path = BUF_INIT, reason = BUF_INIT;
    *result = (struct result){.entry = BUF_INIT, .output = BUF_INIT, .wall_us = run->exit.wall_us};
    result->outcome = result_outcome(run, config, &result->delay_ms);
    if (run->fate == RUN_LOST || run->fate == RUN_RELEASED)
        return;
    fill_memory(&result->memory, run, result->outcome);
    uint64_t limit =
        run->output == OUTPUT_REDIS ? config->output_redis_max_bytes : config->output_limit_bytes;
    uint64_t on_disk = config->output_max_bytes / 2 / DISK_PAGE * DISK_PAGE * 2;
    for (int i = 0; i < 2; i++) {
        stream_open(&streams[i], run, files, i == 1);
        /* Past output_max the supervisor has punched a hole into the file; it is no output. */
        bool holed = streams[i].size > config->output_max_bytes && limit > on_disk;
        stream_read(&streams[i], holed ? on_disk : limit);
    }
    entry.outcome = result->outcome;
    fill_entry(&entry, run, config, streams);
    if (result->outcome != TRY_FINISHED)
        add_reason(&reason, run, result->outcome, &streams[1]);
    keep_streams(result, &entry, run, streams, files, &path, &reason);
    entry.reason = (struct slice){reason.data, reason.len};
    try_entry_pack(&entry, &result->entry);
    pack_output(result, run, streams);
    for (int i = 0; i < 2; i++)
        stream_close(&streams[i]);
    buf_free(&path);
    buf_free(&reason);
}

void result_free(struct result *result) {
    buf_free(&result->entry);
    buf_free(&result->output);
}
