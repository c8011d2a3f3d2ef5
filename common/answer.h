/*
 * answer.h - the end of a program whose answer is standard output.
 */
#ifndef DISTCOMP_ANSWER_H
#define DISTCOMP_ANSWER_H

/*
 * The exit code, `code` or 1: an answer that did not reach its reader (a full disk) is a failure,
 * told on standard error. One that was not wanted any more (`| head`) ends the program by SIGPIPE,
 * as it ends every other; so it does not return then.
 */
int answer_finish(const char *program, int code);

#endif
