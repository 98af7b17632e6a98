"""The grade of TLS in front, as testssl.sh sees it."""
import json
import os
import re
import shutil
import subprocess

from parts.certificates import Authority
from parts.grade import Findings, grade
from parts.process import expect, expect_equal

from . import scenario
from .tls import before

GOOD = [ # what testssl.sh finds on a listener as it should be, as far as it is graded
    *(("SSLv2", "not offered"), ("SSLv3", "not offered"), ("TLS1", "not offered"), ("TLS1_1", "not offered"), ("TLS1_2", "offered")),
    *(("TLS1_3", "offered with final"), ("PFS", "offered"), ("secure_renego", "supported"), ("secure_client_renego", "not vulnerable")),
    *((name, "not vulnerable") for name in ("heartbleed", "CCS", "ROBOT", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST")),
    *(("fallback_SCSV", "no protocol below TLS 1.2 offered"), ("LOGJAM-common_primes", "no DH key with <= TLS 1.2")),
    *(("cert_keySize <cert#1>", "RSA 2048 bits"), ("cert_keySize <cert#2>", "EC 256 bits")),
    *(("cert_signatureAlgorithm <cert#1>", "SHA256 with RSA"), ("cert_signatureAlgorithm <cert#2>", "ECDSA with SHA256")),
    ("cipher-tls1_2_xc02b", "TLS 1.2   xc02b   ECDHE-ECDSA-AES128-GCM-SHA256     ECDH 253   AESGCM      128      TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("cipher-tls1_3_x1302", "TLS 1.3   x1302   TLS_AES_256_GCM_SHA384            ECDH 253   AESGCM      256      TLS_AES_256_GCM_SHA384"),
]
WORSE = [ # one of them otherwise, or one more, and what is left of the grade at most
    *(("SSLv2", "offered with 2 ciphers", "F"), ("SSLv3", "offered", "B"), ("TLS1", "offered (deprecated)", "B"), ("TLS1_1", "offered (deprecated)", "B")),
    *(("TLS1_2", "not offered", "C"), ("TLS1_3", "not offered + downgraded to weaker protocol", "A-"), ("PFS", "No ciphers supporting Forward Secrecy offered", "B")),
    *((name, "VULNERABLE", "F") for name in ("heartbleed", "CCS", "ROBOT", "POODLE_SSL", "FREAK", "DROWN", "LOGJAM", "secure_client_renego")),
    *((name, "VULNERABLE", cap) for name, cap in (("CRIME_TLS", "C"), ("SWEET32", "C"), ("BEAST", "B"), ("LOGJAM-common_primes", "B"))),
    *(("secure_renego", "VULNERABLE", "A-"), ("fallback_SCSV", "NOT supported", "A-"), ("heartbleed", None, "F"), ("TLS1", None, "B")),
    *(("cert_keySize <cert#1>", "RSA 1024 bits", "B"), ("cert_keySize <cert#1>", "RSA 512 bits", "F"), ("cert_signatureAlgorithm <cert#1>", "SHA1 with RSA", "F")),
    ("cipher-tls1_2_x05", "TLS 1.2   x05     RC4-SHA                           RSA        RC4         128      TLS_RSA_WITH_RC4_128_SHA", "C"),
    ("cipher-tls1_2_x0a", "TLS 1.2   x0a     DES-CBC3-SHA                      RSA        3DES        168      TLS_RSA_WITH_3DES_EDE_CBC_SHA", "C"),
    ("cipher-tls1_2_x02", "TLS 1.2   x02     NULL-SHA                          RSA        None        None     TLS_RSA_WITH_NULL_SHA", "F"),
    ("cipher-tls1_2_xc018", "TLS 1.2   xc018   AECDH-AES128-SHA                  ECDH 253   AES         128      TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "F"),
    ("cipher-tls1_2_x33", "TLS 1.2   x33     DHE-RSA-AES128-SHA                DH 1024    AES         128      TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "B"),
    ("cipher-tls1_2_x99", "something else altogether", "F"),
]


@scenario
def tls_grades(world):  # pylint: disable=unused-argument
    """How a listener is graded: as it should be it has an A, and each weakness alone costs it."""
    def rows(findings):
        return [{"id": name, "finding": text} for name, text in findings if text is not None]
    expect_equal(grade(rows(GOOD)), ("A", []), "as it should be")
    for name, text, most in WORSE:
        worse = [*((n, t) for n, t in GOOD if n != name), (name, text)]
        expect_equal(grade(rows(worse))[0], most, f"{name} is {text}")
    no_aead = [(n, t.replace("AESGCM", "AES   ")) for n, t in GOOD]
    expect_equal(grade(rows(no_aead))[0], "B", "no AEAD")
    expect_equal(grade([])[0], "F", "nothing is known")


@scenario(long=True, needs=lambda: None if shutil.which("testssl") else "testssl.sh is not installed")
def testssl(world):
    """testssl.sh finds nothing on the listener (that the authority is our own is all it may say), and it has an A by the rules of SSL Labs."""
    ca = Authority(world)
    _, postern = before(world, [ca.certificate("mx.example.org", kind="rsa"), ca.certificate("mx.example.org")], message_limit=100000)
    postern.serve()
    found = os.path.join(world.root, "findings.json")
    done = subprocess.run(["testssl", "--starttls", "smtp", "--nodns", "none", "--quiet", "--warnings", "off", "--color", "0", "--add-ca", ca.file, "--fast",
                           "--jsonfile", found, "--protocols", "--server-defaults", "--server-preference", "--vulnerable", "--fs", "-E",
                           f"127.0.0.1:{postern.port}"], stdin=subprocess.DEVNULL, capture_output=True, timeout=1200, check=False)
    with open(found, encoding="utf-8", errors="replace") as f:
        rows = json.load(f)
    expect(len(rows) > 80, f"findings: {done.stdout.decode(errors='replace')[-3000:]}")
    # our own authority; CBC of TLS 1.2 stays, since the other choice of an old sender is clear text
    tolerated = re.compile(r"cert_(trust|chain_of_trust|crlDistributionPoints|revocation|ocsp)|OCSP|DNS_CAA|LUCKY13$")
    bad = [row for row in rows if row["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL") and not tolerated.search(row["id"])]
    expect_equal(bad, [], "findings")
    expect_equal(grade(rows), ("A", []), "grade")
    ciphers = Findings(rows).ciphers
    expect(len(ciphers) >= 10 and all(c["exchange"] == "ECDH" and int(c["bits"]) >= 128 for c in ciphers), f"forward secrecy with each: {[c[0] for c in ciphers]}")
    postern.stop()
