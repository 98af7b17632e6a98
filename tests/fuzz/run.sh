#!/bin/bash
# Builds the fuzz targets with clang (libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer) and runs each for a while.
#
#   tests/fuzz/run.sh [--seconds N] [--jobs N] [--build DIR] [TARGET...]      TARGET: command, reply, ...; all without one
#
# Inputs begin at tests/fuzz/seeds/TARGET (session and policy also at transcripts and policies); what libFuzzer adds is kept in DIR/corpus/TARGET for
# the next run. What it finds is in DIR/findings/TARGET-*: `DIR/tests/fuzz_TARGET FILE` shows it again; put the file among the seeds when it is
# mended. Ends with "N passed, N failed".
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=60 jobs=2 build=$root/build-fuzz
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --build) build=$2; shift 2 ;;
        --help | -h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "unknown option $1" >&2; exit 2 ;;
        *) break ;;
    esac
done
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in "$root"/tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        targets+=("${name%.c}")
    done
fi

launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
mkdir -p "$build"
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DPOSTERN_FUZZ=ON -DPOSTERN_SANITIZE=ON "${launcher[@]}" &&
       cmake --build "$build" --target "${targets[@]/#/fuzz_}"; } >"$build/build.log" 2>&1; then
    grep -A15 -E '^FAILED|[Ee]rror' "$build/build.log" | head -60
    echo "fuzz: the targets do not build; log $build/build.log"
    echo "0 passed, ${#targets[@]} failed"
    exit 1
fi
mkdir -p "$build/findings" "$build/logs"

fuzz() { # TARGET
    local name=$1 log=$build/logs/$1.log seeds=() dictionary=()
    local corpus=$build/corpus/$name
    mkdir -p "$corpus"
    local folders=("$root/tests/fuzz/seeds/$name")
    case $name in
        session) folders+=("$root/tests/sessions") ;;
        policy) folders+=("$root/policy" "$root/tests/policy") ;;
    esac
    for folder in "${folders[@]}"; do
        [ -d "$folder" ] && seeds+=("$folder")
    done
    [ -f "$root/tests/fuzz/seeds/$name.dict" ] && dictionary=("-dict=$root/tests/fuzz/seeds/$name.dict")
    rm -f "$build/findings/$name-"*
    "$build/tests/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$build/findings/$name-" "${dictionary[@]}" "$corpus" "${seeds[@]}" </dev/null >"$log" 2>&1
    local status=$?
    local executed
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ $status -eq 0 ] && [ "${executed:-0}" -gt 0 ] && ! compgen -G "$build/findings/$name-*" >/dev/null; then
        echo "fuzz $name: $executed inputs in $seconds s, nothing found"
        return 0
    fi
    echo "fuzz $name: FAILED (status $status); log $log, input:" "$build/findings/$name-"*
    grep -v '^#' "$log" | tail -40
    return 1
}

export -f fuzz
export build root seconds ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 POSTERN_SOURCE=$root
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'fuzz {} && touch "$0/{}"' "$results"
passed=$(find "$results" -type f | wc -l)
failed=$((${#targets[@]} - passed))
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
