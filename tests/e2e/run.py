#!/usr/bin/env python3
"""
The real binary with real parts: Postfix behind it, rbldnsd, NSD and Unbound beside it, swaks, smtp-source and plain sockets before it.

    tests/e2e/run.py [--binary build/postern] [--seed N] [--keep] [--list] [--long] [NAME...]

A NAME is the beginning of a scenario's name (NAME= is that one alone). Runs as root, in network, mount and process namespaces of its own, so that clients have addresses
of their own (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, all on the private loopback), nothing can leave the machine, and what it
started ends with it. Where namespaces cannot be made the scenarios that need those addresses are skipped, and say so.
Ends with "N passed, N failed"; status 0 when all passed, 77 when all were skipped.
"""
import argparse
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import scenarios  # noqa: E402
from parts.process import Failure  # noqa: E402
from parts.world import World  # noqa: E402

INSIDE = "POSTERN_E2E_NAMESPACE"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
NETWORKS = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]
ADDRESSES6 = ["2001:db8::25", "2001:db8::9", "2001:db8:bad::9"]
PROGRAMS = ["postfix", "rbldnsd", "nsd", "unbound", "swaks", "smtp-source", "redis-server"]


def enter_namespaces():
    """Runs this program again inside; returns only where that cannot be done, with the reason."""
    if os.environ.get(INSIDE):
        return None
    if os.geteuid() != 0:
        return "not root"
    probe = subprocess.run([*UNSHARE, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if probe.returncode != 0:
        return probe.stderr.decode(errors="replace").strip() or "unshare failed"
    os.environ[INSIDE] = "1"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    return "unreachable"


def set_up_loopback():
    """Every address of the documentation's networks is ours: a local route does it for IPv4, IPv6 takes single addresses."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for network in NETWORKS:
        subprocess.run(["ip", "route", "add", "local", network, "dev", "lo"], check=True)
    for address in ADDRESSES6:
        subprocess.run(["ip", "-6", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=False, capture_output=True)


def all_scenarios():
    found = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(scenarios.__path__)):
        for name, function in vars(importlib.import_module(f"scenarios.{module}")).items():
            if getattr(function, "scenario", False):
                found[name.replace("_", "-")] = function
    return found


def run(name, function, args):
    """None when it passed, else what was wrong."""
    world = World(args.binary, args.source, bool(os.environ.get(INSIDE)))
    world.seed = args.seed
    wrong = []
    try:
        function(world)
    except Failure as failure:
        place = traceback.extract_tb(failure.__traceback__)
        where = next((f for f in reversed(place) if "scenarios" in f.filename), place[-1])
        wrong.append(f"{os.path.relpath(where.filename)}:{where.lineno}: {failure}")
    except Exception:  # pylint: disable=broad-except
        wrong.append(traceback.format_exc())
    wrong += world.close(args.keep)
    if args.keep:
        print(f"{name}: its files are in {world.root}")
    return "\n".join(wrong) or None


def parse_arguments():
    source = os.path.dirname(os.path.dirname(HERE))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(source, "build", "postern"))
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="for what is random; said when something fails")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--long", action="store_true", help="those too that take minutes")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    args.binary = os.path.abspath(args.binary)
    args.source = source
    return args


def main():
    args = parse_arguments()
    known = all_scenarios()
    if not args.names and not args.long:
        known = {n: f for n, f in known.items() if not f.long}
    if args.list:
        print("\n".join(known))
        return 0
    chosen = {n: f for n, f in known.items() if not args.names or any(f"{n}=".startswith(wanted) for wanted in args.names)}
    if not chosen:
        print(f"no scenario is called {' or '.join(args.names)}; there are: {' '.join(known)}")
        return 2
    if not os.access(args.binary, os.X_OK):
        print(f"no program at {args.binary}; build it or say --binary FILE")
        return 2
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        print(f"not installed: {' '.join(missing)}; deploy/install-deps.sh test")
        return 2
    why_not = enter_namespaces()
    if not why_not:
        set_up_loopback()
    passed = failed = 0
    for name, function in chosen.items():
        if why_not and function.needs_addresses:
            print(f"skipped {name}: needs a network namespace ({why_not})")
            continue
        if function.needs_root and os.geteuid() != 0:
            print(f"skipped {name}: needs root, as Postfix does")
            continue
        missing = function.missing()
        if missing:
            print(f"skipped {name}: {missing}")
            continue
        started = time.monotonic()
        wrong = run(name, function, args)
        passed, failed = (passed, failed + 1) if wrong else (passed + 1, failed)
        print(f"{'FAILED' if wrong else 'ok'}  {name}  {time.monotonic() - started:.1f} s", flush=True)
        if wrong:
            print(f"{wrong}\n(--seed {args.seed})", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
