#!/bin/bash
# Passes every test: installs what they need, builds with AddressSanitizer and UndefinedBehaviorSanitizer (warnings are errors), runs them with
# ctest (unit, transcripts, sweeps, cases, lint and link tests, seeds, end to end), builds the release and takes it through the heaviest of
# end to end again, fuzzes every parser for a few seconds. Under ten minutes on two cores. Ends with "N passed, N failed".
#
#   tests/run.sh [--quick] [--no-install] [--long] [--fuzz SECONDS] [--jobs N]
#
#   --quick          only unit tests, transcripts, cases and lint: no end to end, no release build, no fuzzing
#   --no-install     what is not installed is an error
#   --long           end to end also what takes minutes: testssl.sh on the listener
#   --fuzz SECONDS   each target so long (default: 10, less when there are many; 0: not at all)
#   --jobs N         tests at once (default: cores)
#
# Build directories: build-test, build (the release), build-fuzz. Only what it started itself is ended.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
quick=0 long=0 install=1 fuzz_seconds='' jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1 ;;
        --no-install) install=0 ;;
        --long) long=1 ;;
        --fuzz) fuzz_seconds=$2; shift ;;
        --jobs) jobs=$2; shift ;;
        --help | -h) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "run.sh: unknown option $1; --help says what there is" >&2; exit 2 ;;
    esac
    shift
done
export HOME=${HOME:-/root} LC_ALL=C.UTF-8
exec </dev/null

passed=0 failed=0
started=$SECONDS
step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - started)); }
end() {
    printf '\n%d s\n%d passed, %d failed\n' $((SECONDS - started)) $passed $failed
    [ $failed -eq 0 ]
    exit $?
}
give_up() { echo "run.sh: $*"; failed=$((failed + 1)); end; }

# The last "N passed, N failed" of a file is added to ours; without one it is a failure.
count_line() {
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -1)
    [ -n "$line" ] || { failed=$((failed + 1)); return; }
    read -r p _ f _ <<<"$line"
    passed=$((passed + p)) failed=$((failed + f))
}

# "97% tests passed, 2 tests failed out of 60"
count_ctest() {
    local line
    line=$(grep -E '^[0-9]+% tests passed' "$1" | tail -1)
    [ -n "$line" ] || { failed=$((failed + 1)); return; }
    local f total
    f=$(sed -E 's/.*, ([0-9]+) tests? failed.*/\1/' <<<"$line")
    total=${line##* }
    passed=$((passed + total - f)) failed=$((failed + f))
}

if [ $install = 1 ]; then
    step "packages"
    deploy/install-deps.sh $([ $long = 1 ] && echo long || echo test) || give_up "cannot install what the tests need"
fi
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)

build() { # DIRECTORY OPTION...
    local directory=$1
    shift
    cmake -S . -B "$directory" -G Ninja "${launcher[@]}" "$@" >"$directory.log" 2>&1 && cmake --build "$directory" >>"$directory.log" 2>&1
    local status=$?
    [ $status -eq 0 ] || grep -E -A12 'FAILED|error|Error' "$directory.log" | head -80
    rm -f "$directory.log"
    return $status
}

step "build with sanitizers"
build build-test -DPOSTERN_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo || give_up "the build with sanitizers failed"

# What the sanitizers say goes to files: a report fails the run also where a test would not look.
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1:log_path=$reports/report:log_exe_name=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$reports/report:log_exe_name=1"
export LSAN_OPTIONS="report_objects=1"

run_ctest() { # OPTION...
    ctest --test-dir build-test --output-on-failure "$@" 2>&1 | tee "$reports/ctest.out" |
        grep -vE '^ *Start +[0-9]+:|^ *[0-9]+/[0-9]+ Test .* Passed |^Internal ctest changing'
    count_ctest "$reports/ctest.out"
}

step "tests"
if [ $quick = 1 ]; then
    run_ctest -j "$jobs" -LE 'e2e|sweep|slow'
else
    run_ctest -j "$jobs" -LE e2e
    step "end to end, with sanitizers"
    run_ctest -j $((jobs + 2)) -L e2e # they mostly wait for each other's servers
fi
for report in "$reports"/report*; do
    [ -e "$report" ] || continue
    echo "run.sh: the sanitizers found something (${report##*/}):"
    head -60 "$report"
    failed=$((failed + 1))
done
unset ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
[ $quick = 0 ] || end

step "release build"
if build build -DCMAKE_BUILD_TYPE=Release -DPOSTERN_TESTS=OFF -DPOSTERN_SANITIZE=OFF; then
    passed=$((passed + 1))
    step "end to end, the release under load"
    tests/e2e/run.py --binary build/postern smtp-source-2000 kill-under-load shipped-policy 2>&1 | tee "$reports/e2e.out"
    count_line "$reports/e2e.out"
    if [ $long = 1 ]; then
        tests/e2e/run.py --binary build/postern testssl= 2>&1 | tee "$reports/long.out"
        count_line "$reports/long.out"
    fi
else
    echo "run.sh: the release build failed"
    failed=$((failed + 1))
fi

if [ -z "$fuzz_seconds" ]; then # two at once, all together in about 60 s
    targets=(tests/fuzz/fuzz_*.c)
    fuzz_seconds=$((120 / ${#targets[@]}))
    fuzz_seconds=$((fuzz_seconds > 10 ? 10 : fuzz_seconds < 3 ? 3 : fuzz_seconds))
fi
if [ "$fuzz_seconds" -gt 0 ]; then
    step "fuzzing, $fuzz_seconds s a target"
    tests/fuzz/run.sh --seconds "$fuzz_seconds" --jobs 2 2>&1 | tee "$reports/fuzz.out" | grep -v '^[0-9]* passed'
    count_line "$reports/fuzz.out"
fi
end
