#!/usr/bin/env bash
# make demo: one batch from the task file to a table of results, on an embedded Redis and a worker of its own,
# in a temporary directory. Leaves nothing running and nothing behind.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=${DISTCOMP_BIN:-$here/bin}:$PATH
dir=$(mktemp -d "${TMPDIR:-/tmp}/distcomp-demo.XXXXXX")
export DISTCOMP_RUN_DIR=$dir/run DISTCOMP_STATE_DIR=$dir/worker DISTCOMP_QUEUE=demo
unset DISTCOMP_CONF DISTCOMP_REDIS
worker=

finish() {
    if [ -n "$worker" ]; then
        kill "$worker" 2>/dev/null || true
        wait "$worker" 2>/dev/null || true
    fi
    bash "$here/redis.sh" stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap finish EXIT

say() { printf '\n$ %s\n' "$*"; }
run() {
    say "$*"
    "$@"
}

cd "$dir"
say bash ./redis.sh
bash "$here/redis.sh" start --dir "$dir/redis" | sed -n 1,1p

say "bash taskfiles/compress.sh >compress.task; head -n 4 compress.task"
bash "$here/taskfiles/compress.sh" >compress.task
head -n 4 compress.task

run redisManager loadTask --taskfile compress.task --name compress

say "redisWorker --name demo &"
redisWorker --name demo 2>worker.log &
worker=$!

run redisManager waitTask --name compress --timeout 120 || { cat worker.log; exit 1; }
run redisManager checkTask --finished false --failed false --todo false --in_progress false
run redisManager checkWorker

say "redisManager exportTask --name compress --file compress.csv; cut -d , -f 1,14-16,23,26,29 compress.csv | sed -n 1,4p"
redisManager exportTask --quiet --name compress --file compress.csv
cut -d , -f 1,14-16,23,26,29 compress.csv | sed -n 1,4p

say "awk -f taskfiles/compress.awk compress.csv"
awk -f "$here/taskfiles/compress.awk" compress.csv

say "redisManager stopWorker demo; bash ./redis.sh stop"
redisManager stopWorker demo || kill "$worker"
wait "$worker" || { cat worker.log; exit 1; }
worker=
bash "$here/redis.sh" stop
