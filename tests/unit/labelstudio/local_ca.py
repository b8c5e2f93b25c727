"""A certificate authority of our own, made with the system's openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def make_ca(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The CA's certificate (PEM), and TLS for a server at 127.0.0.1 and ls.test."""
    names = "subjectAltName=IP:127.0.0.1,DNS:ls.test"
    _openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA",
             "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    _openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=ls.test")  # fmt: skip
    (folder / "names").write_text(f"{names}\nauthorityKeyIdentifier=keyid\n")
    _openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", tls


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
