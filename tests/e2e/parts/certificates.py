"""Certificates by the openssl program: an authority of our own, and what it signs."""
import os
import ssl
import subprocess


class Certificate:
    """file: the certificate; key: its private key; both PEM."""

    def __init__(self, file, key):
        self.file = file
        self.key = key

    @property
    def line(self):
        """As the value of Postern's setting `certificate`."""
        return f'"{self.file}" "{self.key}"'

    def der(self):
        with open(self.file, encoding="ascii") as f:
            return ssl.PEM_cert_to_DER_cert(f.read())

    def fingerprint(self):
        return openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", self.file).split("=", 1)[1].strip()

    def serve(self):
        """The context of a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


class Authority:
    """One of its own for each scenario; `file` is what its clients trust."""

    KINDS = {"ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("-newkey", "rsa:2048")}

    def __init__(self, world):
        self.folder = world.folder("certificates")
        os.chmod(self.folder, 0o755)
        self.file = os.path.join(self.folder, "authority.pem")
        self.key = os.path.join(self.folder, "authority.key")
        self.made = 0
        openssl("req", "-x509", *self.KINDS["ec"], "-nodes", "-days", "300", "-subj", "/CN=the tests' authority", "-keyout", self.key, "-out", self.file)

    def certificate(self, *names, kind="ec", use="serverAuth"):
        self.made += 1
        file, key, request, extensions = (os.path.join(self.folder, f"{self.made}.{suffix}") for suffix in ("pem", "key", "csr", "ext"))
        with open(extensions, "w", encoding="ascii") as f:
            f.write("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + f"\nextendedKeyUsage={use}\nbasicConstraints=critical,CA:FALSE\n"
                    "keyUsage=critical,digitalSignature\n")
        openssl("req", "-new", *self.KINDS[kind], "-nodes", "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-set_serial", str(1000 + self.made), "-days", "200", "-sha256",
                "-extfile", extensions, "-out", file)
        os.chmod(key, 0o644) # a server may read it as its own user
        return Certificate(file, key)

    def trust(self, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3):
        """The context of a client that believes this authority only, and verifies names."""
        context = ssl.create_default_context(cafile=self.file)
        context.minimum_version, context.maximum_version = lowest, highest
        return context
