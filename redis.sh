#!/usr/bin/env bash
# The embedded Redis: starts, stops and shows a redis-server of your own, with its data on disk (AOF), a
# password and a unix socket. redisManager and redisWorker on this machine find it without any option.
set -euo pipefail

usage() {
    cat <<'END'
usage: bash ./redis.sh [start|stop|status] [option...]
  start            (also without a word) starts it; when it runs already, says so
  stop             saves and stops it
  status           exit 0 when it runs and answers, 1 when not
options of start:
  --bind ADDR      listen on this address of the machine too (default: only loopback and a unix socket)
  --port N         TCP port (default: 6379, or the next free one)
  --dir DIR        where its data are (default: redis/ beside this script, or, where distcomp was
                   installed, ~/.local/share/distcomp/redis)
  --maxmemory N    such as 8gb (default: half of the machine's memory)
  --appendfsync W  everysec (default: a crash may cost the last second) or always (slower, costs nothing)
  --no_password    only for loopback
  --conf FILE      conf.json: redis_host is bound, redis_port and redis_pass are used
Its run-time files are in $DISTCOMP_RUN_DIR/.redis (default /var/tmp/distcomp-UID/.redis).
END
}

die() {
    echo "redis.sh: $*" >&2
    exit 1
}
bad_usage() {
    echo "redis.sh: $*; see bash redis.sh --help" >&2
    exit 2
}

umask 077
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=${DISTCOMP_RUN_DIR:-/var/tmp/distcomp-$(id -u)}
state=$run/.redis
socket=$state/redis.sock
pidfile=$state/redis.pid
envfile=$state/redis.env

# --- what is wanted ---------------------------------------------------------------------------

verb=start
case ${1:-} in start | stop | status) verb=$1 && shift ;; esac
bind='' port='' dir='' maxmemory='' appendfsync=everysec no_password='' conf=''
while [ $# -gt 0 ]; do
    option=$1 value='' has_value=''
    shift
    case $option in --*=*) value=${option#*=} option=${option%%=*} has_value=1 ;; esac
    case $option in
    --help | -h)
        usage
        exit 0
        ;;
    --no_password | --no-password)
        [ -z "$has_value" ] || bad_usage "$option takes no value"
        no_password=1
        continue
        ;;
    --bind | --port | --dir | --maxmemory | --appendfsync | --conf) ;;
    *) bad_usage "unknown word '$option'" ;;
    esac
    if [ -z "$has_value" ]; then
        [ $# -gt 0 ] || bad_usage "$option wants a value"
        value=$1
        shift
    fi
    [ -n "$value" ] || bad_usage "$option wants a value"
    printf -v "${option#--}" %s "$value"
done
case $appendfsync in everysec | always) ;; *) bad_usage "--appendfsync: expected everysec or always" ;; esac

# The value of a key of a flat conf.json, decoded; fails when the key is not there.
conf_value() {
    local line
    line=$(tr '\n\t\r' '   ' <"$conf" |
        grep -oE "\"$1\" *: *(\"([^\"\\\\]|\\\\.)*\"|[0-9]+)" | head -n 1) || return 1
    line=${line#*:}
    printf %s "$line" | sed -E 's/^ *//; s/^"(.*)"$/\1/; s/\\(["\\\/])/\1/g'
}

find_conf() {
    if [ -z "$conf" ]; then conf=${DISTCOMP_CONF:-}; fi
    if [ -n "$conf" ]; then
        [ -r "$conf" ] || die "$conf: cannot be read"
        return
    fi
    local file
    for file in conf.json "${XDG_CONFIG_HOME:-${HOME:-/}/.config}/distcomp/conf.json" "$here/conf.json"; do
        if [ -r "$file" ]; then
            conf=$file
            return
        fi
    done
}

# --- what there is ----------------------------------------------------------------------------

env_value() { sed -n "s/^$1=//p" "$envfile" 2>/dev/null; }

# The pid of our redis-server, if it lives. A pid file may be stale and its number somebody else's by now.
alive() {
    local pid
    pid=$(cat "$pidfile" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = redis-server ] &&
        [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$(env_value dir)")" ] && echo "$pid"
}

cli() {
    local pass
    pass=$(env_value pass)
    (
        # An empty one would be sent too, and be refused.
        if [ -n "$pass" ]; then export REDISCLI_AUTH=$pass; else unset REDISCLI_AUTH; fi
        timeout 5 redis-cli ${pass:+--no-auth-warning} -s "$socket" "$@" 2>&1 </dev/null
    )
}

is_loopback() {
    case $1 in 127.* | localhost | ::1) return 0 ;; *) return 1 ;; esac
}

json_text() { printf %s "$1" | sed 's/[\\"]/\\&/g'; }

show() {
    local pid=$1 bound host
    bound=$(env_value bind)
    echo "Redis runs: pid $pid, $(env_value socket), redis://$(env_value host):$(env_value port), data in $(env_value dir)"
    if [ -z "$bound" ]; then
        echo "redisManager and redisWorker on this machine find it; for other machines: redis.sh stop, then redis.sh start --bind ADDR"
        return
    fi
    host=$bound
    case $host in '*' | 0.0.0.0 | ::) host=$(hostname -I 2>/dev/null | cut -d ' ' -f 1) ;; esac
    echo "conf.json for the workers:"
    printf '{\n    "redis_host": "%s",\n    "redis_port": %s,\n    "redis_pass": "%s"\n}\n' \
        "$(json_text "${host:-$bound}")" "$(env_value port)" "$(json_text "$(env_value pass)")"
}

# --- start ------------------------------------------------------------------------------------

pick_port() {
    local try
    for try in {6379..6478}; do
        if ! (: </dev/tcp/127.0.0.1/"$try") 2>/dev/null; then
            echo "$try"
            return
        fi
    done
    die "ports 6379 to 6478 are all in use; give one by --port"
}

# Half of the memory there is, or of what this process's cgroup may have.
half_memory() {
    local kib limit group
    kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    group=$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null || true)
    limit=$(cat "/sys/fs/cgroup$group/memory.max" 2>/dev/null || echo max)
    if [ "$limit" != max ] && [ $((limit / 1024)) -lt "$kib" ]; then kib=$((limit / 1024)); fi
    echo "$((kib / 2))kb"
}

# A word of redis.conf in quotes.
quoted() { printf '"%s"' "$(json_text "$1")"; }

write_files() {
    local pass=$1
    {
        echo "# written by redis.sh at every start"
        case $bind in
        '*' | 0.0.0.0) echo "bind $bind" ;; # has loopback in it
        *) echo "bind 127.0.0.1${bind:+ $(quoted "$bind")}" ;;
        esac
        echo "port $port"
        echo "unixsocket $(quoted "$socket")"
        echo "unixsocketperm 700"
        echo "protected-mode yes"
        if [ -n "$pass" ]; then echo "requirepass $(quoted "$pass")"; fi
        echo "daemonize yes"
        echo "pidfile $(quoted "$pidfile")"
        echo "logfile $(quoted "$dir/redis.log")"
        echo "dir $(quoted "$dir")"
        echo "appendonly yes"
        echo "appendfsync $appendfsync"
        echo "aof-load-truncated no" # see mend_aof
        echo "auto-aof-rewrite-min-size 256mb"
        # What a worker holds is looked up by task: as a list, of up to 512 by default, that costs a fifth of a
        # batch. (Redis 7 knows this old name, too.)
        echo "hash-max-ziplist-entries 64"
        echo 'save ""'
        echo "maxmemory ${maxmemory:-$(half_memory)}"
        echo "maxmemory-policy noeviction"
        echo "tcp-keepalive 60"
    } >"$dir/redis.conf"
    {
        echo "# where this user's embedded Redis is; written by redis.sh, read by redisManager and redisWorker"
        printf '%s\n' "socket=$socket" "host=127.0.0.1" "port=$port" "pass=$pass" "dir=$dir" "bind=$bind"
    } >"$envfile.new"
    mv "$envfile.new" "$envfile"
}

# Since the last start.
log_says() { tail -c "+$((log_start + 1))" "$dir/redis.log" 2>/dev/null | grep "$1" >/dev/null; }

mend_failed() {
    rm -f "$envfile"
    die "$@"
}

# A power cut may leave half a transaction at the end of the AOF. With aof-load-truncated, Redis 7 cuts off only its
# torn record and goes on writing behind the others, so that its next start runs half of a script. So Redis is
# told to refuse such a file, and here the whole transaction is cut off, and kept beside. Where whole transactions
# follow the place, it is no torn end: such damage is left to a person.
mend_aof() {
    local manifest=$dir/appendonlydir/appendonly.aof.manifest found file good cut
    log_says 'Unexpected end of file reading the append only file' || return 1
    if [ ! -e "$manifest" ]; then manifest=$dir/appendonly.aof; fi # redis 6
    command -v redis-check-aof >/dev/null || mend_failed "the AOF in $dir ends in the middle of a transaction; install redis-check-aof, or run it: redis-check-aof --fix $manifest"
    redis-check-aof "$manifest" >"$state/mend.log" 2>&1 || true
    found=$(grep 'AOF analyzed' "$state/mend.log" | grep -v 'diff=0$' | tail -n 1)
    file=$(sed -n 's/.*filename=\([^,]*\),.*/\1/p' <<<"$found") good=$(sed -n 's/.*ok_up_to=\([0-9]*\),.*/\1/p' <<<"$found")
    file=$(dirname "$manifest")/${file:-$(basename "$manifest")}
    if [ -z "$good" ]; then mend_failed "redis-check-aof does not say what is wrong with $manifest: see $state/mend.log"; fi
    if tail -c "+$((good + 1))" "$file" | grep -a "^EXEC"$'\r$' >/dev/null; then
        mend_failed "$file is damaged at byte $good, in its middle: whole transactions follow. Restore it from a copy, or cut it off there: redis-check-aof --fix $manifest"
    fi
    cut=$dir/aof-cut.$(date +%Y%m%d-%H%M%S)
    tail -c "+$((good + 1))" "$file" >"$cut" || mend_failed "cannot keep the torn end of the AOF in $cut"
    echo y | redis-check-aof --fix "$manifest" >"$state/mend.log" 2>&1 || mend_failed "redis-check-aof could not mend $manifest: see $state/mend.log"
    echo "redis.sh: the end of the AOF was torn (power cut?): its last $(stat -c %s "$cut") bytes are in $cut now" >&2
}

launch() {
    log_start=0
    if [ -e "$dir/redis.log" ]; then log_start=$(stat -c %s "$dir/redis.log"); fi
    if ! redis-server "$dir/redis.conf" 9>&- >"$state/start.log" 2>&1; then
        rm -f "$envfile"
        cat "$state/start.log" >&2
        die "redis-server refused its configuration, $dir/redis.conf"
    fi
}

# Returns 1 when the AOF was mended and Redis is to be launched again.
started_or_die() {
    local waited=0 answer pid
    until pid=$(alive) && answer=$(cli ping) && [ "$answer" = PONG ]; do
        waited=$((waited + 1))
        # It needs a moment to write its pid file; after that it is there or it has failed.
        if [ "$waited" -gt 100 ] && ! alive >/dev/null; then
            if mend_aof; then return 1; fi
            rm -f "$envfile"
            tail -c "+$((log_start + 1))" "$dir/redis.log" 2>/dev/null | tail -n 5 >&2 || true
            die "redis-server did not start; its last words are above, all of them in $dir/redis.log"
        fi
        if [ "$waited" -eq 101 ]; then echo "redis.sh: it is still loading its data" >&2; fi
        [ "$waited" -lt 12000 ] || die "redis-server (pid ${pid:-?}) has not answered for ten minutes; see $dir/redis.log"
        if [ "$waited" -lt 100 ] && tail -c "+$((log_start + 1))" "$dir/redis.log" 2>/dev/null |
            grep -qiE 'aborting|exiting|fatal|bad file format|unexpected end of file'; then
            waited=100 # no need to wait for a pid file that will not come
        fi
        sleep 0.05
    done
}

start() {
    local pass pid log_start host=''
    command -v redis-server >/dev/null || die "redis-server is not installed; run: make deps"
    mkdir -p "$run" "$state"
    # In a directory like /var/tmp somebody else could have made it first.
    if [ ! -O "$run" ] || [ -L "$run" ] || [ ! -O "$state" ]; then die "$run belongs to somebody else; set DISTCOMP_RUN_DIR"; fi
    chmod 700 "$state"
    [ "${#socket}" -le 107 ] || die "the path of its socket is too long ($socket); set DISTCOMP_RUN_DIR to a shorter one"
    exec 9>"$state/lock"
    flock -w 60 9 || die "another redis.sh has been busy for a minute"
    if pid=$(alive); then
        echo "already running (to change how: redis.sh stop, then start)"
        show "$pid"
        return
    fi

    find_conf
    pass=''
    if [ -n "$conf" ]; then
        host=$(conf_value redis_host || true)
        if [ -z "$bind" ] && [ -n "$host" ] && ! is_loopback "$host"; then bind=$host; fi
        if [ -z "$port" ]; then port=$(conf_value redis_port || true); fi
        if pass=$(conf_value redis_pass) && [ -z "$pass" ] && [ -n "$bind" ] && ! is_loopback "$bind"; then
            die "redis_pass in $conf is empty; without a password Redis would obey everybody who reaches $bind. Set one, or remove the key and one is made"
        fi
    fi
    if [ -n "$no_password" ]; then
        if [ -n "$bind" ] && ! is_loopback "$bind"; then
            die "--no_password is only for loopback: without one, Redis would obey everybody who reaches $bind"
        fi
        pass=''
    fi
    if [ -n "$bind" ] && is_loopback "$bind" && [ "$bind" = 127.0.0.1 ]; then bind=''; fi
    if [ -n "$bind" ] && [[ $(getent ahostsv4 "$bind" || true) == 127.* ]]; then
        echo "redis.sh: warning: $bind is $(getent ahostsv4 "$bind" | head -n 1 | cut -d ' ' -f 1) on this machine, which no other one can reach; give its address instead" >&2
    fi
    case $pass in *[$'\n\r']*) die "redis_pass in $conf has a newline" ;; esac

    if [ -z "$dir" ]; then
        if [ -w "$here" ] && [ -e "$here/Makefile" ]; then dir=$here/redis; else dir=${XDG_DATA_HOME:-$HOME/.local/share}/distcomp/redis; fi
    fi
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    if [ -z "$pass" ] && [ -z "$no_password" ]; then
        # The same at every start, so that the workers' conf.json stays right.
        if [ ! -s "$dir/password" ]; then od -An -v -tx1 -N 24 /dev/urandom | tr -d ' \n' >"$dir/password"; fi
        pass=$(cat "$dir/password")
    fi
    if [ -z "$port" ]; then port=$(pick_port); fi
    case $port in '' | *[!0-9]*) bad_usage "--port: '$port': expected a number from 1 to 65535" ;; esac

    rm -f "$pidfile" "$socket"
    write_files "$pass"
    launch
    if ! started_or_die; then
        launch
        started_or_die || die "the AOF was mended, and is torn again: see $dir/redis.log"
    fi
    show "$(alive)"
}

# --- stop, status -----------------------------------------------------------------------------

stop() {
    local pid waited=0
    if ! pid=$(alive); then
        rm -f "$pidfile" "$socket" "$envfile"
        echo "Redis was not running"
        return
    fi
    cli shutdown >/dev/null || true
    while alive >/dev/null; do
        waited=$((waited + 1))
        # One that cannot answer (full of a script, still loading) takes the signal.
        if [ "$waited" -eq 40 ]; then kill -TERM "$pid" 2>/dev/null || true; fi
        [ "$waited" -lt 1200 ] || die "Redis (pid $pid) has not stopped for a minute; its log is $(env_value dir)/redis.log"
        sleep 0.05
    done
    rm -f "$pidfile" "$socket" "$envfile"
    echo "Redis stopped"
}

status() {
    local pid answer
    if ! pid=$(alive); then
        echo "Redis is not running; start it: bash $here/redis.sh"
        exit 1
    fi
    if ! answer=$(cli ping) || [ "$answer" != PONG ]; then
        echo "Redis (pid $pid) does not answer: ${answer:-nothing within 5 s}"
        exit 1
    fi
    show "$pid"
}

"$verb"
