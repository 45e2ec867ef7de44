"""The inputs of a run that failed, as its report lists them."""

from __future__ import annotations

from collections.abc import Iterable

from radretrieval.files.text import printable


class FailureList(list[dict[str, str]]):
    """Failures in the form of the JSON reports: path, error (its kind), message; the first `limit` of them.

    Parameters
    ----------
    failures : failures in that form, all of which are kept.
    limit : how many `add` and `merge` keep; None for all.

    Attributes
    ----------
    total : how many there were, kept or not.
    """

    def __init__(self, failures: Iterable[dict[str, str]] = (), limit: int | None = None) -> None:
        super().__init__(failures)
        self.limit = limit
        self.total = len(self)

    def add(self, path: str, error: Exception | str, message: str | None = None) -> dict[str, str]:
        """Count a failure, keep it below the limit, and return it.

        Parameters
        ----------
        path : the input; an image's URI is given as `shown(uri)`.
        error : what was raised, or the name of a kind of failure.
        message : None for the text of `error`, or its class where it has no text.
        """
        kind = error if isinstance(error, str) else type(error).__name__
        text = (str(error) or kind) if message is None else message
        failure = {"path": printable(path), "error": kind, "message": printable(text)}
        self._keep([failure], 1)
        return failure

    def merge(self, other: FailureList) -> None:
        """Count the failures of another run too, and keep what the limit leaves room for."""
        self._keep(other, other.total)

    @classmethod
    def first_thousand(cls) -> FailureList:
        """A list for runs that may have any number of failures."""
        return cls(limit=1000)

    def _keep(self, failures: list[dict[str, str]], total: int) -> None:
        self.total += total
        self.extend(failures if self.limit is None else failures[: max(0, self.limit - len(self))])
