"""Uploads are kept for their user alone, within bytes and time."""

from __future__ import annotations

import numpy as np
import pytest

from radretrieval.errors import NotInArchive
from radretrieval.imaging import Radiograph
from radretrieval.search.query import QueryFile
from radretrieval.serve.films import made_film
from radretrieval.serve.uploads import Uploads

RADIOGRAPH = Radiograph(np.zeros((100, 50), np.float32), "png", 8, "MONOCHROME2")
FILM = made_film(RADIOGRAPH)


def file(size: int = 10_000) -> QueryFile:
    return QueryFile("film.png", bytes(size), RADIOGRAPH)


def test_an_upload_is_its_users_alone() -> None:
    uploads = Uploads(10**6, 60)
    mine, other = uploads.add("me", file(), FILM), uploads.add("me", file(), FILM)
    assert mine.token != other.token
    assert len(mine.token) >= 32
    assert uploads.get("me", mine.token) is mine
    for user, token in (("you", mine.token), ("me", "guess")):
        with pytest.raises(NotInArchive, match="upload the file again"):
            uploads.get(user, token)


def test_the_least_recently_used_go_first_and_the_last_one_stays() -> None:
    size = Uploads(1, 60).add("me", file(), FILM).size
    assert 30_000 < size < 40_000  # the file, its pixels, and a film without contrast
    uploads = Uploads(3 * size, 60)
    first, second, third = (uploads.add("me", file(), FILM).token for _ in range(3))
    uploads.get("me", first)
    uploads.add("me", file(), FILM)
    uploads.get("me", first)
    uploads.get("me", third)
    with pytest.raises(NotInArchive):
        uploads.get("me", second)
    large = uploads.add("me", file(10**6), FILM)
    assert uploads.get("me", large.token) is large
    with pytest.raises(NotInArchive):
        uploads.get("me", first)


def test_what_is_not_used_for_so_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads, now = Uploads(10**6, 60), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    used, unused = uploads.add("me", file(), FILM).token, uploads.add("me", file(), FILM).token
    now[0] += 50
    uploads.get("me", used)
    now[0] += 50
    uploads.get("me", used)
    with pytest.raises(NotInArchive):
        uploads.get("me", unused)
