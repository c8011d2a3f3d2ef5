#!/usr/bin/env bash
# Prints a task file: every licence text of this machine, compressed by gzip, bzip2 and xz at three levels.
# Each task prints one line: bytes before, bytes after, seconds.
#   bash taskfiles/compress.sh >compress.task; redisManager loadTask --taskfile compress.task --name compress
set -euo pipefail

directory=${1:-/usr/share/common-licenses}
echo "# $directory by three compressors at three levels"
for tool in gzip bzip2 xz; do
    for level in 1 6 9; do
        echo "#@ arg.tool=$tool arg.level=$level"
        for file in "$directory"/*; do
            if [ ! -f "$file" ] || [ -L "$file" ]; then continue; fi
            echo "#@ arg.file=${file##*/}"
            echo "shell:$level:64MiB:1:s=\$(date +%s%N); c=\$($tool -c -$level $file | wc -c);" \
                "e=\$(date +%s%N); echo \$(wc -c <$file) \$c \$(((e - s) / 1000))e-6"
        done
    done
done
