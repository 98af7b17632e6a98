"""
The grade of a TLS server by the SSL Labs rating guide, from the findings of testssl.sh (the one of Debian 12 computes none itself).

A score of three parts: protocols 30 %, key exchange 30 %, ciphers 40 %, each of the best and the weakest that is offered; 80 is an A. Then caps: what
the guide lets cost more than its share. What testssl.sh does not speak of counts as bad, so that a finding renamed or left out is no pass. Trust is not
judged (the authority of the tests is their own), nor HSTS (this is not HTTP).
"""
import re

LETTERS = ["A", "A-", "B", "C", "D", "E", "F"]
PROTOCOLS = {"SSLv2": 0, "SSLv3": 80, "TLS1": 90, "TLS1_1": 95, "TLS1_2": 100, "TLS1_3": 100}

# a finding, what it says when all is well, and what may be had at most when it does not
RULES = [
    ("SSLv2", r"not offered", "F"),
    ("SSLv3", r"not offered", "B"),
    ("TLS1", r"not offered", "B"),
    ("TLS1_1", r"not offered", "B"),
    ("TLS1_2", r"offered", "C"),
    ("TLS1_3", r"offered", "A-"),
    ("PFS", r"offered", "B"),
    ("secure_renego", r"supported", "A-"),
    ("secure_client_renego", r"not vulnerable", "F"),
    ("fallback_SCSV", r"supported|no protocol below TLS 1\.2 offered", "A-"),
    ("heartbleed", r"not vulnerable", "F"),
    ("CCS", r"not vulnerable", "F"),
    ("ROBOT", r"not vulnerable", "F"),
    ("CRIME_TLS", r"not vulnerable", "C"),
    ("POODLE_SSL", r"not vulnerable", "F"),
    ("SWEET32", r"not vulnerable", "C"),
    ("FREAK", r"not vulnerable", "F"),
    ("DROWN", r"not vulnerable", "F"),
    ("LOGJAM", r"not vulnerable", "F"),
    ("LOGJAM-common_primes", r"no DH key", "B"),
    ("BEAST", r"not vulnerable", "B"),
]
CIPHER = re.compile(r"^\s*(?P<protocol>\S+ ?\S*)\s+(?P<code>x\w+)\s+(?P<name>\S+)\s+(?P<exchange>[A-Z]\S*)(?: (?P<strength>\d+))?"
                    r"\s+(?P<encryption>\S+)\s+(?P<bits>\d+|None)\b")


class Findings:
    """By id; of certificates and ciphers there are several."""

    def __init__(self, rows):
        self.said = {row["id"]: row["finding"] for row in rows}
        self.ciphers = [CIPHER.match(row["finding"]) for row in rows if row["id"].startswith("cipher-")]

    def of_certificates(self, name):
        return [text for key, text in self.said.items() if key == name or key.startswith(name + " ")]


def rsa_bits(kind, bits):
    """The length of an RSA key that is as strong (NIST SP 800-57)."""
    if kind.startswith("EC"):
        return 15360 if bits >= 512 else 7680 if bits >= 384 else 3072 if bits >= 250 else 2048 if bits >= 224 else 1024
    return bits


def part_exchange(bits):
    return 20 if bits < 512 else 40 if bits < 1024 else 80 if bits < 2048 else 90 if bits < 4096 else 100


def part_cipher(bits):
    return 0 if bits == 0 else 20 if bits < 128 else 80 if bits < 256 else 100


def mean_of_ends(values):
    return (min(values) + max(values)) / 2 if values else 0


def score(found, complain):
    """The three parts together, 0 to 100."""
    offered = [points for name, points in PROTOCOLS.items() if found.said.get(name, "offered").startswith("offered")]
    keys = []
    for text in found.of_certificates("cert_keySize"):
        key = re.match(r"(\S+) (\d+) bits", text)
        keys.append(rsa_bits(key.group(1), int(key.group(2))) if key else 0)
    keys += [rsa_bits(c["exchange"], int(c["strength"])) for c in found.ciphers if c and c["strength"]]
    ciphers = [0 if c is None or c["bits"] == "None" else int(c["bits"]) for c in found.ciphers]
    for what, values in (("certificate", found.of_certificates("cert_keySize")), ("cipher", ciphers)):
        if not values:
            complain("F", f"no {what} is known")
    if keys and min(keys) < 2048:
        complain("B" if min(keys) >= 1024 else "F", f"a key of {min(keys)} bits")
    return 0.3 * mean_of_ends(offered) + 0.3 * part_exchange(min(keys, default=0)) + 0.4 * mean_of_ends([part_cipher(b) for b in ciphers])


def judge_ciphers(found, complain):
    for c in found.ciphers:
        if c is None:
            complain("F", "a cipher that cannot be read")
            continue
        if c["bits"] == "None" or int(c["bits"]) < 112 or re.search(r"NULL|EXP|ADH|AECDH|anon", c["name"]):
            complain("F", f"{c['name']} is none or no encryption to speak of")
        elif re.search(r"RC4|DES|IDEA|SEED", c["name"]):
            complain("C", f"{c['name']} is obsolete")
        elif int(c["bits"]) < 128:
            complain("B", f"{c['name']} has {c['bits']} bits")
    if not any(c and re.search(r"GCM|CHACHA|CCM", c["encryption"]) for c in found.ciphers):
        complain("B", "no authenticated encryption")


def grade(rows):
    """(letter, why it is no A): rows as in testssl.sh's JSON."""
    found = Findings(rows)
    caps = []

    def complain(cap, why):
        caps.append((cap, why))
    for name, good, cap in RULES:
        text = found.said.get(name)
        if text is None or not re.match(good, text):
            complain(cap, f"{name}: {text or 'nothing was found out'}")
    for text in found.of_certificates("cert_signatureAlgorithm"):
        if not re.search(r"SHA(256|384|512)|Ed25519|Ed448", text):
            complain("F", f"a certificate is signed by {text}")
    judge_ciphers(found, complain)
    points = score(found, complain)
    letter = "A" if points >= 80 else "B" if points >= 65 else "C" if points >= 50 else "D" if points >= 35 else "E" if points >= 20 else "F"
    if letter != "A":
        complain(letter, f"{points:.0f} points")
    return max([letter, *(cap for cap, _ in caps)], key=LETTERS.index), [f"{cap}: {why}" for cap, why in caps]
