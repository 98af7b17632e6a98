#!/bin/bash
# What the stores do, one after the other: SQLite with 1 and 10 million rows, and Redis (a server of its own, on a socket) with 1 million.
#
#   tests/bench/store.sh BUILD [SECONDS] [SCALE]      SCALE: thousand rows instead of a million, for a quick look (store.sh BUILD 2 10)
#
# BUILD is a release build; bench_store is made there. The files are in a directory that is removed at the end; 10 million rows take about 3 GB
# and some minutes to write. Run it on a machine that does nothing else.
set -eu
build=$1 seconds=${2:-10} scale=${3:-1000}
cmake --build "$build" --target bench_store >/dev/null
bench=$(find "$build" -name bench_store -type f)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/postern-bench-XXXXXX")
redis=
trap '[ -z "$redis" ] || kill "$redis" 2>/dev/null; rm -rf "$work"' EXIT

for millions in 1 10; do
    echo "--- SQLite, $((millions * scale)) thousand rows"
    "$bench" sqlite rows=$((millions * scale * 1000)) place="$work/$millions.db" seconds="$seconds"
    rm -f "$work/$millions.db"*
done
echo "--- Redis, $scale thousand rows"
redis-server --port 0 --unixsocket "$work/redis.sock" --save "" --appendonly no --dir "$work" >/dev/null &
redis=$!
until redis-cli -s "$work/redis.sock" ping >/dev/null 2>&1; do :; done
"$bench" redis rows=$((scale * 1000)) place="$work/redis.sock" seconds="$seconds"
