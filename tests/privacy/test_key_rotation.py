"""A rotated key: each patient stays one patient, whoever is killed when, and nobody goes on with the old key."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run, clean_environment

from radretrieval.archive import images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.privacy.pseudonyms import load_secret, patient_key, pending_file

PATIENTS = ["4711", "4711", "4712", None]
# what is killed: before it, or after it, the process ends as by kill -9
STEPS = {
    "before the next key is written": ("pseudonyms", "write_pending", True),
    "after it is written": ("pseudonyms", "write_pending", False),
    "before the pseudonyms": ("patient_keys", "replace", True),
    "before the commit": ("patient_keys", "replace", False),
    "after the commit": ("pseudonyms", "install_pending", True),
    "at the end": ("pseudonyms", "install_pending", False),
}
KILLED = """
import os, sys
from radretrieval.archive import patient_keys
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.privacy import key_rotation, pseudonyms
module, name, before = {"pseudonyms": pseudonyms, "patient_keys": patient_keys}[sys.argv[1]], sys.argv[2], sys.argv[3]
real = getattr(module, name)
def killed(*given):
    if before == "False":
        real(*given)
    os.kill(os.getpid(), 9)
setattr(module, name, killed)
key_rotation.rotate(Database(os.environ["RADRETRIEVAL_DATABASE_URL"]), Settings())
"""


@pytest.fixture
def home(tmp_path: Path, database: Database) -> Path:
    """A home with a key, and images of its patients in the archive."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "patient.key").write_bytes(b"o" * 32)
    with database.connection() as connection:
        rows = [
            NewImage(
                bytes([i]) * 32, f"file:///{i}", "png", 1, 1, 8, "MONOCHROME2", patient_key=_key(tmp_path, patient)
            )
            for i, patient in enumerate(PATIENTS)
        ]
        images.add(connection, rows)
    return tmp_path / "home"


def _key(folder: Path, patient: str | None) -> str | None:
    secret = (folder / "home" / "patient.key").read_bytes().strip()
    return None if patient is None else patient_key(secret, patient)


def _stored(database: Database) -> list[str | None]:
    with database.connection() as connection:
        return [row["patient_key"] for row in connection.execute("SELECT patient_key FROM image ORDER BY id")]


def test_every_patient_gets_a_new_pseudonym_and_stays_one(
    home: Path, database: Database, inside: Callable[..., Run], tmp_path: Path
) -> None:
    before = _stored(database)
    for keys in (2, 3):
        done = inside("patient-key", "rotate", "--json").json
        assert done == {"patients": 2, "images": 3, "keys": keys, "finished": False}
        after = _stored(database)
        assert after == [_key(tmp_path, patient) for patient in PATIENTS]
        assert not {*before} & {*after} - {None}
        assert sorted(path.name for path in home.iterdir()) == ["patient.key"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_is_finished_by_the_next_run(
    step: str, home: Path, database: Database, archive_url: str, inside: Callable[..., Run], tmp_path: Path
) -> None:
    module, name, before = STEPS[step]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, module, name, str(before)],
        env=clean_environment(home, archive_url),
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    waits = pending_file(home / "patient.key").exists()
    assert waits == (step not in ("before the next key is written", "at the end"))
    if waits:
        with pytest.raises(EnvironmentUnusable, match="patient-key rotate"):
            load_secret(Settings(home=home.with_name("other"), patient_key_file=_copied(home)))
    else:
        assert _stored(database) == [_key(tmp_path, patient) for patient in PATIENTS]
    done = inside("patient-key", "rotate", "--json").json
    assert done["finished"] == (step == "after the commit")
    assert _stored(database) == [_key(tmp_path, patient) for patient in PATIENTS]
    assert not pending_file(home / "patient.key").exists()


def _copied(home: Path) -> Path:
    """Both key files elsewhere: this process must not hold those of the test's rotation."""
    other = home.with_name("other")
    other.mkdir()
    for path in (home / "patient.key", pending_file(home / "patient.key")):
        (other / path.name).write_bytes(path.read_bytes())
    return other / "patient.key"


def test_nobody_rotates_under_an_ingestion(
    home: Path, database: Database, archive_url: str, inside: Callable[..., Run], tmp_path: Path
) -> None:
    before = _stored(database)
    with database.connection() as connection:
        images.lock_ingestion(connection)
        refused = inside("patient-key", "rotate", check=False)
        assert refused.returncode == 3
        assert "an ingestion is writing" in refused.stderr
    code = "import sys; from radretrieval.config import Settings\n"
    code += "from radretrieval.privacy.pseudonyms import load_secret\n"
    code += "load_secret(Settings()); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    user = clean_environment(home, archive_url)
    with subprocess.Popen(command, env=user, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused = inside("patient-key", "rotate", check=False)
        process.communicate(b"", timeout=30)
    assert refused.returncode == 3
    assert "other processes use the key" in refused.stderr
    assert _stored(database) == before
    inside("patient-key", "rotate")


def test_who_has_the_old_key_writes_nothing(
    home: Path, database: Database, inside: Callable[..., Run], tmp_path: Path
) -> None:
    import numpy as np
    from PIL import Image

    old = tmp_path / "old.key"
    old.write_bytes((home / "patient.key").read_bytes())
    inside("patient-key", "rotate")
    before = _stored(database)
    (tmp_path / "films").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "films" / "a.png")
    (tmp_path / "labels.csv").write_text("file,patient_id\nfilms/a.png,4711\n")
    ingest = ("ingest", tmp_path / "films", "--labels", tmp_path / "labels.csv")
    refused = inside(*ingest, check=False, RADRETRIEVAL_PATIENT_KEY_FILE=str(old))
    assert refused.returncode == 3
    assert "is not the archive's" in refused.stderr
    assert _stored(database) == before
    refused = inside("patient-key", "rotate", check=False, RADRETRIEVAL_PATIENT_KEY_FILE=str(old))
    assert refused.returncode == 3
    inside(*ingest)
    assert _stored(database)[-1] == before[0]


def test_a_key_that_cannot_be_replaced_is_told_before_anything_is_written(
    home: Path, database: Database, inside: Callable[..., Run]
) -> None:
    before = _stored(database)
    refused = inside("patient-key", "rotate", check=False, RADRETRIEVAL_PATIENT_KEY="k" * 32)
    assert refused.returncode == 2
    assert "RADRETRIEVAL_PATIENT_KEY_FILE" in refused.stderr
    refused = inside("patient-key", "rotate", check=False, RADRETRIEVAL_PATIENT_KEY_FILE=str(home / "nowhere"))
    assert refused.returncode == 3
    assert _stored(database) == before
