/*
 * pipe_tasks TASKFILE - what redis-cli --pipe has to insert to end with the same queue.
 *
 * Prints, in Redis' protocol, one HSET of the task's record and one RPUSH of its hint for each task
 * of the file: the same hash fields and list entries that loadTask leaves, without its checks.
 */
#include <stdio.h>
#include <string.h>

#include "common/keys.h"
#include "common/task.h"
#include "common/taskfile.h"

static void put(const char *bytes, size_t len) {
    printf("$%zu\r\n", len);
    fwrite(bytes, 1, len, stdout);
    fputs("\r\n", stdout);
}

static void put_command(const char *command, const struct buf *key) {
    put(command, strlen(command));
    put(key->data, key->len);
}

static void add_shape(struct buf *out, const struct task *task) {
    buf_addf(out, "%u:%u:%u:", task->priority, task_mem_step(task->mem_bytes), task->mcpu);
    task_requires(task, out);
}

int main(int argc, char **argv) {
    struct buf error = BUF_INIT, queue = BUF_INIT, tasks = BUF_INIT, key = BUF_INIT,
               text = BUF_INIT;
    struct taskfile *f = argc == 2 ? taskfile_open(argv[1], TASKFILE_AUTO, &error) : NULL;
    if (!f) {
        fprintf(stderr, "usage: pipe_tasks TASKFILE\n%s\n", error.len ? error.data : "");
        return 2;
    }
    key_queue(&queue, "default");
    key_add(&tasks, queue.data, KEY_TASK, NULL);
    static struct task task;
    enum taskfile_result what;
    for (unsigned long sequence = 1; (what = taskfile_next(f, &task)) == TASKFILE_TASK;
         sequence++) {
        char id[TASK_ID_LEN + 1];
        task_id(&task, id);
        buf_clear(&text);
        task_record(&task, TASK_TODO, 1, &text);
        fputs("*4\r\n", stdout);
        put_command("HSET", &tasks);
        put(id, TASK_ID_LEN);
        put(text.data, text.len);
        buf_clear(&text);
        add_shape(&text, &task);
        buf_clear(&key);
        key_add(&key, queue.data, KEY_TODO, text.data);
        buf_clear(&text);
        buf_addf(&text, "%s.0.%lx", id, sequence);
        fputs("*3\r\n", stdout);
        put_command("RPUSH", &key);
        put(text.data, text.len);
    }
    if (what != TASKFILE_END || fflush(stdout) != 0) {
        fprintf(stderr, "pipe_tasks: %s\n",
                what != TASKFILE_END ? taskfile_error(f)->text : "cannot write");
        return 1;
    }
    taskfile_close(f);
    buf_free(&error);
    buf_free(&queue);
    buf_free(&tasks);
    buf_free(&key);
    buf_free(&text);
    return 0;
}
