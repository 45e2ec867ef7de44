"""What is asked of the operating system, of the database and of the peer, in its order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

Step = tuple[str, str]  # what is done, and the file or folder that it is done to


def record(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Record fsync, rename, unlink, commits, and statuses of C-STORE responses, from here on, in every thread."""
    from radretrieval.dicom.scp import command_set

    steps: list[Step] = []

    def patch(owner: Any, name: str, step: str, of: Callable[..., str | None], after: bool = False) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            where = of(*arguments)
            if after:
                found = real(*arguments, **more)
            if where is not None:
                steps.append((step, where))
            return found if after else real(*arguments, **more)

        monkeypatch.setattr(owner, name, call)

    # each is noted once it is done, but an answer, which the peer may act upon at once
    patch(os, "fsync", "fsync", lambda handle: os.readlink(f"/proc/self/fd/{handle}"), after=True)
    patch(os, "replace", "rename", lambda source, target: str(target), after=True)
    patch(os, "unlink", "unlink", lambda path, **more: str(path), after=True)
    patch(psycopg.Connection, "commit", "commit", lambda connection: "", after=True)
    patch(command_set, "response", "answer", lambda request, status: f"{status:04X}")
    return steps


def order(steps: list[Step], *wanted: Step) -> list[int]:
    """The places of the first occurrence of each step; fails where one is missing."""
    for step in wanted:
        assert step in steps, f"{step} is not among {steps}"
    return [steps.index(step) for step in wanted]


def names_to_the_disk(path: Path, top: Path) -> list[Step]:
    """What brings the name of a file and those of its folders to the disk, up to `top` in its folder."""
    folders = [path.parent, *path.parent.parents]
    return [("fsync", str(folder)) for folder in folders[: folders.index(top.parent) + 1]]
