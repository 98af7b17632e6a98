#!/bin/bash
# Postern in five minutes, on a fresh Debian 12: installs what is needed, builds, starts Postern on 127.0.0.1:2525 in front of a private real Postfix
# that delivers to Maildirs, sends sample messages through it, and shows what it answered, why, and where the mail arrived.
#
#   deploy/quickstart.sh [--port N] [--stay] [--backend HOST:PORT --to ADDRESS]
#
#   --port N              where Postern listens (default 2525)
#   --stay                keep everything running until Ctrl-C, to try it by hand
#   --backend HOST:PORT   your own mail server instead of the private Postfix; --to is a mailbox there that gets the samples
#
# The clients of the samples are addresses of 127.0.0.0/8, and the DNS that they are looked up in is private too (rbldnsd, NSD and Unbound on loopback
# ports): block list, reverse names and sender domains are a world of their own, and nothing leaves this machine. The policy is the one as shipped.
# Everything lives in one temporary directory and ends with this script.
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
port=2525 stay=0 backend='' to='' build=1 binary=$root/build/postern arguments=("$@")
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --port) port=${2:?--port needs a number}; shift ;;
        --stay) stay=1 ;;
        --backend) backend=${2:?--backend needs HOST:PORT}; shift ;;
        --to) to=${2:?--to needs an address}; shift ;;
        --binary) binary=${2:?--binary needs a file}; build=0; shift ;; # of the tests: neither install nor build
        --help | -h) usage; exit 0 ;;
        *) echo "quickstart: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
if [ -n "$backend" ] && [[ $to != ?*@?*.?* ]]; then
    echo "quickstart: with --backend also say --to ADDRESS, a mailbox of that server" >&2
    exit 2
fi
to=${to:-user@demo.example}
domain=${to##*@}

bold='' dim='' red='' green='' yellow='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
fi
say() { printf '%s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

# ---- install, build -------------------------------------------------------------------------------------------------------------------

quietly() { # WHAT COMMAND...: its output is shown only when it fails
    local what=$1 log status=0
    shift
    printf '%s ... ' "$what"
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    if [ $status -ne 0 ]; then
        say "failed"
        tail -40 "$log"
    else
        say "done"
    fi
    rm -f "$log"
    return $status
}
build_release() { cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release -DPOSTERN_TESTS=OFF && cmake --build "$root/build" -j "$(nproc)"; }
if [ $build = 1 ]; then
    quietly "Installing what is needed" "$root/deploy/install-deps.sh" quickstart
    quietly "Building" build_release
fi
if [ "$(id -u)" -ne 0 ]; then # Postfix and rbldnsd start as root only
    exec sudo -- "$0" "${arguments[@]}" --binary "$binary"
fi

# ---- where things are -------------------------------------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/postern-quickstart.XXXXXX")
chmod 755 "$work"
pids=()
stop_postfix() { # start-fg does not hand the signal on to the master, which has a session of its own
    local pid
    pid=$(tr -d ' \n' 2>/dev/null <"$work/postfix/queue/pid/master.pid") && [ -n "$pid" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 30; i++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true # it may wait for its own log for ever
}
clean_up() {
    trap - EXIT INT TERM
    stop_postfix 2>/dev/null
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

launch() { # NAME COMMAND...
    local name=$1
    shift
    "$@" </dev/null >"$work/$name.log" 2>&1 &
    pids+=($!)
}
wait_for() { # WHAT LOG COMMAND...: polls for at most 20 s
    local what=$1 log=$2
    shift 2
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    grep -v ' info limit ' "$work/$log" | tail -20 >&2 # our own knocking at a door that has no server behind it
    fail "$what does not come up"
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
ports_in_use=$(ss -Hlntu | awk '{sub(/.*:/, "", $5); print $5}')
free_port() { # sets the variable that is named
    local n
    for ((n = 20000 + RANDOM % 20000; ; n++)); do
        grep -qx $n <<<"$ports_in_use" && continue
        ports_in_use+=$'\n'$n
        printf -v "$1" %d $n
        return
    done
}
grep -qx "$port" <<<"$ports_in_use" && fail "port $port is in use; say --port N"

# ---- DNS of our own -------------------------------------------------------------------------------------------------------------------

free_port lists_port
free_port zones_port
free_port resolver_port
dns=$work/dns
mkdir "$dns"
soa=$'$TTL 300\n@ SOA ns.sender.example. hostmaster.sender.example. 1 3600 600 86400 60\n@ NS ns.sender.example.\n'
cat >"$dns/zen" <<'LIST'
:127.0.0.2:listed
127.0.0.2
127.0.0.20 :127.0.0.2:a spam source
127.0.0.30 :127.0.0.4:an infected machine
LIST
printf ':127.0.0.2:listed\n127.0.0.2\n' >"$dns/dnswl"
printf '%s' "$soa" >"$dns/sender.example"
cat >>"$dns/sender.example" <<'ZONE'
ns A 127.0.0.1
@ MX 10 clean
clean A 127.0.0.10
listed A 127.0.0.20
infected A 127.0.0.30
silent MX 0 .
ZONE
printf '%s' "$soa" >"$dns/0.0.127.in-addr.arpa"
printf '%s\n' '10 PTR clean.sender.example.' '20 PTR listed.sender.example.' '30 PTR infected.sender.example.' >>"$dns/0.0.127.in-addr.arpa"
launch rbldnsd rbldnsd -n -u nobody -b "127.0.0.1/$lists_port" "zen.spamhaus.org:ip4set:$dns/zen" "list.dnswl.org:ip4set:$dns/dnswl"
cat >"$dns/nsd.conf" <<CONF
server:
  ip-address: 127.0.0.1@$zones_port
  username: ""
  chroot: ""
  server-count: 1
  zonesdir: "$dns"
  database: ""
  pidfile: ""
  xfrdfile: "$dns/xfrd"
  zonelistfile: "$dns/zonelist"
  xfrdir: "$dns"
remote-control:
  control-enable: no
zone:
  name: sender.example
  zonefile: "$dns/sender.example"
zone:
  name: 0.0.127.in-addr.arpa
  zonefile: "$dns/0.0.127.in-addr.arpa"
CONF
launch nsd nsd -d -c "$dns/nsd.conf"
{
    cat <<CONF
server:
  interface: 127.0.0.1@$resolver_port
  username: ""
  chroot: ""
  pidfile: ""
  directory: "$dns"
  do-daemonize: no
  use-syslog: no
  num-threads: 1
  do-ip6: no
  module-config: "iterator"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  local-zone: "." static
  local-zone: "127.in-addr.arpa." nodefault
CONF
    names=(sender.example 0.0.127.in-addr.arpa zen.spamhaus.org list.dnswl.org)
    printf '  local-zone: "%s." transparent\n' "${names[@]}"
    printf 'remote-control:\n  control-enable: no\n'
    printf 'stub-zone:\n  name: "%s"\n  stub-addr: 127.0.0.1@%s\n' "${names[0]}" "$zones_port" "${names[1]}" "$zones_port" \
        "${names[2]}" "$lists_port" "${names[3]}" "$lists_port"
} >"$dns/unbound.conf"
launch unbound unbound -d -c "$dns/unbound.conf"

# ---- a mail server behind -----------------------------------------------------------------------------------------------------------------

start_postfix() {
    local d=$work/postfix
    mkdir -p "$d/queue" "$d/data" "$d/mail"
    chown postfix "$d/data"
    chown nobody:nogroup "$d/mail"
    : >"$d/mail.log"
    cat >"$d/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $d/queue
data_directory = $d/data
daemon_directory = /usr/lib/postfix/sbin
maillog_file = $d/mail.log
maillog_file_prefixes = $d
myhostname = backend.demo.example
mydestination =
mynetworks =
smtpd_relay_restrictions = reject_unauth_destination
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = demo.example
virtual_mailbox_maps = inline:{ { user@demo.example = user/ }, { postmaster@demo.example = postmaster/ } }
virtual_mailbox_base = $d/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:$(id -u nobody)
virtual_gid_maps = static:$(id -g nobody)
default_transport = error:no mail leaves this instance
CONF
    cat >"$d/master.cf" <<CONF
127.0.0.1:$1 inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
CONF
    launch postfix postfix -c "$d" start-fg
    wait_for "Postfix" postfix/mail.log listens "$1"
}
behind="$backend"
if [ -z "$backend" ]; then
    free_port backend_port
    start_postfix "$backend_port"
    backend=127.0.0.1:$backend_port
    behind="a private Postfix on port $backend_port"
fi

# ---- Postern ------------------------------------------------------------------------------------------------------------------------------

cat >"$work/postern.conf" <<CONF
hostname mx.$domain
domains  $domain
help     "postmaster@$domain"
listen   127.0.0.1:$port
backend  $backend
resolver 127.0.0.1:$resolver_port
policy   "$root/policy/default.policy"
journal  "$work/journal"
store-path "$work/postern.db"
CONF
launch postern "$binary" run --config "$work/postern.conf"
greets() { local line; { exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -t 2 line <&3 && [[ $line = 220* ]]; } 2>/dev/null; }
wait_for "Postern" postern.log greets

# ---- samples --------------------------------------------------------------------------------------------------------------------------------

number=0 run=$$-$RANDOM
sample() { # TITLE CLIENT HELO FROM TO...
    local title=$1 client=$2 helo=$3 from=$4
    shift 4
    number=$((number + 1))
    say
    say "$bold$number. $title$plain"
    say "   $dim$client says EHLO $helo; from <$from> to$(printf ' <%s>' "$@")$plain"
    swaks --server "127.0.0.1:$port" --local-interface "$client" --helo "$helo" --from "$from" --to "$(IFS=,; printf '%s' "$*")" \
        --header "Subject: $title" --h-X-Sample "$run-$number" --body "Sample $number of deploy/quickstart.sh." >"$work/swaks.$number" 2>&1 || true
    show_replies "$@"
    show_reasons "$client" "$helo" "$from" "$@"
    show_arrival
}
show_replies() { # to each RCPT, and to the dot
    awk '/^ -> RCPT TO:/ {at = $3; sub(/^TO:/, "", at)} /^ -> \.$/ {at = "the message"} /^ -> (MAIL|DATA|QUIT|EHLO|RSET)/ {at = ""}
         /^<(-|\*\*|~\*) / && at {sub(/^<[^ ]+ +/, ""); print at "\t" $0}' "$work/swaks.$number" |
        while IFS=$'\t' read -r at reply; do
            case $reply in 2*) colour=$green ;; 4*) colour=$yellow ;; *) colour=$red ;; esac
            printf '   %-26s %s\n' "$at" "$colour$reply$plain"
        done
}
show_reasons() { # the rules that fired, as explain tells them
    local client=$1 helo=$2 from=$3 arguments=()
    shift 3
    for address in "$@"; do arguments+=(--to "$address"); done
    "$binary" explain --config "$work/postern.conf" --client "$client" --helo "$helo" --from "${from:-<>}" "${arguments[@]}" >"$work/explain" 2>&1 || true
    awk '$3 == "fired" && $1 ~ /^(connect|helo|mail|rcpt|data)$/ && !seen[$2]++ {
             line = $0; name = $2; sub(/^ *[^ ]+ +[^ ]+ +fired +/, "", line)
             because = line; sub(/.*[^ ]   +/, "", because); sub(/   .*/, "", line)
             split(line, word, / /); if (word[1] ~ /^(reject|tempfail)$/) line = word[1] " " word[2] " " word[3]
             sub(/:.*/, "", line)
             printf "   rule %-16s %-18s because %s\n", name, line, because; n++ }
         /^Verdict/ { verdict = 1; next } verdict == 1 { sub(/^ +(none: )?/, ""); last = $0; verdict = 2 }
         END { if (!n) print "   no rule fired: " last }' "$work/explain"
}
show_arrival() {
    local file
    grep -A1 '^ -> \.$' "$work/swaks.$number" | grep -q '^<-  250' || return 0
    if [ ! -d "$work/postfix" ]; then
        say "   ${dim}taken by $backend$plain"
        return
    fi
    for ((i = 0; i < 100; i++)); do
        file=$(grep -rl "^X-Sample: $run-$number\$" "$work/postfix/mail" 2>/dev/null | grep /new/ | head -1) || true
        [ -n "$file" ] && { say "   ${dim}arrived: $file$plain"; return; }
        sleep 0.1
    done
    say "   ${red}accepted, and not in the Maildir after 10 s$plain"
    return 1
}

say
say "${bold}$("$binary" --version) on 127.0.0.1:$port, before $behind; policy/default.policy$plain"
sample "A clean message" 127.0.0.10 clean.sender.example a@sender.example "$to"
sample "The client is on a block list" 127.0.0.20 listed.sender.example a@sender.example "$to"
[ "$domain" = demo.example ] &&
    sample "The same, two recipients: two answers, postmaster is always heard" 127.0.0.20 listed.sender.example a@sender.example "$to" "postmaster@$domain"
sample "An infected machine: only doubtful, so greylisted" 127.0.0.30 infected.sender.example a@sender.example "$to"
sample "Bad HELO: no reverse name, and it calls itself localhost" 127.0.0.40 localhost a@sender.example "$to"
sample "Bad HELO: a listed machine that says it is us" 127.0.0.30 "mx.$domain" a@sender.example "$to"
sample "A sender whose domain takes no mail (null MX)" 127.0.0.10 clean.sender.example a@silent.sender.example "$to"
sample "A sender whose domain does not exist" 127.0.0.10 clean.sender.example a@nowhere.sender.example "$to"
sample "Wrong domain: we are no relay" 127.0.0.10 clean.sender.example a@sender.example someone@elsewhere.example
sample "Unknown user: the mail server's own answer" 127.0.0.10 clean.sender.example a@sender.example "no-such-user-here@$domain"

say
if [ $stay = 1 ]; then
    say "${bold}Running until Ctrl-C.$plain Everything is in $work:"
    say "  postern.conf, postern.log (a line a verdict), journal (a JSON record a transaction)$([ -d "$work/postfix" ] && echo ", postfix/mail (the Maildirs)")"
    say "  swaks --server 127.0.0.1:$port --local-interface 127.0.0.20 --helo listed.sender.example --from a@sender.example --to $to"
    say "  $binary explain --config $work/postern.conf --client 127.0.0.20 --helo listed.sender.example --from a@sender.example --to $to"
    say "  $binary explain --config $work/postern.conf --id ID            # what was known of a session above: the id in brackets"
    wait "${pids[-1]}" || true
else
    say "Done and cleaned up. ${bold}deploy/quickstart.sh --stay$plain keeps it running; policy/README.md says what a policy can do."
fi
