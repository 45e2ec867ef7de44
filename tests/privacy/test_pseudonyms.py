"""Pseudonyms: one patient one key, no way back, and a key file that is made once and kept private."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.privacy.pseudonyms import extended, keys_of, load_secret, patient_key, rekeyed


def test_one_patient_one_key() -> None:
    secret = b"s" * 32
    assert patient_key(secret, "4711") == patient_key(secret, " 4711 ")
    assert patient_key(secret, "4711") != patient_key(secret, "4712")
    assert patient_key(secret, "4711") != patient_key(b"t" * 32, "4711")
    assert len(patient_key(secret, "4711")) == 32
    assert "4711" not in patient_key(secret, "4711")


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(8) as threads:
        secrets = set(threads.map(lambda _: load_secret(settings), range(32)))
    assert len(secrets) == 1
    assert stat.S_IMODE((tmp_path / "home" / "patient.key").stat().st_mode) == 0o600
    assert len(list((tmp_path / "home").iterdir())) == 1


def test_field_07_nobody_else_may_write_to_the_folder_of_a_new_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_secret(Settings(home=tmp_path / "site" / "home"))
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("site", "site/home")] == [0o755, 0o755]


def test_a_named_key_must_be_there_and_long(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_PATIENT_KEY_FILE"):
        load_secret(Settings(home=tmp_path, patient_key_file=key))
    key.write_text("short")
    with pytest.raises(EnvironmentUnusable, match="shorter than 16 bytes"):
        load_secret(Settings(home=tmp_path, patient_key_file=key))


@pytest.mark.parametrize("name", ["RADRETRIEVAL_PATIENT_KEY", "radretrieval_patient_key"])
def test_a_key_in_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    Settings(home=tmp_path)
    monkeypatch.setenv(name, "e" * 32)
    with pytest.raises(UsageError, match="RADRETRIEVAL_PATIENT_KEY_FILE") as refused:
        Settings(home=tmp_path)
    assert "eeee" not in str(refused.value)
    assert not (tmp_path / "patient.key").exists()


def test_a_key_that_was_in_the_environment_makes_the_same_pseudonyms_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("e" * 32 + "\n")
    assert load_secret(Settings(home=tmp_path, patient_key_file=tmp_path / "key")) == b"e" * 32


def test_a_chain_makes_new_pseudonyms_of_identifiers_and_of_old_pseudonyms_alike() -> None:
    secret = b"old\nkey: of 16 bytes or more"
    old = patient_key(secret, "4711")
    for _ in range(3):
        secret = extended(secret)
        old = rekeyed(keys_of(secret)[-1], old)
        assert patient_key(secret, " 4711") == old
    assert len(keys_of(secret)) == 4
    with pytest.raises(EnvironmentUnusable, match="damaged"):
        patient_key(secret + b"x", "4711")
