"""URIs of files: any name that a file system allows comes back as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.errors import ImageError
from radretrieval.files.uris import to_path, to_uri

NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))


@given(NAMES)
def test_there_and_back(name: bytes) -> None:
    path = Path("/archive") / os.fsdecode(name)
    uri = to_uri(path)
    assert uri.isascii()
    assert to_path(uri) == path


def test_a_relative_path_becomes_absolute() -> None:
    assert to_path(to_uri("a b.png")) == Path.cwd() / "a b.png"


def test_another_kind_of_uri() -> None:
    with pytest.raises(ImageError, match="https://pacs/1, which is not a file"):
        to_path("https://pacs/1")
