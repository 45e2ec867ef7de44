"""The service on a port of 127.0.0.1, in a thread of this process, and certificates for it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from programs import needs_program

from radretrieval.config import ServeSettings, Settings
from radretrieval.serve import run as running


@contextmanager
def listening(settings: Settings, **options: object) -> Iterator[int]:
    """The port of a service in a thread of this process."""
    ready: list[str] = []
    made: list[running._Server] = []

    class Kept(running._Server):
        def __init__(self, config: object) -> None:
            super().__init__(config)  # type: ignore[arg-type]
            made.append(self)

    with patch.object(running, "_Server", Kept):
        thread = threading.Thread(
            target=running.run,
            args=(settings, ServeSettings(port=0, **options), ready.append),  # type: ignore[arg-type]
        )
        thread.start()
        deadline = time.monotonic() + 30
        while not ready and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    try:
        assert ready, "the service did not start"
        yield int(ready[0].rstrip("/").rpartition(":")[2])
    finally:
        for one in made:
            one.should_exit = True
        thread.join(30)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate of this host name, which signs itself."""
    needs_program("openssl")
    key, made = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    return key, made
