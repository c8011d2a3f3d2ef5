# bash completion for redisManager, written by `redisManager completion bash`.
# shellcheck shell=bash disable=SC2207
_redisManager_verbs='initRedis loadTask addTask checkTask checkWorker showTask showFamily taskOutput waitTask exportTask cancelTask holdTask releaseTask setTask putObject getObject listObjects removeObject cleanup removeFinishedTask moveInProgressTaskToTodo moveFailedTaskToTodo drainWorker resumeWorker stopWorker help completion manual'
_redisManager_globals=' --redis --redis_host --redis_port --redis_pass --sentinel_pass --redis_db --queue --log_level --log_format --max_retry_per_task --max_losses --retry_backoff --retry_backoff_max --keep_finished --keep_finished_days --keep_output_bytes --wait_replicas --object_max --object_ttl --conf --quiet --help --version --task'
_redisManager_options() {
    case $1 in
    initRedis) echo '--help --force --json' ;;
    loadTask) echo '--help --taskfile --plan --format --name --dry_run --retry_failed --progress --json' ;;
    addTask) echo '--help --type --priority --min_dram --min_cpu --dry_run --retry_failed --name --timeout --retries --backoff --cwd --env --after --after_any --repeat --gpu --gpu_mem --labels --output --leftovers --arg --limit --pin --json' ;;
    checkTask) echo '--help --todo --in_progress --finished --failed --failed_reason --print_result --limit --name --type --include --exclude --state --priority --worker --json' ;;
    checkWorker) echo '--help --json' ;;
    showTask) echo '--help --json' ;;
    showFamily) echo '--help --include --exclude --limit --json' ;;
    taskOutput) echo '--help --follow --stream --json' ;;
    waitTask) echo '--help --name --timeout --progress --json' ;;
    exportTask) echo '--help --format --file --limit --with_output --name --type --include --exclude --state --priority --worker --json' ;;
    cancelTask) echo '--help --name --type --include --exclude --state --priority --worker --limit --dry_run --all --json' ;;
    holdTask) echo '--help --name --type --include --exclude --state --priority --worker --limit --dry_run --all --json' ;;
    releaseTask) echo '--help --name --type --include --exclude --state --priority --worker --limit --dry_run --all --json' ;;
    setTask) echo '--help --priority --old_priority --name --type --include --exclude --state --worker --limit --dry_run --all --json' ;;
    putObject) echo '--help --json' ;;
    getObject) echo '--help' ;;
    listObjects) echo '--help --json' ;;
    removeObject) echo '--help --json' ;;
    cleanup) echo '--help --json' ;;
    removeFinishedTask) echo '--help --older --failed --name --type --include --exclude --worker --limit --dry_run --json' ;;
    moveInProgressTaskToTodo) echo '--help --name --type --include --exclude --worker --limit --dry_run --json' ;;
    moveFailedTaskToTodo) echo '--help --name --type --include --exclude --priority --worker --limit --dry_run --json' ;;
    drainWorker) echo '--help --all --wait --timeout --json' ;;
    resumeWorker) echo '--help --all --json' ;;
    stopWorker) echo '--help --all --wait --timeout --json' ;;
    help) echo '--help' ;;
    completion) echo '--help' ;;
    manual) echo '--help --markdown' ;;
    esac
}
# False: the option takes no value of this form.
_redisManager_value() {
    case $3.$1 in
    *.help | *.version) false ;;
    exportTask.format) COMPREPLY=($(compgen -W 'csv jsonl' -- "$2")) ;;
    *.force) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.json) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.redis) COMPREPLY=() ;;
    *.redis_host) COMPREPLY=() ;;
    *.redis_port) COMPREPLY=() ;;
    *.redis_pass) COMPREPLY=() ;;
    *.sentinel_pass) COMPREPLY=() ;;
    *.redis_db) COMPREPLY=() ;;
    *.queue) COMPREPLY=() ;;
    *.log_level) COMPREPLY=($(compgen -W 'debug info warn error' -- "$2")) ;;
    *.log_format) COMPREPLY=($(compgen -W 'auto json text' -- "$2")) ;;
    *.max_retry_per_task) COMPREPLY=() ;;
    *.max_losses) COMPREPLY=() ;;
    *.retry_backoff) COMPREPLY=() ;;
    *.retry_backoff_max) COMPREPLY=() ;;
    *.keep_finished) COMPREPLY=() ;;
    *.keep_finished_days) COMPREPLY=() ;;
    *.keep_output_bytes) COMPREPLY=() ;;
    *.wait_replicas) COMPREPLY=() ;;
    *.object_max) COMPREPLY=() ;;
    *.object_ttl) COMPREPLY=() ;;
    *.conf) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$2")) ;;
    *.quiet) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.taskfile) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$2")) ;;
    *.plan) COMPREPLY=() ;;
    *.format) COMPREPLY=($(compgen -W 'auto lines jsonl' -- "$2")) ;;
    *.name) COMPREPLY=() ;;
    *.dry_run) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.retry_failed) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.progress) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.type) COMPREPLY=($(compgen -P "${2%"${2##*,}"}" -W 'shell python native' -- "${2##*,}")) ;;
    *.priority) COMPREPLY=() ;;
    *.min_dram) COMPREPLY=() ;;
    *.min_cpu) COMPREPLY=() ;;
    *.timeout) COMPREPLY=() ;;
    *.retries) COMPREPLY=() ;;
    *.backoff) COMPREPLY=() ;;
    *.cwd) COMPREPLY=() ;;
    *.env) COMPREPLY=() ;;
    *.after) COMPREPLY=() ;;
    *.after_any) COMPREPLY=() ;;
    *.repeat) COMPREPLY=() ;;
    *.gpu) COMPREPLY=() ;;
    *.gpu_mem) COMPREPLY=() ;;
    *.labels) COMPREPLY=() ;;
    *.output) COMPREPLY=($(compgen -W 'auto keep redis' -- "$2")) ;;
    *.leftovers) COMPREPLY=($(compgen -W 'kill wait' -- "$2")) ;;
    *.arg) COMPREPLY=() ;;
    *.limit) COMPREPLY=($(compgen -W 'soft hard' -- "$2")) ;;
    *.pin) COMPREPLY=($(compgen -W 'none core numa' -- "$2")) ;;
    *.todo) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.in_progress) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.finished) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.failed) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.failed_reason) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.print_result) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.include) COMPREPLY=() ;;
    *.exclude) COMPREPLY=() ;;
    *.state) COMPREPLY=($(compgen -P "${2%"${2##*,}"}" -W 'waiting todo in_progress finished failed delayed held cancelled' -- "${2##*,}")) ;;
    *.worker) COMPREPLY=() ;;
    *.follow) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.stream) COMPREPLY=($(compgen -W 'both stdout stderr' -- "$2")) ;;
    *.file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$2")) ;;
    *.with_output) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.all) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.old_priority) COMPREPLY=() ;;
    *.older) COMPREPLY=() ;;
    *.wait) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *.markdown) COMPREPLY=($(compgen -W 'true false' -- "$2")); [[ $2 == '' || -n ${COMPREPLY[0]} ]] ;;
    *) false ;;
    esac
}
_redisManager_operand() {
    case $1 in
    initRedis) ;;
    loadTask) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$2")); ;;
    addTask) COMPREPLY+=($(compgen -c -f -- "$2")); ;;
    checkTask) ;;
    checkWorker) ;;
    showTask) ;;
    showFamily) ;;
    taskOutput) ;;
    waitTask) ;;
    exportTask) ;;
    cancelTask) ;;
    holdTask) ;;
    releaseTask) ;;
    setTask) ;;
    putObject) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$2")); ;;
    getObject) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$2")); ;;
    listObjects) ;;
    removeObject) ;;
    cleanup) ;;
    removeFinishedTask) ;;
    moveInProgressTaskToTodo) ;;
    moveFailedTaskToTodo) ;;
    drainWorker) ;;
    resumeWorker) ;;
    stopWorker) ;;
    help) COMPREPLY+=($(compgen -W "$_redisManager_verbs" -- "$2")); COMPREPLY+=($(compgen -W options -- "$2")); ;;
    completion) COMPREPLY+=($(compgen -W bash -- "$2")); ;;
    manual) ;;
    esac
}
_redisManager() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word verb='' i
    # bash takes --option=value for three words.
    if [[ $cur == '=' ]]; then
        cur=
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]//[\'\"]/}
        if [[ $word == '--' ]]; then
            COMPREPLY=($(compgen -f -- "$cur"))
            return
        fi
        if [[ $verb == '' && -n $(_redisManager_options "${word##*&}") ]]; then
            verb=${word//&/ }
        fi
    done
    if [[ $prev == '--task' ]]; then
        cur=${cur#[\'\"]}
        word=${cur%"${cur##*&}"}
        COMPREPLY=($(compgen -P "$word" -W "$_redisManager_verbs" -- "${cur##*&}"))
        return
    fi
    if [[ $prev == --* && $cur != -* ]]; then
        word=${prev#--}
        if _redisManager_value "${word//-/_}" "$cur" "${verb%% *}"; then
            return
        fi
    fi
    if [[ $cur == -* ]]; then
        for word in ${verb:-''}; do
            COMPREPLY+=($(compgen -W "$(_redisManager_options "$word")" -- "$cur"))
        done
        COMPREPLY+=($(compgen -W "$_redisManager_globals" -- "$cur"))
    elif [[ $verb == '' ]]; then
        COMPREPLY=($(compgen -W "$_redisManager_verbs" -- "$cur"))
    else
        _redisManager_operand "${verb%% *}" "$cur"
    fi
}
complete -F _redisManager redisManager
