"""Decoding without processes, which take half a second to start: for tests of what becomes of decoded files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from radretrieval.config import Settings
from radretrieval.ingest import inbox_worker, run


class InThisProcess:
    """A pool of decoding processes that decodes in the caller's thread."""

    def __init__(self, job: Callable[[Any], Any]) -> None:
        self.job = job

    @classmethod
    def of(cls, _: Settings, job: Callable[[Any], Any], __: int | None = None) -> InThisProcess:
        return cls(job)

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        return ((task, self._outcome(task)) for task in tasks)

    def _outcome(self, task: Any) -> Any:
        try:
            return self.job(task)
        except Exception as error:
            return error


def decode_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ingestions and inbox workers decode in their own threads."""
    for module in (inbox_worker, run):
        monkeypatch.setattr(module, "WorkerPool", InThisProcess)
