# Postern as a peer of the side-by-side benchmark. Sourced by its run.sh, not run; tests/bench/README.md says how to run it.
#
#   pass, idle   relay everything: no evidence is gathered
#   tls, idletls the same, with a certificate: STARTTLS in front, clear text behind
#   reject       three block lists; who is listed by one is refused at RCPT
#   filter       three block lists, SPF, DKIM and DMARC of every message, Authentication-Results; every sender greylisted at the first try
peer_modes="pass tls idle idletls reject filter"
peer_needs=""

# postern_policy MODE: the rules, on standard output.
postern_policy() {
    case $1 in
    reject)
        cat <<'EOF'
dnsbl bl1 "bl1.example"
dnsbl bl2 "bl2.example"
dnsbl bl3 "bl3.example"
stage rcpt
  rule listed: reject "listed by {dnsbl.listed}" when dnsbl.bl1 in 127.0.0.0/8 or dnsbl.bl2 in 127.0.0.0/8 or dnsbl.bl3 in 127.0.0.0/8
EOF
        ;;
    filter)
        cat <<'EOF'
dnsbl bl1 "bl1.example"
dnsbl bl2 "bl2.example"
dnsbl bl3 "bl3.example"
stage mail
  rule spf-fail:  score 5 when spf = fail
stage rcpt
  rule listed:    reject "listed by {dnsbl.listed}" when dnsbl.bl1 in 127.0.0.0/8 or dnsbl.bl2 in 127.0.0.0/8 or dnsbl.bl3 in 127.0.0.0/8
  rule first-try: greylist 1s
stage data
  rule forged:    reject 550 5.7.26 "DMARC policy of {from.domain}" when dmarc = fail and dmarc.policy = reject
  rule unsigned:  score 1 when not dkim = pass
  rule suspect:   tag "suspect" when score >= 4
EOF
        ;;
    *)
        cat <<'EOF'
stage connect
  rule everyone: accept
EOF
        ;;
    esac
}

peer_start() {
    postern_policy "$1" >"$DIR/bench.policy"
    cat >"$DIR/postern.conf" <<EOF
hostname mx.rcpt.example
domains rcpt.example
listen 127.0.0.1:$PORT
backend 127.0.0.1:$SINK
resolver 127.0.0.1:53
policy "bench.policy"
max-sessions 20000
max-per-client 20000
max-per-network 20000
message-limit 100000
spool-directory "$DIR"
log-level warn
store memory
$([ "$1" != tls ] || echo "certificate \"$CERT\" \"$KEY\"")
$([ "$1" = filter ] || echo "authentication-results no")
EOF
    launch postern "$POSTERN_BIN" run --config "$DIR/postern.conf"
}
