"""Searches that are read from a standby: the primary confirms an answer before anybody gets it.

A standby is behind its primary, by milliseconds or for long. The statement on the primary that adds the row of an
answer to the audit looks whether the encoder is as the standby had it, whether all images of the answer are there and
not withdrawn, and whether the standby is close enough. Where one is not so, there is no row, and the search is done
again on the primary; so it is where the standby is lost, or cancels a search for its replication. What does not go
through `from_reader` reads from the primary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from radretrieval.archive import audit, connections, readers
from radretrieval.archive.audit import Outcome
from radretrieval.archive.urls import redacted
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, UsageError
from radretrieval.logs import Log
from radretrieval.search.recorded import recorded
from radretrieval.search.request import Answer, Request
from radretrieval.search.searcher import Searcher

log = Log(__name__)

T = TypeVar("T")

REST_SECONDS = 30.0  # after a standby was of no use: to try it costs seconds where it does not answer
_resting: dict[str, float] = {}  # until when, by URL: all searchers of this process leave it alone

_STALE = {
    "encoder": "it has another state of the encoder than the primary",
    "image": "it has an image that was withdrawn or forgotten on the primary",
    "lag": f"it is more than {readers.LAG_SECONDS:.0f} s behind the primary",
}


class StaleError(Exception):
    """An answer that the primary does not confirm."""


class ReaderSearcher(Searcher):
    """A searcher on a standby, of the same archive, encoder and networks as one on the primary."""

    position: readers.Position
    followed = float("-inf")  # when the standby was last found to have all that the primary had written

    def __init__(self, primary: Searcher) -> None:
        reader = primary.database.reader
        assert reader is not None, "who has none does not come here"
        settings, device, encoder_id = primary.settings, primary.device, primary.encoder_id
        super().__init__(reader, settings, device, encoder_id, coders=primary.coders, films=primary.films)
        self.source = primary.source
        self.primary = primary

    def __enter__(self) -> ReaderSearcher:
        super().__enter__()
        try:
            readers.check(self.connection, self.primary.connection)
            self.position = readers.position(self.connection)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def follow(self) -> bool:
        """Wait a moment for the standby to have all that the primary has written by now, and say whether it has."""
        begun = time.monotonic()
        with suppress(psycopg.Error, EnvironmentUnusable):
            if readers.lag(self.connection, self.primary.connection)[0] == 0:
                self.followed = begun
                return True
        return False

    def read(self, answer: Answer) -> audit.Read:
        """What an answer was read from; its images are all that it shows or was refined by."""
        asked = answer.request
        shown = {answer.query_image_id, *asked.relevant, *asked.not_relevant, *(hit.image_id for hit in answer.hits)}
        images = ",".join(str(one) for one in shown if one is not None)
        asked_for, limit = (self.encoder_id, self.encoder.state), readers.LAG_SECONDS
        recently = time.monotonic() - self.followed < limit
        return audit.Read(*asked_for, f"{{{images}}}", *self.position, seconds=limit, followed=recently)


def begin_row(searcher: Searcher, who: str, answer: Answer, asked: audit.Asked | None = None) -> Callable[[], Outcome]:
    """Begin the row of an answer in the audit, on the primary: `audit.begin`, which see.

    What is returned raises StaleError where an answer was read from a standby and is not confirmed, and
    DatabaseUnavailable where the primary takes no writes at present, and standbys are read from.
    """
    read = searcher.read(answer) if isinstance(searcher, ReaderSearcher) else None
    primary = searcher.primary if isinstance(searcher, ReaderSearcher) else searcher
    url = primary.database.url
    with connections.database_errors(url):
        wait = audit.begin(primary.connection, who, "search", recorded(answer), read or asked)

    def finish() -> Outcome:
        with connections.database_errors(url):
            outcome = wait()
            if read is not None and outcome is not Outcome.ADDED:
                reason = audit.stale(primary.connection, read)
                if reason is not None or outcome is Outcome.STALE:
                    raise StaleError(_STALE[reason or "lag"])
        if outcome is Outcome.READ_ONLY and primary.database.reader is not None:
            raise DatabaseUnavailable(
                f"the database at {redacted(url)} takes no writes at present, and no answer is given without its row "
                "in the audit: RADRETRIEVAL_DATABASE_URL must lead to the primary (target_session_attrs=read-write); "
                "where a failover is under way, run it again afterwards"
            )
        return outcome

    return finish


def answered(searcher: Searcher, request: Request, who: str) -> Answer:
    """The answer to a request, once its row is in the audit."""
    answer = searcher.search(request)
    begin_row(searcher, who, answer)()
    return answer


def from_reader(searcher: Searcher, attempt: Callable[[Searcher], T]) -> T | None:
    """What `attempt` makes by a searcher on a standby, its row of the audit included.

    None where the searcher of the primary has to do it: there is no standby, it cannot be used, it did not confirm, or
    it gave an error, which may be one only there. What is not confirmed is tried once more where the standby needs but
    a moment to have all that the primary has.
    """
    for again in (False, True):
        reader = _ready(searcher, again)
        if reader is None:
            return None
        try:
            return attempt(reader)
        except StaleError as error:
            if again or not reader.follow():
                _rest(searcher, error)
                return None
        except UsageError:  # the primary may have the image that was named, or says the same
            _drop(searcher)  # it may be because of an encoder that is not there any more
            return None
        except (EnvironmentUnusable, psycopg.Error) as error:
            if not searcher.connection.closed:  # else the primary was lost
                _rest(searcher, error)
            _drop(searcher)
            return None
    return None


def _ready(searcher: Searcher, again: bool) -> ReaderSearcher | None:
    """The searcher's own on a standby, which knows how far that is; None where none can be used.

    Parameters
    ----------
    again : whether its encoder is read anew, which takes longer: the primary has looked and found another.
    """
    database = searcher.database.reader
    if database is None or time.monotonic() < _resting.get(database.url, 0.0):
        return None
    try:
        kept = searcher.reader
        if isinstance(kept, ReaderSearcher):
            kept.position = readers.position(kept.connection)
            if not again or kept.refresh():
                return kept
            _drop(searcher)
        searcher.reader = made = ReaderSearcher(searcher).__enter__()
        return made
    except (EnvironmentUnusable, psycopg.Error) as error:
        _rest(searcher, error)
        _drop(searcher)
    return None


def _drop(searcher: Searcher) -> None:
    reader, searcher.reader = searcher.reader, None
    if reader is not None:
        with suppress(Exception):  # of a connection that was lost
            reader.__exit__(None, None, None)


def _rest(searcher: Searcher, error: Exception) -> None:
    """Leave the standbys alone for a while, and say why."""
    database = searcher.database.reader
    assert database is not None, "it was tried"
    _resting[database.url] = time.monotonic() + REST_SECONDS
    log.warning(
        "reader_left_out",
        "searches are read from the primary for %(seconds)g s, not from %(reader)s (RADRETRIEVAL_READ_URL): %(reason)s",
        seconds=REST_SECONDS,
        reader=redacted(database.url),
        reason=readers.reason(error),
    )
