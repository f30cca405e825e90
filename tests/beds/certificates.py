"""A throw-away certificate authority and a server certificate of its own, made by openssl (3.0 or later)."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable
from pathlib import Path

# A configuration of our own: the system's would add extensions that clash with the ones below.
# Python 3.13 verifies strictly: it wants both key identifiers.
CONFIG = "[req]\ndistinguished_name = name\n[name]\n[signed]\nauthorityKeyIdentifier = keyid\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
OUR_NAMES = ("localhost", "127.0.0.1")
KINDS = ("server", "wronghost", "selfsigned", "expired")


def make(folder: Path, kind: str = "server", names: Iterable[str] = OUR_NAMES) -> Path:
    """Write ca.pem, server.pem (for these hosts) and server.key into the folder; return the path of ca.pem.

    Kinds: server (good), wronghost (the CA's, for another name), selfsigned (the right names, nobody's), expired (the
    CA's, over since yesterday).
    """
    if kind not in KINDS:
        raise ValueError(f"no such kind of certificate: {kind}")
    (folder / "openssl.cnf").write_text(CONFIG)
    _certificate(folder, "ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    hosts = ",".join(_alternative(name) for name in (["other.example"] if kind == "wronghost" else names))
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key")
    own = signed if kind in ("server", "wronghost") else ()
    _certificate(folder, "server", f"subjectAltName={hosts}", "basicConstraints=critical,CA:FALSE", options=own)
    if kind == "expired":  # `req` makes none that is over; `x509` signs a self-signed one anew, and does
        both = ("-in", "server.pem", "-out", "server.pem")
        _openssl(folder, "x509", *both, *signed, "-days", "-1", "-extfile", "openssl.cnf", "-extensions", "signed")
    return folder / "ca.pem"


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _certificate(folder: Path, name: str, *extensions: str, options: tuple[str, ...] = ()) -> None:
    identifiers = ("subjectKeyIdentifier=hash", *(["authorityKeyIdentifier=keyid"] if options else []))
    wanted = [part for extension in (*identifiers, *extensions) for part in ("-addext", extension)]
    subject = ("-subj", f"/CN=mailwatch {name}", "-days", "30")
    output = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
    _openssl(folder, "req", "-x509", "-config", "openssl.cnf", *NEW_KEY, *subject, *output, *options, *wanted)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
