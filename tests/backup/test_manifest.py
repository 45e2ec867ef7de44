"""Manifests that somebody else wrote, and backups with what is no file: refused, without an end that does not come."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from radretrieval.backup.manifest import FILES, NAME, Manifest, listed
from radretrieval.backup.store_files import sha256_of
from radretrieval.errors import UsageError

RUN = "20261128T184200Z"


def manifest(**changes: Any) -> Manifest:
    """A sound one, with these values."""
    texts = ("made_at", "version", "archive", "revision", "server_version", "pgvector_version", "pgvector_schema")
    counts = ("server", "program", "database_bytes", "store_files", "store_bytes", "elsewhere")
    plain = dict.fromkeys(texts, "x") | dict.fromkeys(counts, 1)
    tables = {"image": {"rows": 1, "digest": "1"}}
    made = plain | {"folder": RUN, "files_sha256": "0" * 64, "tables": tables, "encoders": [], "answers": {"1": []}}
    return Manifest(**(made | changes))  # type: ignore[arg-type]


def test_a_sound_one_is_read(tmp_path: Path) -> None:
    manifest().write(tmp_path)
    assert Manifest.read(tmp_path) == manifest()


@pytest.mark.parametrize(
    "changes",
    [
        *({"folder": folder} for folder in ("..", "/etc", "../20261128T184200Z", "", 1)),
        *({"server": value} for value in ("18", None, 1.5, True)),
        {"version": ["\x1b[2J"]},
        {"tables": {"image": {"rows": "1; DROP TABLE image"}}},
        {"tables": []},
        {"answers": {"1 OR 1=1": []}},
        {"answers": {"1": "x"}},
        {"files_sha256": None},
    ],
)
def test_values_of_another_kind_are_damage(tmp_path: Path, changes: dict[str, Any]) -> None:
    manifest(**changes).write(tmp_path)
    with pytest.raises(UsageError, match="is damaged"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"backup": ' + "9" * 10_000 + "}", "{}", "", "null"])
def test_other_documents_are_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UsageError, match="is damaged"):
        Manifest.read(tmp_path)


def test_a_pipe_or_a_device_in_it_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir()
    os.mkfifo(tmp_path / RUN / FILES)
    with pytest.raises(UsageError, match="missing or damaged"):
        list(listed(tmp_path, manifest()))
    with pytest.raises(OSError, match="not a regular file"):
        sha256_of(Path("/dev/zero"))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "store/../../x", f"{RUN}/database/../x", "a\x1b[2J"]
)
def test_a_list_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / RUN).mkdir()
    line = f"{'0' * 64}  {name}\n".encode()
    (tmp_path / RUN / FILES).write_bytes(line)
    with pytest.raises(UsageError, match="no file of a backup") as refused:
        list(listed(tmp_path, manifest(files_sha256=hashlib.sha256(line).hexdigest())))
    assert str(refused.value).isprintable()
    assert json.dumps(str(refused.value)).isascii()
