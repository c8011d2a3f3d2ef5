/* clang-format off */
/*
 * family.h - which tasks are alike: a task's family is what its memory is learned under. Pure.
 *
 * A task with a name belongs to the family of that name. Any other belongs to that of its type and
 * the first words of its command: the program, and up to two words behind it that look like
 * subcommands. What differs from task to task (numbers, paths, options, values) is left out:
 *
 *     sim/lru, sim/lru/7, sim/lru/8                     sim/lru
 *     ./cachesim lru zipf 4 --seed 7                    shell cachesim lru zipf
 *     OMP_NUM_THREADS=4 /opt/bin/ffmpeg -i 17.mkv       shell ffmpeg
 *     cd /data && nice -n 5 ./run_0017.sh >17.log       shell run_#.sh
 *     python3 tools/train.py resnet lr=0.1              shell python# train.py resnet
 *     sh -c "./sim fifo 3"                              shell sim fifo
 *     train.py --seed 7 (of type python)                python train.py
 *
 * The rules, in the order in which they are applied:
 *
 *   numbers          every run of digits in a program or a name becomes one '#', and so does a run of
 *                    eight or more hexadecimal digits; a part of a name that is only that is dropped
 *   before it        assignments, `cd DIR &&`, and what only starts another program (env, nice, nohup,
 *                    timeout ...: family.c has the table) with its options and numbers are skipped
 *   program          the last part of its path
 *   interpreters     python, sh, perl, java ...: options are skipped, the script's last part of the path
 *                    follows; the string of a shell's -c takes the shell's place
 *   further words    kept while they are letters, '-' and '_' only, begin with a letter and are not over
 *                    24 bytes; the first other word, and any of ; | & < > ( ) ends the key
 *
 * Nothing is expanded. The rule need not be right, only stable: tasks that are put together
 * although they differ get the memory of the larger ones, tasks that are kept apart are learned
 * more slowly.
 */
/* clang-format on */
#ifndef DISTCOMP_FAMILY_H
#define DISTCOMP_FAMILY_H

#include <stddef.h>

#include "common/buf.h"
#include "common/task.h"

#define FAMILY_KEY_MAX    120 /* bytes; longer ones are cut, before a UTF-8 character */
#define FAMILY_DIGEST_LEN 16

/* Appends the key of a task's family: 1 to FAMILY_KEY_MAX bytes, no control character. */
void family_key(const struct task *task, struct buf *out);
/* 16 hexadecimal digits (XXH3) and a NUL, which stand for a key in the names of lists and keys. */
void family_digest(const char *key, size_t len, char digest[FAMILY_DIGEST_LEN + 1]);

#endif
