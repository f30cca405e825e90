"""A throw-away certificate authority and a server certificate of its own, made by openssl (3.0 or later)."""

from __future__ import annotations

import subprocess
from pathlib import Path

# An empty configuration of our own: the system's would add extensions that clash with the ones below.
EMPTY_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
OUR_NAMES = "DNS:localhost,IP:127.0.0.1"
KINDS = ("server", "wronghost", "selfsigned")


def make(folder: Path, kind: str = "server") -> Path:
    """Write ca.pem, server.pem and server.key into the folder; return the path of ca.pem.

    Kinds: server (good), wronghost (the CA's, for another name), selfsigned (the right name, nobody's).
    """
    if kind not in KINDS:
        raise ValueError(f"no such kind of certificate: {kind}")
    (folder / "openssl.cnf").write_text(EMPTY_CONFIG)
    _certificate(folder, "ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    names = "DNS:other.example" if kind == "wronghost" else OUR_NAMES
    signed = () if kind == "selfsigned" else ("-CA", "ca.pem", "-CAkey", "ca.key")
    _certificate(folder, "server", f"subjectAltName={names}", "basicConstraints=critical,CA:FALSE", options=signed)
    return folder / "ca.pem"


def _certificate(folder: Path, name: str, *extensions: str, options: tuple[str, ...] = ()) -> None:
    # Python 3.13 verifies strictly: it wants both key identifiers.
    identifiers = ("subjectKeyIdentifier=hash", *(["authorityKeyIdentifier=keyid"] if options else []))
    wanted = [part for extension in (*identifiers, *extensions) for part in ("-addext", extension)]
    subject = ("-subj", f"/CN=mailwatch {name}", "-days", "30")
    output = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
    _openssl(folder, "req", "-x509", "-config", "openssl.cnf", *NEW_KEY, *subject, *output, *options, *wanted)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
