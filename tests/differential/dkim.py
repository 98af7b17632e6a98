#!/usr/bin/env python3
"""DKIM and ARC against dkimpy (Debian: python3-dkim, python3-nacl, python3-authres), over generated messages.

    tests/differential/dkim.py DRIVER [--messages N] [--seed N] [--show]

DRIVER is the program built from dkim_driver.c. Messages are signed (rsa-sha256 and ed25519-sha256, all canonicalisations, l=, several signatures,
key records of many shapes) and sealed by dkimpy, then changed here and there, or left alone; each signature and each chain is judged by both. A disagreement is one of those that
are known and named below, with the section that says who is right, or it is a failure and is shown.
Ends with "N messages, N verdicts agree, N known, N failed"; the exit code is 77 when dkimpy is not there.
"""
import argparse
import base64
import random
import re
import subprocess
import sys
import time

sys.path.pop(0)  # this file has the name of the module that it is compared with
try:
    import dkim
    import nacl.signing
    import authres  # noqa: F401 (dkimpy seals with it)
except ImportError:
    print('python3-dkim, python3-nacl or python3-authres is not installed')
    sys.exit(77)

NOW = int(time.time())
WORDS = ['alpha', 'beta', 'gamma  delta', 'x', 'a=b; c=d', '(comment)', '<a@b.example>', '=?utf-8?q?=C3=A4?=', 'tab\there', 'trailing ', '  leading',
         'b=abc', 'DKIM-Signature: v=1', '\u00e4\u00f6', '.', '..', '--', '0' * 80]
FIELDS = ['Subject', 'To', 'Date', 'Message-ID', 'X-One', 'X-Two', 'Received', 'CC', 'MIME-Version', 'x-one', 'Reply-To', 'Resent-From']
# Selectors: the algorithm, and the key record that {p} (or {pkcs1}, the bare RSAPublicKey of RFC 6376 3.6.1) is put into
SELECTORS = {
    'rsa': ('rsa', 'v=DKIM1; k=rsa; p={p}'),
    'ed25519': ('ed25519', 'v=DKIM1; k=ed25519; p={p}'),
    'plain': ('rsa', 'p={p}'),
    'old': ('rsa', 'k=rsa; p={p};'),
    'pkcs1': ('rsa', 'v=DKIM1; p={pkcs1}'),
    'noted': ('rsa', "v=DKIM1; h=sha1:sha256; s=*:email; n=it's a (note) of \\ ours; x-y_1=z; k=rsa; p={p}"),
    'spaced': ('ed25519', 'v = DKIM1 ; k = ed25519 ;  p = {p} '),
    'revoked': ('rsa', 'v=DKIM1; p='),
    'version': ('rsa', 'v=DKIM2; p={p}'),
    'junk': ('rsa', 'v=DKIM1; p=AAAA'),
    'type': ('rsa', 'v=DKIM1; k=ed25519; p={p}'),
    'never': ('rsa', None),
}
HOPS = ['a.example', 'b.example', 'c.example', 'd.example']


def words(rng, n):
    return ' '.join(rng.choice(WORDS) for _ in range(rng.randrange(n + 1)))


def fold(rng, value):
    return ''.join(c if c != ' ' or rng.random() > 0.2 else rng.choice(['\r\n ', '\r\n\t', ' \r\n  ', '  ']) for c in value)


def header_of(rng):
    fields = [f'{rng.choice(["From", "from", "FROM"])}: {rng.choice(["a@example.com", "A <a@example.com>", "  a@example.com "])}']
    for _ in range(rng.randrange(8)):
        value = fold(rng, words(rng, 4)).strip('\r\n')
        lines = [line for line in value.split('\r\n') if line.strip()]
        fields.append(f'{rng.choice(FIELDS)}:{rng.choice([" ", "", "  ", chr(9)])}' + '\r\n'.join([lines[0] if lines else 'x'] + [
            line if line[0] in ' \t' else ' ' + line for line in lines[1:]]))
    rng.shuffle(fields)
    return fields


def body_of(rng):
    lines = []
    for _ in range(rng.choice([0, 1, 2, 5, 20])):
        lines.append(rng.choice(['', '', ' ', '\t ', words(rng, 6), words(rng, 30)]))
    return ''.join(line + '\r\n' for line in lines)


def sign(rng, message, keys):
    domain = rng.choice(['example.com', 'sub.example.com', 'other.example'])
    selector = rng.choice(['rsa', 'ed25519', *SELECTORS])
    kind = SELECTORS[selector][0]
    signer = dkim.DKIM(message, signature_algorithm=f'{kind}-sha256'.encode())
    signer.should_not_sign = set()
    present = [name.lower() for name, _ in signer.headers if name.lower() not in (b'dkim-signature',) and not name.lower().startswith(b'arc-')]
    include = None
    if rng.random() < 0.8:
        include = [b'from'] + [name for name in present if rng.random() < 0.7 and name != b'from']
        include += [rng.choice([b'from', b'x-none', b'subject', b'x-one']) for _ in range(rng.randrange(4))]
        rng.shuffle(include)
    canon = (rng.choice([b'simple', b'relaxed']), rng.choice([b'simple', b'relaxed']))
    identity = rng.choice([None, None, None, f'a@{domain}', f'@x.{domain}'])
    field = signer.sign(selector.encode(), domain.encode(), keys[kind], canonicalize=canon, include_headers=include, length=rng.random() < 0.2,
                        identity=identity and identity.encode())
    return field + message


def seal(rng, message, keys, hop):
    domain = HOPS[hop]
    result = rng.choice(['pass', 'fail', 'none'])
    arc = b'; arc=pass' if hop else b''
    authres_field = b'Authentication-Results: mx.%b%b; spf=%b smtp.mailfrom=example.com; dmarc=%b\r\n' % (domain.encode(), arc, result.encode(), result.encode())
    fields = dkim.arc_sign(authres_field + message, b'rsa', domain.encode(), keys['rsa'], b'mx.' + domain.encode())
    return b''.join(fields) + message


def change(rng, message):
    """One change, or none; some of them are none to relaxed canonicalisation."""
    head, _, body = message.partition(b'\r\n\r\n')
    kind = rng.randrange(14)
    fields = re.split(rb'\r\n(?![ \t])', head)
    if kind < 4:
        return message
    if kind == 4:
        return message + b'more\r\n'
    if kind == 5:
        return message + b'\r\n\r\n'
    if kind == 6:
        return head + b'\r\n\r\n' + body.replace(b' ', b'  ', 1)
    if kind == 7:
        return head + b'\r\n\r\n' + body.replace(b'\r\n', b' \r\n', 1)
    if kind == 8:
        at = rng.randrange(len(message))
        return message if message[at:at + 1] in b'\r\n \t:' else message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]
    if kind == 9:
        fields.insert(rng.randrange(len(fields) + 1), f'{rng.choice(FIELDS)}: added'.encode())
    if kind == 10:
        fields.pop(rng.randrange(len(fields)))
    if kind == 11:
        a, b = rng.randrange(len(fields)), rng.randrange(len(fields))
        fields[a], fields[b] = fields[b], fields[a]
    if kind == 12:
        at = rng.randrange(len(fields))
        name, _, value = fields[at].partition(b':')
        fields[at] = name.swapcase() + b':' + value.replace(b' ', b'  ')
    if kind == 13:
        at = rng.randrange(len(fields))
        fields[at] = fields[at].replace(b'\r\n', b'').replace(b'\t', b' ')
    return b'\r\n'.join(fields) + b'\r\n\r\n' + body


def theirs(message, records):
    def lookup(name, timeout=5):
        return records.get(name.decode().rstrip('.') if isinstance(name, bytes) else name.rstrip('.'))

    verdicts = []
    signatures = len([1 for name, _ in dkim.DKIM(message).headers if name.lower() == b'dkim-signature'])
    for i in range(signatures):
        try:
            verdicts.append('pass' if dkim.DKIM(message).verify(idx=i, dnsfunc=lookup) else 'fail')
        except Exception as error:  # whatever it says: it is no pass
            verdicts.append(f'error {type(error).__name__} {error}')
    try:
        chain, _, why = dkim.ARC(message).verify(dnsfunc=lookup)
        chain = {dkim.CV_Pass: 'pass', dkim.CV_None: 'none'}.get(chain, 'fail')
    except Exception as error:
        chain, why = 'fail', f'{type(error).__name__} {error}'
    return verdicts, chain, why


def in_order(message):
    """Do the fields of each kind of ARC field stand with the newest on top?"""
    head = message.partition(b'\r\n\r\n')[0]
    for name in (b'arc-seal', b'arc-message-signature', b'arc-authentication-results'):
        fields = [field for field in re.split(rb'\r\n(?![ \t])', head) if field.lower().startswith(name + b':')]
        instances = [int(found.group(1)) for found in (re.search(rb'(?i)[:; \t]i\s*=\s*(\d+)', field) for field in fields) if found]
        if instances != sorted(instances, reverse=True):
            return False
    return True


def known(what, ours, other, message, why):
    if what == 'arc' and ours == 'pass' and 'did not validate' in why and not in_order(message):
        return 'RFC 8617 5.1.1: sets are hashed in the order of their instances, wherever they stand'
    return None


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('driver')
    options.add_argument('--messages', type=int, default=600)
    options.add_argument('--seed', type=int, default=6376)
    options.add_argument('--show', action='store_true', help='show the known ones too')
    args = options.parse_args()
    rng = random.Random(args.seed)
    pem = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    secret = nacl.signing.SigningKey(bytes(rng.randrange(256) for _ in range(32)))
    keys = {'rsa': pem, 'ed25519': base64.b64encode(secret.encode())}
    bare = subprocess.run(['openssl', 'rsa', '-RSAPublicKey_out', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    public = {'rsa': base64.b64encode(der).decode(), 'ed25519': base64.b64encode(secret.verify_key.encode()).decode()}
    records = {}
    for selector, (kind, record) in SELECTORS.items():
        for domain in ['example.com', 'sub.example.com'] + (HOPS[:3] if selector == 'rsa' else []):
            if record:
                text = record.format(p=public[kind], pkcs1=base64.b64encode(bare).decode())
                records[f'{selector}._domainkey.{domain}'] = text.encode()
    records['rsa._domainkey.other.example'] = b'v=DKIM1; p='
    sent, messages = [b'now %d\n' % NOW] + [b'key %b %b\n' % (name.encode(), record) for name, record in records.items()], []
    for _ in range(args.messages):
        message = ('\r\n'.join(header_of(rng)) + '\r\n\r\n' + body_of(rng)).encode()
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            message = sign(rng, message, keys)
        for hop in range(rng.choice([0, 0, 0, 1, 2, 3, 4])):
            message = seal(rng, message, keys, hop)
        for _ in range(rng.choice([0, 1, 1, 2])):
            message = change(rng, message)
        # a line that begins with a dot is stuffed on the way
        wire = re.sub(rb'(?m)^\.', b'..', message)
        messages.append(message)
        sent.append(b'message %d %d\n' % (len(wire), rng.choice([1, 2, 7, 64, 4096])) + wire)
    answers = subprocess.run([args.driver], input=b''.join(sent), stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    agree, failed, passes, reasons = 0, 0, 0, {}
    for message, line in zip(messages, answers, strict=True):
        ours, chain, texts, reason = [part.strip() for part in line.split(' | ')]
        ours = ours.split(';') if ours else []
        verdicts, their_chain, why = theirs(message, records)
        pairs = [('dkim', a, b, text) for a, b, text in zip(ours, verdicts, texts.split('; '), strict=False)]
        if len(ours) != len(verdicts):
            pairs.append(('count', str(len(ours)), str(len(verdicts)), texts))
        pairs.append(('arc', chain, their_chain, reason))
        for what, a, b, text in pairs:
            passes += a == 'pass'
            if (a == 'pass') == (b == 'pass') and (what != 'arc' or a == b) and what != 'count':
                agree += 1
                continue
            excuse = known(what, a, b, message, why)
            if excuse:
                reasons[excuse] = reasons.get(excuse, 0) + 1
            failed += not excuse
            if not excuse or args.show:
                print('\n' + message.decode('utf-8', 'replace'))
                print(f'{what}\n  ours   {a} ({text})\n  theirs {b} ({why})\n  {excuse or "NOT KNOWN"}')
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f'{count:6} {reason}')
    print(f'{passes} of them pass')
    print(f'{len(messages)} messages, {agree} verdicts agree, {sum(reasons.values())} known, {failed} failed')
    sys.exit(1 if failed else 0)


main()
