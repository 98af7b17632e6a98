#!/bin/bash
# Installs the Debian packages that Postern needs, by name, with apt-get. What is installed already is left alone; nothing is started, and the
# service of a server package that comes new is disabled: tests and quick start run private instances of their own.
#
#   deploy/install-deps.sh [build|quickstart|test]
#
#   build       compiler, CMake and the libraries (the default)
#   quickstart  build, and the parts of the demonstration: Postfix, rbldnsd, NSD, Unbound, swaks
#   test        quickstart, and Criterion, clang (libFuzzer), ccache, Python 3 with what it is compared with, Redis
set -eu

build=(gcc libc6-dev cmake ninja-build pkg-config libc-ares-dev libssl-dev libidn2-dev libspf2-dev libopendkim-dev libsqlite3-dev libhiredis-dev)
quickstart=(postfix rbldnsd nsd unbound swaks iproute2 procps)
test=(libcriterion-dev clang libclang-rt-dev ccache python3 python3-spf python3-dkim python3-nacl python3-authres util-linux git redis-server strace)

# Servers among them: PACKAGE=UNIT,UNIT...
services=(postfix=postfix rbldnsd=rbldnsd nsd=nsd unbound=unbound,unbound-resolvconf redis-server=redis-server)

case "${1:-build}" in
    build) wanted=("${build[@]}") ;;
    quickstart) wanted=("${build[@]}" "${quickstart[@]}") ;;
    test) wanted=("${build[@]}" "${quickstart[@]}" "${test[@]}") ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

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

echo "install-deps: ${missing[*]}"
apt update
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
