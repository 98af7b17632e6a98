#!/bin/bash
# Installs the Debian packages that Postern needs, by name, with apt-get. What is installed already is left alone; nothing is started, and the
# service of a server package that comes new is disabled: tests and quick start run private instances of their own.
#
#   deploy/install-deps.sh [build|quickstart|test|long]
#
#   build       compiler, CMake and the libraries (the default)
#   quickstart  build, and the parts of the demonstration: Postfix, rbldnsd, NSD, Unbound, swaks
#   test        quickstart, and Criterion, clang (libFuzzer), ccache, Python 3 with what it is compared with, Redis; Exim, unpacked beside Postfix
#   long        test, and testssl.sh: for tests/e2e/run.py --long
set -eu

build=(gcc libc6-dev cmake ninja-build pkg-config libc-ares-dev libssl-dev libidn2-dev libspf2-dev libopendkim-dev libsqlite3-dev libhiredis-dev libpsl-dev)
quickstart=(postfix rbldnsd nsd unbound swaks iproute2 procps)
test=(libcriterion-dev clang libclang-rt-dev ccache python3 python3-spf python3-dkim python3-nacl python3-authres util-linux git redis-server strace libnet-ssleay-perl)
long=(testssl.sh)

# Servers among them: PACKAGE=UNIT,UNIT...
services=(postfix=postfix rbldnsd=rbldnsd nsd=nsd unbound=unbound,unbound-resolvconf redis-server=redis-server)

case "${1:-build}" in
    build) wanted=("${build[@]}") ;;
    quickstart) wanted=("${build[@]}" "${quickstart[@]}") ;;
    test) wanted=("${build[@]}" "${quickstart[@]}" "${test[@]}") ;;
    long) wanted=("${build[@]}" "${quickstart[@]}" "${test[@]}" "${long[@]}") ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
exim=/var/cache/postern-tests/exim
[[ ${1:-} = test || ${1:-} = long ]] && [ ! -x $exim/usr/sbin/exim4 ] && ! command -v exim4 >/dev/null && want_exim=1
[ ${#missing[@]} -gt 0 ] || [ -n "${want_exim:-}" ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install-deps: not root and no sudo; missing: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi

# invoke-rc.d asks this script whether a service may start: no, for as long as we install. One that is there already stays.
rc_policy=/usr/sbin/policy-rc.d
if [ ! -e $rc_policy ]; then
    trap '"${as_root[@]}" rm -f "$rc_policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $rc_policy >/dev/null
    "${as_root[@]}" chmod 755 $rc_policy
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null; }

echo "install-deps: ${missing[*]}${want_exim:+ (and Exim)}"
apt update

# Exim's package and Postfix's exclude each other: it is unpacked, with the libraries that are not there, where only the tests run it.
unpack_exim() {
    local work package
    work=$(mktemp -d)
    (
        cd "$work"
        apt-get -q download exim4-daemon-heavy
        for package in $(apt-cache depends exim4-daemon-heavy | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p'); do
            dpkg-query -W "$package" >/dev/null 2>&1 || apt-get -q download "$package"
        done
        "${as_root[@]}" mkdir -p $exim
        for package in *.deb; do "${as_root[@]}" dpkg -x "$package" $exim; done
    ) >"$work/log" 2>&1 || { tail -3 "$work/log"; echo "install-deps: no Exim; its tests are skipped"; }
    rm -rf "$work"
}
[ -z "${want_exim:-}" ] || unpack_exim
[ ${#missing[@]} -gt 0 ] || exit 0
if [[ " ${missing[*]} " = *" postfix "* ]]; then
    apt install -y --no-install-recommends debconf
    printf 'postfix postfix/main_mailer_type select No configuration\n' | "${as_root[@]}" debconf-set-selections
fi
apt install -y --no-install-recommends "${missing[@]}"

for entry in "${services[@]}"; do
    [[ " ${missing[*]} " = *" ${entry%%=*} "* ]] || continue
    command -v systemctl >/dev/null || continue
    IFS=, read -ra units <<<"${entry#*=}"
    for unit in "${units[@]}"; do
        "${as_root[@]}" systemctl disable "$unit" >/dev/null 2>&1 || true
    done
done
