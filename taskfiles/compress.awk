# Reads exportTask's CSV of a compress batch (compress.sh) and prints a table: bytes before and after, ratio
# and seconds by compressor and level. Columns are found by their names; quoted cells may hold anything.
#   awk -f taskfiles/compress.awk compress.csv

# Splits one CSV record into cells; returns how many, or 0 when the record goes on in the next line.
function split_csv(text, cells,    n, cell, c, i, quoted, len) {
    len = length(text)
    for (i = 1; i <= len; i++) {
        c = substr(text, i, 1)
        if (quoted) {
            if (c != "\"")
                cell = cell c
            else if (substr(text, i + 1, 1) == "\"") {
                cell = cell "\""
                i++
            } else
                quoted = 0
        } else if (c == "\"")
            quoted = 1
        else if (c == ",") {
            cells[++n] = cell
            cell = ""
        } else
            cell = cell c
    }
    if (quoted)
        return 0
    cells[++n] = cell
    return n
}

function need(name) {
    if (!(name in column)) {
        print "compress.awk: there is no column " name > "/dev/stderr"
        failed = 1
        exit 1
    }
    return column[name]
}

BEGIN { FS = "\n" }

{
    record = pending $0
    sub(/\r$/, "", record)
    count = split_csv(record, cells)
    if (!count) {
        pending = record "\n"
        next
    }
    pending = ""
}

!head {
    for (i = 1; i <= count; i++)
        column[cells[i]] = i
    head = need("tool") && need("level") && need("stdout") && need("state")
    next
}

cells[column["state"]] == "finished" && split(cells[column["stdout"]], result, " ") == 3 {
    key = cells[column["tool"]] " -" cells[column["level"]]
    if (!(key in tasks))
        keys[++key_count] = key
    tasks[key]++
    before[key] += result[1]
    after[key] += result[2]
    seconds[key] += result[3]
    next
}

{ skipped++ }

END {
    if (failed)
        exit 1
    if (!key_count) {
        print "compress.awk: no finished task of this batch in the input" > "/dev/stderr"
        exit 1
    }
    # By name: gzip before xz, level 1 before 9, in whatever order they finished.
    for (i = 2; i <= key_count; i++) {
        key = keys[i]
        for (j = i - 1; j > 0 && keys[j] > key; j--)
            keys[j + 1] = keys[j]
        keys[j + 1] = key
    }
    printf "%-10s  %5s  %9s  %9s  %6s  %8s\n", "compressor", "tasks", "before", "after", "ratio", "seconds"
    for (i = 1; i <= key_count; i++) {
        key = keys[i]
        printf "%-10s  %5d  %9d  %9d  %6.2f  %8.3f\n", key, tasks[key], before[key], after[key],
            after[key] ? before[key] / after[key] : 0, seconds[key]
    }
    if (skipped)
        printf "%d rows had no result\n", skipped
}
