#!/usr/bin/env bash
# Installs what distcomp needs from the system's packages (Debian, Ubuntu), and nothing when all is there.
#   deps.sh [build] [test] [lint] [bench] [model]     what for; build when nothing is said
#   deps.sh --list ...                        only prints the packages
# Without apt it says what is missing and stops. Services that come with a package (redis-server, sshd)
# are neither started nor, if this installed them, left enabled.
set -euo pipefail

# What has to be there (a command, pc:PKG-CONFIG-MODULE, py:PYTHON-MODULE, h:HEADER, f:FILE) and its Debian package.
declare -A needs
needs[build]="
cc              build-essential
make            make
pkg-config      pkg-config
pc:hiredis      libhiredis-dev
pc:libuv        libuv1-dev
pc:jansson      libjansson-dev
pc:libxxhash    libxxhash-dev
pc:zlib         zlib1g-dev
pc:hwloc        libhwloc-dev
pc:openblas     libopenblas-dev
h:curl/curl.h   libcurl4-openssl-dev
redis-server    redis-server
redis-cli       redis-tools
gzip            gzip
bzip2           bzip2
xz              xz-utils
"
needs[test]="
h:cmocka.h      libcmocka-dev
py:pytest       python3-pytest
dash            dash
groff           groff-base
ps              procps
ip              iproute2
/usr/sbin/sshd  openssh-server
ssh             openssh-client
parallel-ssh    pssh
strace          strace
openssl         openssl
py:numpy        python3-numpy
f:/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz dataset-fashion-mnist
"
needs[lint]="
clang-format    clang-format
clang-tidy      clang-tidy
clang           clang
cppcheck        cppcheck
shellcheck      shellcheck
luac5.1         lua5.1
valgrind        valgrind
py:xdist        python3-pytest-xdist
"
needs[bench]="
parallel        parallel
xargs           findutils
py:numpy        python3-numpy
py:sklearn      python3-sklearn
f:/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz dataset-fashion-mnist
"
needs[model]="
cc              build-essential
spin            spin
"

there() {
    case $1 in
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
    f:*) [ -e "${1#f:}" ] ;;
    h:*) echo "#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <${1#h:}>" | cc -E -x c - >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

list=
[ "${1:-}" != --list ] || { list=1; shift; }
missing=() packages=()
for set in "${@:-build}"; do
    if [ -z "${needs[$set]-}" ]; then
        echo "usage: deps.sh [--list] [build] [test] [lint] [bench]" >&2
        exit 2
    fi
    while read -r need package; do
        [ -n "$need" ] || continue
        if [ -n "$list" ]; then
            echo "$package"
        elif ! there "$need"; then
            missing+=("$need") packages+=("$package")
        fi
    done <<<"${needs[$set]}"
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    {
        echo "deps.sh: there is no apt on this machine; install these with its own package manager and try again"
        for i in "${!missing[@]}"; do
            printf '  %-16s (Debian package %s)\n' "${missing[i]}" "${packages[i]}"
        done
    } >&2
    exit 1
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps.sh: not root and no sudo; as root, run: apt-get install ${packages[*]}" >&2
        exit 1
    fi
    root=(sudo)
fi

echo "deps.sh: installing ${packages[*]}"
work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
made_policy=
finish() {
    rm -rf "$work"
    if [ -n "$made_policy" ]; then "${root[@]}" rm -f "$policy"; fi
}
trap finish EXIT
# Debian asks this file before it starts a service; 101 is "not allowed". One that is there is the
# administrator's and stays.
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$work/policy"
    made_policy=1
    "${root[@]}" install -m 755 "$work/policy" "$policy"
fi
apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=300 \
        "$@" >"$work/log" 2>&1
}
if ! { apt update && apt install -y --no-install-recommends "${packages[@]}"; }; then
    tail -n 15 "$work/log" >&2
    echo "deps.sh: apt could not install ${packages[*]}" >&2
    exit 1
fi
# Not started now, and not at the next boot either.
if [ -d /run/systemd/system ]; then
    for package in "${packages[@]}"; do
        case $package in
        redis-server) "${root[@]}" systemctl -q disable redis-server || true ;;
        openssh-server) "${root[@]}" systemctl -q disable ssh || true ;;
        esac
    done
fi
for need in "${missing[@]}"; do
    hash -r
    if ! there "$need"; then
        echo "deps.sh: $need is still not there after installing its package" >&2
        exit 1
    fi
done
