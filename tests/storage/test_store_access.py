"""Who may read the store, whatever the umask is, and what verify says of a store that is open to others."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from radretrieval.errors import UsageError
from radretrieval.storage.content_store import ContentStore


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def group() -> int:
    """A group that this process may give files to; another one than its own, where there is one."""
    others = [4711] if os.geteuid() == 0 else [one for one in os.getgroups() if one != os.getegid()]
    return [*others, os.getegid()][0]


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """The permissions of the folders, `folder` too, and of the files in them."""
    paths = [folder, *folder.rglob("*")]
    found = [{path.stat().st_mode & 0o7777 for path in paths if path.is_dir() == kind} for kind in (True, False)]
    return found[0], found[1]


def put_some(store: ContentStore) -> None:
    store.put_reduced(store.put(b"a film"), np.zeros((4, 4), np.float32), 4)


def test_field_07_only_the_owner_reads_the_store(umask: int, tmp_path: Path) -> None:
    put_some(ContentStore(tmp_path / "home" / "store"))
    assert modes(tmp_path / "home" / "store") == ({0o700}, {0o600})
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o777 & ~umask, "the folder of a site stays as it makes it"


def test_field_07_a_group_reads_it_where_one_is_named(umask: int, group: int, tmp_path: Path) -> None:
    put_some(ContentStore(tmp_path / "store", str(group)))
    assert modes(tmp_path / "store") == ({0o2750}, {0o640})
    assert {path.stat().st_gid for path in (tmp_path / "store", *(tmp_path / "store").rglob("*"))} == {group}


def test_field_07_a_group_that_cannot_be_given_files_is_refused(tmp_path: Path, inside: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="no such group"):
        ContentStore(tmp_path, "no-such-group-here")
    (tmp_path / "films").mkdir()
    refused = inside("ingest", tmp_path / "films", check=False, RADRETRIEVAL_STORE_GROUP="no-such-group-here")
    assert refused.returncode == 2
    assert "RADRETRIEVAL_STORE_GROUP" in refused.stderr


def test_field_07_verify_names_what_is_wider_and_how_to_close_it(
    tmp_path: Path, group: int, inside: Callable[..., Run]
) -> None:
    films, store = tmp_path / "films", tmp_path / "sto re"
    films.mkdir()
    for number, keep in enumerate(("copy", "reduced")):
        Image.fromarray(np.full((9, 9), number, np.uint8)).save(films / f"{number}.png")
        inside("ingest", films, RADRETRIEVAL_KEEP=keep, RADRETRIEVAL_STORE=str(store))
    assert modes(store) == ({0o700}, {0o600})
    options = {"RADRETRIEVAL_STORE": str(store)}
    assert inside("verify", "--json", **options).json["wider"] == 0

    file = next(path for path in store.rglob("*") if path.is_file())
    file.chmod(0o604)
    store.chmod(0o710)
    (store / "link").symlink_to(file)  # its permissions say nothing
    found = inside("verify", "--json", check=False, **options)
    assert (found.returncode, found.json["wider"]) == (1, 2)
    assert found.json["wider_files"] == [str(store), str(file)]
    assert modes(store) == ({0o700, 0o710}, {0o600, 0o604}), "nothing is changed silently"
    told = inside("verify", check=False, **options).stderr
    assert f"others may read or change it: {file}" in told
    assert found.json["repair"] == f"chmod -R u=rwX,go= {shlex.quote(str(store))}"
    assert found.json["repair"] in told
    subprocess.run(found.json["repair"], shell=True, check=True)
    assert inside("verify", "--json", **options).json["repair"] is None

    options["RADRETRIEVAL_STORE_GROUP"] = str(group)
    store.chmod(0o750)
    found = inside("verify", "--json", check=False, **options)
    wrong_group = store.stat().st_gid != group
    assert found.json["wider"] == int(wrong_group), "another group than the named one may read it"
    file.chmod(0o664)
    found = inside("verify", "--json", check=False, **options)
    subprocess.run(found.json["repair"], shell=True, check=True)
    assert modes(store) == ({0o2750}, {0o640})
    file.chmod(0o660)
    found = inside("verify", "--json", check=False, **options)
    assert found.json["wider_files"] == [str(file)], "the group may read, and change nothing"
    file.chmod(0o640)
    assert inside("verify", "--json", **options).json["wider"] == 0
