#!/bin/sh
# Checks the Lua scripts of a directory: syntax, and every global they read or write. Redis refuses an
# unknown global only when the line is reached; this finds it in the text.
#   check.sh common/lua
set -eu
dir=$1
set -- "$dir"/lib/*.lua
luac=$(command -v luac5.1) || {
    echo "check.sh: luac5.1 is needed (make deps-lint)" >&2
    exit 1
}
allowed='KEYS|ARGV|redis|cjson|cmsgpack|struct|bit|string|table|math|tonumber|tostring|type|pairs|ipairs|next|unpack|select|error|pcall|assert|rawget|rawset'
bad=0
for file in "$dir"/*.lua; do
    if ! listing=$(awk 1 "$@" "$file" | "$luac" -l -p - 2>&1); then
        echo "$file (after lib/): $listing" >&2
        bad=1
        continue
    fi
    unknown=$(printf '%s\n' "$listing" | awk '/SETGLOBAL/ {print "writes " $NF, $2}
        /GETGLOBAL/ {print "reads " $NF, $2}' | grep -vE "^reads ($allowed) " | sort -u) || true
    if [ -n "$unknown" ]; then
        printf '%s (line numbers with lib/ before it):\n%s\n' "$file" "$unknown" >&2
        bad=1
    fi
done
exit $bad
