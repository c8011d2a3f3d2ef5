/*
 * settings.h - the one table of settings.
 *
 * Each is a key of conf.json, the environment variable DISTCOMP_KEY (upper case) and the flag
 * --key.
 *
 * X(kind, member of struct config, key, default, least, most, words, scope, help)
 *
 *   kind      C type     what is written                          least and most are
 *   BOOL      bool       true, false, yes, no, on, off, 1, 0      -
 *   COUNT     int64_t    digits                                   the number's
 *   BYTES     uint64_t   64KiB, 1G; a bare number is bytes        bytes
 *   GIB       uint64_t   0.25, 512MiB; a bare number is GiB,      bytes
 *                        and `auto` is CONFIG_AUTO if words says so
 *   DURATION  int64_t    30s, 1h30m; a bare number is seconds     milliseconds
 *   CORES     uint32_t   2, 0.5; kept in thousandths              thousandths
 *   TEXT      char *     anything but NUL and newline             bytes
 *   SECRET    char *     the same; never printed                  bytes
 *   WORD      char *     A-Z a-z 0-9 _ . -, not first . or -      bytes
 *   CHOICE    int        one of `words`; kept as its index        -
 */
#ifndef DISTCOMP_SETTINGS_H
#define DISTCOMP_SETTINGS_H

#define SETTING_DAY_MS  INT64_C(86400000)
#define SETTING_YEAR_MS (366 * SETTING_DAY_MS)
#define SETTING_MEM_MAX (INT64_C(1) << 47)

/* clang-format off */
#define SETTINGS(X) \
    X(TEXT, redis, "redis", "", 0, 4096, NULL, BOTH, \
      "where Redis is: redis://[user:password@]host[:port][/db], unix:///path[?db=N], or the Sentinels that know: " \
      "sentinel://[user:password@]host[:port],host[:port].../mastername[/db]") \
    X(TEXT, redis_host, "redis_host", "", 0, 255, NULL, BOTH, \
      "host of Redis, when redis is not given; neither: the one redis.sh started here, else 127.0.0.1") \
    X(COUNT, redis_port, "redis_port", "6379", 1, 65535, NULL, BOTH, "port of Redis") \
    X(SECRET, redis_pass, "redis_pass", "", 0, 512, NULL, BOTH, "password of Redis") \
    X(SECRET, sentinel_pass, "sentinel_pass", "", 0, 512, NULL, BOTH, \
      "password of the Sentinels, when redis is sentinel://... and has none; redis_pass is the master's") \
    X(COUNT, redis_db, "redis_db", "0", 0, 65535, NULL, BOTH, "database number in Redis") \
    X(WORD, queue, "queue", "default", 1, 64, NULL, BOTH, "name of the queue") \
    X(CHOICE, log_level, "log_level", "info", 0, 0, "debug|info|warn|error", BOTH, \
      "least urgent events that are logged") \
    X(CHOICE, log_format, "log_format", "auto", 0, 0, "auto|json|text", BOTH, \
      "form of the log; auto is text on a terminal, else JSON") \
    X(COUNT, max_retry_per_task, "max_retry_per_task", "4", 1, 1000, NULL, BOTH, \
      "failed tries in all before a task has failed") \
    X(COUNT, max_losses, "max_losses", "5", 1, 1000, NULL, BOTH, \
      "workers a task may lose before it has failed") \
    X(DURATION, retry_backoff_ms, "retry_backoff", "1s", 0, SETTING_DAY_MS, NULL, BOTH, \
      "wait before the first retry; doubles with each") \
    X(DURATION, retry_backoff_max_ms, "retry_backoff_max", "60s", 0, SETTING_YEAR_MS, NULL, BOTH, \
      "longest wait before a retry") \
    X(COUNT, keep_finished, "keep_finished", "1000000", 0, INT64_C(1000000000), NULL, BOTH, \
      "results of this many ended tasks are kept, the newest; 0: all") \
    X(COUNT, keep_finished_days, "keep_finished_days", "30", 0, 36500, NULL, BOTH, \
      "days that results of ended tasks are kept; 0: for ever") \
    X(BYTES, keep_output_bytes, "keep_output_bytes", "0", 0, SETTING_MEM_MAX, NULL, BOTH, \
      "most that all outputs in Redis may take, the oldest go first; 0: 5 % of its machine's memory") \
    X(COUNT, wait_replicas, "wait_replicas", "0", 0, 16, NULL, BOTH, \
      "replicas of Redis that must have a load before it is acknowledged, and a result before its worker lets go of it") \
    X(BYTES, object_max_bytes, "object_max", "512MiB", 1, SETTING_MEM_MAX, NULL, BOTH, \
      "most that one object may take (redis:NAME of native tasks, putObject)") \
    X(DURATION, object_ttl_ms, "object_ttl", "7d", 1000, SETTING_YEAR_MS, NULL, BOTH, \
      "an object that was not written for so long is removed") \
    X(WORD, name, "name", "", 0, 64, NULL, WORKER, "name of this worker; the host name by default") \
    X(CORES, cpus_mcpu, "cpus", "0", 0, 1000000000, NULL, WORKER, "cores to use; 0: all") \
    X(GIB, memory_bytes, "memory", "0", 0, SETTING_MEM_MAX, NULL, WORKER, \
      "memory to use, in GiB or with a unit; 0: all") \
    X(COUNT, max_tasks, "max_task_per_worker", "0", 0, 65536, NULL, WORKER, \
      "tasks that run at the same time, also --max_tasks; 0: 16 a core") \
    X(TEXT, labels, "labels", "", 0, 1024, NULL, WORKER, \
      "what this worker has, names joined by ','; tasks with labels run only where all are") \
    X(GIB, min_dram_accept_bytes, "min_dram_gb_accept_new_task", "auto", 0, SETTING_MEM_MAX, "auto", WORKER, \
      "free memory below which no task is taken, in GiB; auto: 5 % of memory, 0.25 to 4") \
    X(GIB, min_dram_return_bytes, "min_dram_gb_trigger_return", "auto", 0, SETTING_MEM_MAX, "auto", WORKER, \
      "free memory below which the most recent task is given back, in GiB; auto: half of the former") \
    X(CHOICE, return_policy, "return_policy", "most_recent", 0, 0, "most_recent|over_request", WORKER, \
      "who goes back when memory is short: the task that was started last, or the last of those above their request") \
    X(DURATION, return_grace_ms, "return_grace", "0", 0, SETTING_DAY_MS, NULL, WORKER, \
      "SIGTERM so long before SIGKILL to a task that goes back for memory, where there is time; 0: SIGKILL at once") \
    X(DURATION, poll_interval_ms, "sleep_sec_between_accepting_task", "5", 10, SETTING_DAY_MS, NULL, WORKER, \
      "seconds between two looks for work when nothing woke the worker") \
    X(DURATION, starve_after_ms, "starve_after", "60s", 0, SETTING_YEAR_MS, NULL, WORKER, \
      "a large task that small ones were taken before for so long gets a worker kept free for it; 0: never") \
    X(DURATION, health_report_interval_ms, "health_report_interval", "5", 10, SETTING_DAY_MS, NULL, WORKER, \
      "seconds between two reports of the worker") \
    X(DURATION, lease_ms, "lease", "30s", 30, SETTING_DAY_MS, NULL, WORKER, \
      "a worker silent for this long has lost its tasks; at least 3 x health_report_interval") \
    X(DURATION, timeout_ms, "timeout", "0", 0, SETTING_YEAR_MS, NULL, WORKER, \
      "a try is ended after this long unless its task says otherwise; 0: never") \
    X(DURATION, kill_grace_ms, "kill_grace", "5s", 0, SETTING_DAY_MS, NULL, WORKER, \
      "from SIGTERM to SIGKILL when a task is ended") \
    X(DURATION, drain_timeout_ms, "drain_timeout", "1h", 0, SETTING_YEAR_MS, NULL, WORKER, \
      "a draining worker gives back what still runs after this long; 0: never") \
    X(BYTES, output_limit_bytes, "output_limit", "64KiB", 0, INT64_C(16777216), NULL, WORKER, \
      "of each of stdout and stderr, kept with the result") \
    X(BYTES, output_max_bytes, "output_max", "1GiB", 65536, SETTING_MEM_MAX, NULL, WORKER, \
      "of each of stdout and stderr, kept on disk; the middle is dropped") \
    X(BYTES, output_redis_max_bytes, "output_redis_max", "16MiB", 0, INT64_C(268435456), NULL, WORKER, \
      "of each of stdout and stderr, shipped to Redis for output=redis") \
    X(TEXT, result_dir, "result_dir", "", 0, 4000, NULL, WORKER, \
      "where long outputs are kept; STATE_DIR/results by default") \
    X(TEXT, state_dir, "state_dir", "", 0, 4000, NULL, WORKER, \
      "the worker's own files, on a local disk; /var/tmp/distcomp-UID/QUEUE/NAME by default") \
    X(TEXT, shell, "shell", "/bin/sh", 1, 4000, NULL, WORKER, "runs shell tasks, with -c") \
    X(TEXT, python, "python", "python3", 1, 4000, NULL, WORKER, "runs python tasks") \
    X(TEXT, kernel_dir, "kernel_dir", "", 0, 4000, NULL, WORKER, \
      "directories with kernels, NAME.so each, joined by ':'; `kernels` beside redisWorker by default, or where make install puts them") \
    X(COUNT, max_kernel_hosts, "max_kernel_hosts", "0", 0, 4096, NULL, WORKER, \
      "native tasks that run at the same time; 0: twice the cores, at least 16") \
    X(DURATION, kernel_idle_ms, "kernel_idle", "10s", 10, SETTING_DAY_MS, NULL, WORKER, \
      "a kernel's process without a task leaves after this long; read at start") \
    X(TEXT, inventory, "inventory", "", 0, 4000, NULL, WORKER, \
      "JSON file that says what this machine has, instead of looking (docs/operations.md)") \
    X(COUNT, broken_after, "broken_after", "20", 0, 1000000, NULL, WORKER, \
      "after so many tries in a row that failed at once: pauses if others finish theirs, slows down if "\
      "nobody can tell yet; 0: never") \
    X(CHOICE, orphan_policy, "orphan_policy", "stop", 0, 0, "stop|keep", WORKER, \
      "tasks of a worker whose lease ends: stopped, or kept running") \
    X(BOOL, exit_when_empty, "exit_when_empty", "false", 0, 0, NULL, WORKER, \
      "leave when the queue has nothing for this worker and nothing runs")

/* Other names of settings: X(alias, key). */
#define SETTING_ALIASES(X) \
    X("max_tasks", "max_task_per_worker")
/* clang-format on */

#endif
