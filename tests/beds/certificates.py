"""A throw-away certificate authority and a server certificate, made by trustme."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

OUR_NAMES = ("localhost", "127.0.0.1")
KINDS = ("server", "wronghost", "unknown_ca", "expired")


def make(folder: Path, kind: str = "server", names: Iterable[str] = OUR_NAMES) -> Path:
    """Write ca.pem, server.pem (for these hosts) and server.key into the folder; return the path of ca.pem.

    Kinds: server (good), wronghost (of the CA, for another name), unknown_ca (the right names, of another CA, which the
    server sends along), expired (of the CA, over since yesterday). Raise ValueError for any other kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no such kind of certificate: {kind}")
    ca = trustme.CA()
    issuer = trustme.CA() if kind == "unknown_ca" else ca
    hosts = ("other.example",) if kind == "wronghost" else tuple(names)
    end = datetime.now(UTC) - timedelta(days=1) if kind == "expired" else None
    server = issuer.issue_cert(*hosts, not_after=end)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    chain = [*server.cert_chain_pems, *([issuer.cert_pem] if kind == "unknown_ca" else [])]
    (folder / "server.pem").write_bytes(b"".join(part.bytes() for part in chain))
    server.private_key_pem.write_to_path(folder / "server.key")
    return folder / "ca.pem"
