"""The store: what is put and kept there piece by piece."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from radretrieval.storage import content_store
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.draft import IN_MEMORY


@pytest.mark.parametrize("size", [10, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_a_file_that_comes_in_pieces_is_kept_under_its_hash(tmp_path: Path, size: int) -> None:
    store = ContentStore(tmp_path / "store")
    data = bytes(number % 251 for number in range(size))
    draft = store.draft()
    for start in range(0, size, 100_000):
        draft.write(data[start : start + 100_000])
    assert draft.sha256 == sha256(data).digest()
    path = store.path(draft.sha256)
    store.keep(draft)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()  # with the last use of an earlier copy, before the row is committed
    store.keep(draft)
    assert path.read_bytes() == data
    path.write_bytes(data[:-1])  # damaged
    store.keep(draft)
    assert path.read_bytes() == data
    draft.close()
    assert [one for one in store.folder.rglob("*") if one.is_file()] == [path]
    assert store.put(data) == draft.sha256


@pytest.mark.parametrize("way", ["put", "keep"])
def test_a_file_that_an_intake_takes_at_that_moment_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    store = ContentStore(tmp_path / "store")
    path = store.path(store.put(b"a film"))

    def taken(file: Path) -> None:
        file.unlink()
        raise FileNotFoundError(file)

    monkeypatch.setattr(content_store, "sync_file", taken)
    if way == "put":
        store.put(b"a film")
    else:
        draft = store.draft()
        draft.write(b"a film")
        store.keep(draft)
        draft.close()
    assert path.read_bytes() == b"a film"
