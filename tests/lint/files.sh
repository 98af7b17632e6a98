#!/bin/bash
# What every file is held to: a source past 600 lines says why in its header comment ("long because ..."); nothing is left open in
# the code; no path of a developer's machine; the first thing in a C file is a comment that says what it is.
#
#   tests/lint/files.sh [ROOT]
set -eu
cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../.."}"
status=0

folders=()
for folder in src include policy tests deploy .ci; do
    [ ! -d $folder ] || folders+=($folder)
done
mapfile -d '' files < <(find "${folders[@]}" CMakeLists.txt README.md -type f -not -path '*/__pycache__/*' -not -path 'tests/fuzz/seeds/*' \
                             -not -path 'tests/lint/*' -print0 2>/dev/null | sort -z)
[ ${#files[@]} -gt 0 ] || { echo "no files at all"; exit 1; }

report() { # WHY COMMAND...: what the command prints is wrong
    local why=$1 lines
    shift
    lines=$("$@") || true
    [ -n "$lines" ] || return 0
    printf '%s:\n%s\n' "$why" "$lines"
    status=1
}

# The header comment: from the start of the file to the first line that ends a comment (or has no # in scripts).
header_comment() {
    case $1 in
        *.c | *.h | *.def) awk '/\*\//{print; exit} {print}' "$1" ;;
        *) awk 'NR > 1 && !/^#/{exit} {print}' "$1" ;;
    esac
}

long_files() {
    local file lines
    for file in "${files[@]}"; do
        case $file in *.c | *.h | *.def | *.sh | *.py) ;; *) continue ;; esac
        lines=$(wc -l <"$file")
        if [ "$lines" -gt 600 ] && ! header_comment "$file" | grep -qi 'long because'; then
            echo "$file: $lines lines; split it by noun, or say \"long because ...\" in the header comment"
        fi
    done
}

without_comment() {
    local file
    for file in "${files[@]}"; do
        case $file in *.c | *.h | *.def) ;; *) continue ;; esac
        [[ $(head -c 2 "$file") = '/*' ]] || echo "$file"
    done
}

matching() { printf '%s\0' "${files[@]}" | xargs -0 grep -nHIE "$1"; }

ends_in_space() {
    printf '%s\0' "${files[@]}" | grep -zE '\.(c|h|def|sh|py|cmake)$' | xargs -0 grep -nHE '[[:space:]]+$'
}

report "files past 600 lines" long_files
report "C files that do not open with a comment" without_comment
report "left open" matching '\b(TODO|FIXME|XXX|HACK)\b'
report "paths of somebody's machine" matching '(^|[^A-Za-z0-9_.}])/(home|work|workspace|Users|root)/'
report "white space at the end of a line" ends_in_space
exit $status
