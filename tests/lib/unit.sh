#!/usr/bin/env bash
# Runs unit test programs (cmocka), shows the output of those that fail, and ends with one line:
#   unit: N passed, N failed, N skipped in N programs
# WRAP is put before each program (valgrind). A program that dies counts as one failure, and with
# DISTCOMP_CI set so does a skipped test, unless it has printed a line "expected: WHY" (no rights to make a cgroup).
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ci=${DISTCOMP_CI:-}
# No test may touch the user's own files or settings.
mkdir "$work/home" "$work/run" "$work/tmp"
for name in ${!DISTCOMP_@} ${!XDG_@}; do unset "$name"; done
export HOME=$work/home XDG_RUNTIME_DIR=$work/run DISTCOMP_RUN_DIR=$work/run TMPDIR=$work/tmp CMOCKA_MESSAGE_OUTPUT=STDOUT

passed=0 failed=0 skipped=0
# What follows "N test(s) run" is a summary that repeats the failed and skipped ones.
count() { sed '/test(s) run/q' "$work/out" | grep -cE "^\[ +($1) +\] [^ ]+$"; }
# Skipped tests that did not say so themselves.
unexpected() {
    awk '/test\(s\) run/ { exit } /^\[ +RUN +\]/ { said = 0 } /^expected: / { said = 1 }
         /^\[ +SKIPPED +\]/ && !said { n++ } END { print n + 0 }' "$work/out"
}
for program in "$@"; do
    # shellcheck disable=SC2086
    ${WRAP:-} "./$program" >"$work/out" 2>&1
    rc=$?
    ok=$(count OK) bad=$(count 'FAILED|ERROR') skip=$(count SKIPPED)
    if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ -n "$ci" ]; then bad=$((bad + $(unexpected))); fi
    if [ "$rc" -eq 0 ] && [ $((ok + skip)) -eq 0 ]; then
        bad=1
        echo "no test ran" >>"$work/out"
    fi
    if [ "$rc" -ne 0 ] || [ "$bad" -gt 0 ]; then
        echo "--- ${program##*/} (exit $rc)"
        cat "$work/out"
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
echo "unit: $passed passed, $failed failed, $skipped skipped in $# programs"
[ "$failed" -eq 0 ]
