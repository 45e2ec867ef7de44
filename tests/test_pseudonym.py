"""Pseudonyms: one patient one key, no way back, and a key file that is made once and kept private."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.pseudonym import load_secret, patient_key


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


def test_a_named_key_must_be_there_and_long(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_PATIENT_KEY_FILE"):
        load_secret(Settings(home=tmp_path, patient_key_file=key))
    key.write_text("short")
    with pytest.raises(EnvironmentUnusable, match="shorter than 16 bytes"):
        load_secret(Settings(home=tmp_path, patient_key_file=key))
