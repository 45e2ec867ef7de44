"""The keys of an archive, kept apart from its backup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radretrieval.backup import keys
from radretrieval.backup.keys import Keys, read_passphrase
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError

PASSPHRASE = b"correct horse battery"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivation that does not take half a second."""
    monkeypatch.setitem(keys._COST, "n", 2**10)


@pytest.fixture
def host(tmp_path: Path) -> Settings:
    """A host with a key of each kind."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "patient.key").write_text("patient" * 5 + "\n")
    (home / "export.key").write_text("export" * 6)
    (tmp_path / "path.key").write_bytes(b"\xff" * 32)
    return Settings(home=home, path_key_file=tmp_path / "path.key")


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_keys_come_back_and_nobody_else_can_read_them(passphrase: bytes | None, host: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    Keys.of(host).write(file, passphrase)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (b"patientpatient" in file.read_bytes()) is False
    other = Settings(home=tmp_path / "other", path_key_file=tmp_path / "other" / "hidden" / "path.key")
    found = Keys.read(file, passphrase)
    found.check(other)
    found.install(other)
    for name in ("patient.key", "export.key"):
        assert (other.home / name).read_bytes() == (host.home / name).read_bytes()
        assert (other.home / name).stat().st_mode & 0o777 == 0o600
    assert other.path_key_file is not None
    assert other.path_key_file.read_bytes() == b"\xff" * 32
    found.check(other)  # equal keys are no obstacle


def test_a_wrong_passphrase_and_a_changed_byte_are_refused(host: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    Keys.of(host).write(file, PASSPHRASE)
    with pytest.raises(UsageError, match="is encrypted; name the file of its passphrase"):
        Keys.read(file, None)
    with pytest.raises(UsageError, match="under another passphrase, or is damaged"):
        Keys.read(file, b"another passphrase")
    document = json.loads(file.read_text())
    document["ciphertext"] = document["ciphertext"][:-8] + "AAAAAAA="
    file.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="under another passphrase, or is damaged"):
        Keys.read(file, PASSPHRASE)
    file.write_text("letters")
    with pytest.raises(UsageError, match="holds no keys of radretrieval"):
        Keys.read(file, PASSPHRASE)


def test_no_key_is_replaced_and_each_has_a_place(host: Settings, tmp_path: Path) -> None:
    found = Keys.of(host)
    other = Settings(home=tmp_path / "other")
    with pytest.raises(UsageError, match="RADRETRIEVAL_PATH_KEY_FILE"):
        found.check(other)
    other.home.mkdir()
    (other.home / "patient.key").write_text("another" * 5)
    with pytest.raises(UsageError, match=r"patient\.key is another key than that of the backup"):
        found.check(other)


def test_a_rotation_that_is_not_finished_is_no_moment_for_it(host: Settings) -> None:
    (host.home / "patient.key.next").write_text("next" * 9)
    with pytest.raises(EnvironmentUnusable, match="patient-key rotate"):
        Keys.of(host)


def test_a_file_of_something_else_is_not_written_over(host: Settings, tmp_path: Path) -> None:
    """As where the key itself, or the file of the passphrase, is named with --keys."""
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    for file in (host.home / "patient.key", tmp_path / "passphrase"):
        before = file.read_bytes()
        with pytest.raises(UsageError, match="holds no keys of a backup"):
            Keys.of(host).write(file, PASSPHRASE)
        assert file.read_bytes() == before
    for passphrase in (None, PASSPHRASE):  # older ones are replaced
        Keys.of(host).write(tmp_path / "keys", passphrase)
    assert Keys.read(tmp_path / "keys", PASSPHRASE) == Keys.of(host)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hospital\n")
    with pytest.raises(UsageError, match="shorter than 12"):
        read_passphrase(tmp_path / "word")
    (tmp_path / "word").write_text("correct horse battery\nnot this line\n")
    assert read_passphrase(tmp_path / "word") == PASSPHRASE
