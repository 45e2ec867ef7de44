"""Orthanc in a network namespace of its own: it binds every address."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nodes import PATIENCE
from programs import needs_program

HTTP = 18042


class Orthanc:
    """A running Orthanc that knows one node, `RADRETRIEVAL`, and is asked by REST from inside its namespace."""

    def __init__(self, inside: Sequence[str]) -> None:
        self._inside = inside

    def ask(self, path: str, *words: str) -> Any:
        """The JSON that it answers; None where it answers with an error."""
        curl = ["curl", "-s", "-f", *words, f"http://127.0.0.1:{HTTP}{path}"]
        done = subprocess.run([*self._inside, *curl], capture_output=True, text=True, timeout=PATIENCE)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def load(self, file: Path) -> str | None:
        """Its own name of an instance; None where it does not take the file."""
        answer = self.ask("/instances", "-X", "POST", "--data-binary", f"@{file}")
        return answer["ID"] if isinstance(answer, dict) else None

    def push(self, instance: str) -> bool:
        """Whether the node took an instance."""
        return self.ask("/modalities/node/store", "-X", "POST", "-d", instance) is not None


@contextlib.contextmanager
def orthanc(folder: Path, inside: Sequence[str], port: int) -> Iterator[Orthanc]:
    """An Orthanc whose neighbour, the node that is tested, listens on 127.0.0.1:port of the same namespace."""
    needs_program("Orthanc", "curl")
    folder.mkdir(exist_ok=True)
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": HTTP,
        "DicomPort": 14242,
        "AuthenticationEnabled": False,
        "Plugins": [],
        "DicomModalities": {"node": ["RADRETRIEVAL", "127.0.0.1", port]},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([*inside, "Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        server = Orthanc(inside)
        deadline = time.monotonic() + PATIENCE
        while server.ask("/system") is None:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.kill()  # in order it takes seconds
        process.wait(PATIENCE)
