"""TLS in front of a PostgreSQL that has none, as its own TLS looks to a client; and certificates."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


def authority(folder: Path, name: str) -> None:
    """A certificate that signs, and one of a host that it signed."""
    folder.mkdir(exist_ok=True)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", f"{name}-ca.key", "-out", f"{name}-ca.pem", "-subj", f"/CN={name} CA")
    openssl("req", *key[:3], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=localhost")
    signer = ("-CA", f"{name}-ca.pem", "-CAkey", f"{name}-ca.key", "-CAcreateserial", "-days", "2")
    openssl("x509", "-req", "-in", f"{name}.csr", *signer, "-out", f"{name}.pem")


@contextmanager
def tls_front(url: str, certificate: Path, key: Path) -> Iterator[int]:
    """A port of 127.0.0.1 that speaks TLS and leads to the server of this URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context, url), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _accept(listener: socket.socket, context: ssl.SSLContext, url: str) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_serve, args=(plain, context, url), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, url: str) -> None:
    with suppress(OSError), plain:
        while plain.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:  # what it asks for first, as GSSAPI
            plain.sendall(b"N")
        plain.sendall(b"S")
        with context.wrap_socket(plain, server_side=True) as client, _upstream(url) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join(5)


def _upstream(url: str) -> socket.socket:
    parts = conninfo_to_dict(url)
    host, port = str(parts.get("host", "localhost")), int(str(parts.get("port", 5432)))
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    made = socket.socket(socket.AF_UNIX)
    made.connect(f"{host}/.s.PGSQL.{port}")
    return made


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
