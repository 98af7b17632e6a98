#!/bin/bash
# Every header compiles alone: include/postern/**/*.h, and src/ROOM/*.h with src/ROOM on the include path.
#
#   tests/lint/headers.sh [ROOT]            CC is the compiler (default cc)
set -eu
cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../.."}"

alone() {
    room=${1%/*}
    room=${room##*/}
    "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -Iinclude "-Isrc/$room" -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only -x c "$1"
}
export -f alone

mapfile -d '' headers < <(find include/postern src -name '*.h' -print0 | sort -z)
[ ${#headers[@]} -gt 0 ] || { echo "no headers at all"; exit 1; }
# one shell a header: the status of xargs is that of the worst
printf '%s\0' "${headers[@]}" | xargs -0 -n 1 -P 2 bash -c 'alone "$1" 2>&1' alone
