#!/usr/bin/env bash
# Runs redisManager and redisWorker, as the integration tests start them, under valgrind: the tests named, with
# DISTCOMP_BIN (the real programs) replaced by wrappers. What tasks execute is not looked at. Fails when a test
# fails or valgrind has something to say.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/log"
for program in redisManager redisWorker; do
    cat >"$work/bin/$program" <<WRAPPER
#!/bin/sh
exec valgrind -q --vgdb=no --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99 \\
    --log-file=$work/log/$program.%p --trace-children=yes '--trace-children-skip=/bin/*,/usr/bin/*' \\
    '$DISTCOMP_BIN/$program' "\$@"
WRAPPER
    chmod +x "$work/bin/$program"
done
DISTCOMP_SLOW=8 DISTCOMP_BIN=$work/bin "${PYTHON:-/usr/bin/python3}" -m pytest -q -p no:cacheprovider "$@"
rc=$?
# Errors begin with ==PID==; --PID-- is only a system call that valgrind does not know.
runs=$(find "$work/log" -type f | wc -l) noisy=$(grep -rl '^==' "$work/log" | wc -l)
grep -rh '^==' "$work/log"
echo "memcheck: $noisy of $runs processes had errors"
[ "$rc" -eq 0 ] && [ "$runs" -gt 0 ] && [ "$noisy" -eq 0 ]
