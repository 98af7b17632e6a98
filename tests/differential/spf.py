#!/usr/bin/env python3
"""SPF against pyspf (Debian: python3-spf), over generated policies.

    tests/differential/spf.py DRIVER [--policies N] [--seed N] [--show]

DRIVER is the program built from spf_driver.c. Each policy is a zone of a few domains; each is asked for several clients. A disagreement is either one
of those that are known and named below, with the section of RFC 7208 that says who is right, or it is a failure and is shown with its zone.
Ends with "N questions, N agree, N known, N failed"; the exit code is 77 when pyspf is not there.
"""
import argparse
import random
import re
import subprocess
import sys

sys.path.pop(0)  # this file has the name of the module that it is compared with
try:
    import spf
except ImportError:
    print('python3-spf is not installed')
    sys.exit(77)

NAMES = ['a.example', 'b.example', 'c.a.example', 'd.b.example', 'e.example', 'f.e.example']
ALIASES = ['w.a.example', 'w.e.example', 'w.n1.example']  # CNAMEs; the first leads on to the second
MISSING = ['n1.example', 'n2.example']
CLIENTS = ['192.0.2.1', '192.0.2.77', '198.51.100.9', '2001:db8::1', '2001:db8:0:1::9', '127.0.0.1', '::ffff:192.0.2.1']
LOCALS = ['a', 'strong-bad', 'x+y=z', 'Jo.Ann', "o'b&c", 'bounce+u=our.test-1_2', 'a.b.c.d', '%{d}', 'x/y,z~']
ADDRESSES4 = ['192.0.2.1', '192.0.2.77', '192.0.2.128', '198.51.100.9', '203.0.113.5']
ADDRESSES6 = ['2001:db8::1', '2001:db8:0:1::8', '2001:db8:ffff::1']
MACROS = ['%{d}', '%{d1r}.%{d}', '%{o}', '%{h}', 'x.%{d2}', '%{i}.%{d}', '%{ir}.%{v}.%{d}', '%{l}.%{d}', '%{lr-}.%{o}', '%{l1r+}.%{d2}', '%{D}', '%{L}.%{d}',
          'a%%b.%{d}', '%{d99}', '%{s}.%{d}', '%{p}', '%{p2}.%{d}', '%{l1+}.%{o}', '%{l2r-+=}.%{d}', '%{o1}.%{d}', '%{h2}', '%{i3}.%{d}', '%{i2r}.%{d2}', '%{S}.%{d}',
          '%{dr}.example', '%{l/,}.%{d}', '%{v}.%{d}', '%{d1r}%{l1}.%{d}']
EXPLANATIONS = ['just text', 'refused: %{i} %{d} %{S}', 'bad %{z}', '%{t1}%{c}', '%{c} %{r} %{h} %{v}', '%{lr-+} of %{o1}, %{p}', '100%% %{L}%_and%-more', '%{i} %{ir}', '%', '50% off',
                'http://%{d}/?s=%{S}&h=%{H}', '%{D2} %{O} %{d1r}', 'v=spf1 -all', '']
BROKEN = ['foo', 'a:', 'a/33', 'a//129', 'ip4:1.2.3', 'ip4:1.2.3.4/33', 'ip4:1.2.3.4/', 'ip6:::g', 'include', 'include:', 'exists', 'all:x', '-all.', 'a:x', 'mx:1.2.3.4',
          'redirect=', 'exp=', 'ptr:', 'a:a.example/024', 'ip4', 'ip6:1.2.3.4', '+', '-redirect=a.example', 'a:%', 'a:%{x}.a.example', 'a:a.example,', 'a:a.example:80',
          'moo=%', '=x', 'a:%(d).a.example', 'include:%{c}.a.example', 'all/8']


class Zone:
    def __init__(self, rng):
        self.rng = rng
        self.lines = []
        self.data = {}      # (name, type) -> values
        self.failing = set()

    def add(self, name, kind, value):
        self.lines.append(f'{name} {kind} {value}')
        if value.startswith('!'):
            self.failing.add((name.lower(), kind))
        else:
            self.data.setdefault((name.lower(), kind), []).append(value)

    def lookup(self, name, kind, *_):
        name = name.lower().rstrip('.')
        if (name, 'CNAME') in self.data:
            return [((name, 'CNAME'), self.data[name, 'CNAME'][0])]
        if (name, kind) in self.failing:
            raise spf.TempError('DNS')
        out = []
        for value in self.data.get((name, kind), []):
            if kind == 'MX':
                preference, host = value.split(' ')
                value = (int(preference), host)
            if kind in ('TXT', 'SPF'):
                value = [value.encode('latin1')]
            out.append(((name, kind), value))
        return out


def name_of(rng):
    return rng.choice(NAMES * 6 + ALIASES + MISSING * 2) if rng.random() < 0.85 else rng.choice(MACROS)


def dual(rng):
    return rng.choice(['', '', '', '', '/24', '/0', '/32', '//64', '/24//64', '//0', '//128'])


def term(rng):
    kind = rng.random()
    mark = rng.choice(['', '', '', '+', '-', '~', '?'])
    if kind < 0.16:
        return f'{mark}a{rng.choice(["", ":" + name_of(rng)])}{dual(rng)}'
    if kind < 0.28:
        return f'{mark}mx{rng.choice(["", ":" + name_of(rng)])}{dual(rng)}'
    if kind < 0.46:
        return f'{mark}include:{name_of(rng)}'
    if kind < 0.58:
        return f'{mark}ip4:{rng.choice(ADDRESSES4)}{rng.choice(["", "/24", "/0", "/31", "/32"])}'
    if kind < 0.68:
        return f'{mark}ip6:{rng.choice(ADDRESSES6)}{rng.choice(["", "/64", "/0", "/127", "/32"])}'
    if kind < 0.78:
        return f'{mark}exists:{rng.choice([name_of(rng), rng.choice(MACROS)])}'
    if kind < 0.83:
        return f'{mark}ptr{rng.choice(["", ":" + name_of(rng)])}'
    if kind < 0.87:
        return f'redirect={name_of(rng)}'
    if kind < 0.90:
        return f'exp={name_of(rng)}'
    if kind < 0.92:
        return rng.choice(['moo=cow', 'x=%{d}', 'default=pass'])
    if kind < 0.94:
        return rng.choice(BROKEN)
    return rng.choice(['-all', '~all', '?all', 'all', 'ALL'])


def record(rng):
    parts = [term(rng) for _ in range(rng.choice([0, 1, 2, 2, 3, 3, 4, 5, 7]))]
    if rng.random() < 0.6:
        parts.append(rng.choice(['-all', '~all', '?all']))
    text = 'v=spf1 ' + ' '.join(parts)
    if rng.random() < 0.03:
        text = text.upper()
    if rng.random() < 0.02:
        at = rng.randrange(6, len(text) + 1)
        text = text[:at] + rng.choice(['%', '/', ':', '.', '=', '\x7f', '{', '}', '  ']) + text[at:]
    return text.strip() if rng.random() < 0.9 else text


def policy(rng):
    zone = Zone(rng)
    for name in NAMES:
        kind = rng.random()
        if kind < 0.80:
            zone.add(name, 'TXT', record(rng))
        elif kind < 0.83:
            zone.add(name, 'TXT', '!timeout')
        elif kind < 0.86:
            zone.add(name, 'TXT', record(rng))
            zone.add(name, 'TXT', record(rng))
        elif kind < 0.93:
            zone.add(name, 'TXT', rng.choice(EXPLANATIONS))
        if rng.random() < 0.7:
            for _ in range(rng.choice([1, 1, 2, 3])):
                zone.add(name, 'A', rng.choice(ADDRESSES4))
        elif rng.random() < 0.1:
            zone.add(name, 'A', '!servfail')
        if rng.random() < 0.6:
            zone.add(name, 'AAAA', rng.choice(ADDRESSES6))
        if rng.random() < 0.6:
            for i in range(rng.choice([1, 1, 2, 3, 11] if rng.random() < 0.1 else [1, 1, 2])):
                zone.add(name, 'MX', f'{rng.choice([0, 5, i])} {rng.choice(NAMES * 3 + ALIASES[:2] + MISSING)}')
    zone.add('1.2.0.192.in-addr.arpa', 'PTR', rng.choice(NAMES))
    zone.add('77.2.0.192.in-addr.arpa', 'PTR', rng.choice(NAMES))
    zone.add('77.2.0.192.in-addr.arpa', 'PTR', rng.choice(NAMES))
    zone.add('9.100.51.198.in-addr.arpa', 'PTR', '!timeout' if rng.random() < 0.3 else rng.choice(NAMES))
    zone.add('1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa', 'PTR', rng.choice(NAMES))
    if rng.random() < 0.2:
        for i in range(11):
            zone.add('77.2.0.192.in-addr.arpa', 'PTR', f'h{i}.{rng.choice(NAMES)}')
    for name, target in zip(ALIASES, ['w.e.example', rng.choice(NAMES), 'n1.example']):
        zone.add(name, 'CNAME', target)
    for _ in range(3):
        zone.add(f'{rng.choice(LOCALS)}.{rng.choice(NAMES)}', 'A', '127.0.0.2')
    return zone


def theirs(zone, client, helo, sender):
    spf.DNSLookup = zone.lookup
    query = spf.query(i=client, s='' if sender == '<>' else sender, h=helo, receiver='mx.receiver.example')
    query.t = '1234567890'
    verdict, _, text = query.check()
    explained = query.exps['fail'] != spf.EXPLANATIONS['fail'] and verdict == 'fail'
    return verdict, query.mechanism or '', text if explained else '', text, query


def texts(zone):
    return [v for (_, kind), values in zone.data.items() if kind == 'TXT' for v in values if v.lower().startswith('v=spf1')]


def known(zone, ours, verdict, text):
    """Who is right, and where it stands; None: nobody knows."""
    records = texts(zone)
    names = [m for r in records for m in re.findall(r'(?:^|\s)([A-Za-z][\w.-]*)=', r)]
    if 'Void lookup' in text and ours[0] != 'permerror':
        return '4.6.4: they count queries that find nothing, the RFC terms'
    if 'MUST appear at most once' in text and ours[0] != 'permerror' and names:
        return '6: unknown modifiers may come several times'
    if verdict == 'permerror' and 'Too many DNS' in text and any('redirect=' in r.lower() for r in records):
        return '6.1: they count redirect when it is read, not when it is followed'
    if verdict == 'temperror' and any(kind == 'PTR' for _, kind in zone.failing):
        return '5.5: an error of DNS makes ptr no match, and %{p} "unknown"'
    if verdict == 'temperror' and ours[0] != 'temperror' and any('mx' in r.lower() for r in records):
        return '5.4: hosts of an mx count in order of preference; none is asked behind a match'
    if verdict == 'temperror' and any('%{p' in r for r in records):
        return '5.5: a host whose addresses cannot be had is skipped'
    if verdict == 'temperror' and any('ptr' in r.lower() for r in records):
        return '5.5: a host whose addresses cannot be had is skipped'
    if ours[0] == 'permerror' and 'not a domain' in ours[3] or 'not a macro-string' in ours[3]:
        return '7.1: the grammar of macros and domains, which they read loosely'
    if any(re.search(r'%\{\w\d*R', r) for r in records):
        return '7.1: the R of a macro reverses in upper case too'
    if any(re.search(r'\s(?!redirect=|exp=)(?i:redirect|exp)=', r) for r in records):
        return '4.6.1: names of modifiers in upper case are the same names'
    if verdict == 'fail' and any('%{p' in r for r in records):
        return '5.5: an error of DNS makes ptr no match, and %{p} "unknown"'
    if verdict == 'permerror' and 'trivial recursion' in text:
        return '5.2: a record that includes itself is evaluated until the limit, and may match before'
    return None


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('driver')
    options.add_argument('--policies', type=int, default=1500)
    options.add_argument('--seed', type=int, default=7208)
    options.add_argument('--show', action='store_true', help='show the known ones too')
    args = options.parse_args()
    rng = random.Random(args.seed)
    text, asked = [], []
    for number in range(args.policies):
        zone = policy(rng)
        text += ['=='] + zone.lines
        for _ in range(6):
            client, helo = rng.choice(CLIENTS), rng.choice(NAMES + ['localhost'])
            sender = '<>' if rng.random() < 0.1 else f'{rng.choice(LOCALS)}@{rng.choice(NAMES[:3])}'
            text.append(f'? {client} {helo} {sender}')
            asked.append((zone, client, helo, sender))
    run = subprocess.run([args.driver], input='\n'.join(text).encode('latin1') + b'\n', stdout=subprocess.PIPE, check=True)
    answers = run.stdout.decode('latin1').splitlines()
    agree, failed, reasons = 0, 0, {}
    for (zone, client, helo, sender), line in zip(asked, answers, strict=True):
        ours = [part.strip() for part in line.split(' | ')]
        verdict, mechanism, explanation, said, _ = theirs(zone, client, helo, sender)
        # of an error they name no term, and of a default neither
        same = ours[0] == verdict and (verdict in ('permerror', 'temperror', 'none') or ours[1] == mechanism)
        if same and (ours[2] == explanation.strip() or verdict != 'fail'):
            agree += 1
            continue
        reason = known(zone, ours, verdict, said)
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        failed += not reason
        if not reason or args.show:
            print('\n'.join([''] + zone.lines))
            print(f'? {client} {helo} {sender}\n  ours   {" | ".join(ours)}\n  theirs {verdict} | {mechanism} | {explanation} | {said}\n  {reason or "NOT KNOWN"}')
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f'{count:6} {reason}')
    print(f'{len(asked)} questions, {agree} agree, {sum(reasons.values())} known, {failed} failed')
    sys.exit(1 if failed else 0)


main()
