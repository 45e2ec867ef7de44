"""A store that goes away while it is written to, as one that is unmounted: its mount point is an empty folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from radretrieval.errors import StoreUnavailable
from radretrieval.storage import content_store
from radretrieval.storage.content_store import ContentStore


def unmount(store: Path) -> Path:
    """Where the store's folder is now; an empty one has its name."""
    away = store.rename(store.with_name("away"))
    store.mkdir()
    return away


def mount(store: Path, away: Path) -> None:
    store.rmdir()
    away.rename(store)


def put(store: ContentStore, data: bytes) -> None:
    store.put(data)


def keep(store: ContentStore, data: bytes) -> None:
    draft = store.draft()
    draft.write(data)
    store.keep(draft)
    draft.close()


@pytest.mark.parametrize("write", [put, keep])
def test_nothing_is_written_to_the_mount_point(tmp_path: Path, write: Any) -> None:
    store = ContentStore(tmp_path / "store")
    write(store, b"first")
    away = unmount(store.folder)
    for data in (b"second", b"first"):
        with pytest.raises(StoreUnavailable, match=f"the store {store.folder} went away"):
            write(store, data)
        with pytest.raises(StoreUnavailable):
            write(ContentStore(store.folder), data)  # another object of this process
    assert not list(store.folder.iterdir())
    mount(store.folder, away)
    write(store, b"second")
    store.folder.rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable):
        write(store, b"third")


@pytest.mark.parametrize("write", [put, keep])
def test_a_store_that_goes_during_a_write_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    store = ContentStore(tmp_path / "store")
    write(store, b"first")
    make_folders = content_store.StoreAccess.make_folders

    def late(*arguments: Any) -> None:
        unmount(store.folder)
        make_folders(*arguments)

    monkeypatch.setattr(content_store.StoreAccess, "make_folders", late)
    with pytest.raises(StoreUnavailable):
        write(store, b"second")


def test_a_store_on_another_device_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    sha256 = store.put(b"first")
    store.take(sha256)  # the file may be gone; folders stay
    away = unmount(store.folder)
    shutil.copytree(away, store.folder, dirs_exist_ok=True)
    store.put(b"second")
    shutil.rmtree(away)
    assert store.path(sha256).parent.is_dir()
