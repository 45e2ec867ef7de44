"""Searches are rows of the audit; a role that may not write searches all the same."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path
from typing import Any

import pytest
from filled import fill
from PIL import Image

import radretrieval as rr
from radretrieval.archive.connections import Database
from radretrieval.config import Settings


@pytest.fixture
def filled(database: Database) -> Database:
    with database.connection() as connection:
        fill(connection, 30)
    return database


def noted(database: Database) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        rows = connection.execute("SELECT who, action, detail FROM audit ORDER BY id")
        return [tuple(row.values()) for row in rows]


def test_a_search_is_a_row(
    filled: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")
    settings.database_url = filled.url
    Image.new("L", (9, 8)).save(tmp_path / "film.png")
    with rr.open_archive(settings=settings) as archive:
        answer = archive.search(7, top=3, where={"modality": "CR"}, exclude_same_patient=True, relevant=[9])
        archive.search(tmp_path / "film.png", top=1, device="cpu")
        archive.search_many(None, top=2).write(tmp_path / "hits.csv")
    encoder = answer.encoder_id
    asked = {"top": 3, "where": ["modality=CR"], "exclude_same_patient": True, "relevant": [9]}
    first, second, third = noted(filled)
    assert first == (pwd.getpwuid(os.getuid()).pw_name, "search", {
        "query_image_id": 7, "query_sha256": None, "encoder_id": encoder, "parameters": asked,
        "hits": [hit.image_id for hit in answer.hits],
    })  # fmt: skip
    assert (second[2]["query_image_id"], len(second[2]["query_sha256"])) == (None, 64)
    assert third[1:] == ("search many", {"encoder_id": encoder, "parameters": {"top": 2}, "all": True})


def test_who_may_not_write_searches_without_a_row(filled: Database, settings: Settings) -> None:
    reader = f"reader_{secrets.token_hex(4)}"
    with filled.connection() as connection:
        connection.execute(f"CREATE ROLE {reader}; GRANT USAGE ON SCHEMA radretrieval TO {reader}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO {reader}")
    try:
        for options in (f"-crole%3D{reader}", "-cdefault_transaction_read_only%3Don"):
            settings.database_url = f"{filled.url}{'&' if '?' in filled.url else '?'}options={options}"
            with rr.open_archive(settings=settings) as archive:
                assert archive.search(7, top=3).returned == 3
        assert noted(filled) == []
    finally:
        with filled.connection() as connection:
            connection.execute(f"DROP OWNED BY {reader}; DROP ROLE {reader}")
