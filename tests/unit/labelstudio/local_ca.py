"""A certificate authority of our own, made with the system's openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def make_ca(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The CA's certificate (PEM), and TLS for a server at 127.0.0.1 and ls.test."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-days", "2", "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", *subject)
    request = ["-out", "server.csr", "-subj", "/CN=ls.test"]
    _openssl(folder, "req", *key, "-keyout", "server.key", *request)
    names = "subjectAltName=IP:127.0.0.1,DNS:ls.test\nauthorityKeyIdentifier=keyid\n"
    (folder / "names").write_text(names)
    signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    signed = ["-in", "server.csr", "-out", "server.pem", "-days", "2"]
    _openssl(folder, "x509", "-req", *signed, *signer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", tls


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
