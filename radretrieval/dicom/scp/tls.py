"""TLS of the storage SCP (PS3.15, B.9: BCP 195)."""

from __future__ import annotations

import ssl
from pathlib import Path

from radretrieval.errors import UsageError


def server_context(certificate: Path, key: Path | None, authorities: Path | None) -> ssl.SSLContext:
    """Return the context of a server; TLS 1.2 or newer.

    Parameters
    ----------
    certificate : chain of the node's own certificate, PEM. key : its private key, if that is in another file.
    authorities : certificates of the authorities that sign those of clients, PEM; None requires no client certificate.

    Raises
    ------
    UsageError : a file cannot be read, or is not of the expected kind.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # without this OpenSSL would prompt at the terminal for the pass phrase of a key
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UsageError(
            f"the certificate {certificate}{f' with the key {key}' if key else ''} cannot be used ({error}); "
            "both are PEM files, the key belongs to the certificate and has no pass phrase"
        ) from error
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except OSError as error:
            raise UsageError(f"the certificates of authorities {authorities} cannot be used ({error})") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
