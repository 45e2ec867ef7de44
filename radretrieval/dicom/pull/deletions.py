"""Deletions: which images a peer has no more."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any

from radretrieval.archive import pull_state
from radretrieval.archive.connections import Database
from radretrieval.archive.pull_state import Mark
from radretrieval.dicom.pull.source import Peer, Study

PAGE = 1000
EVERY = timedelta(days=1)


def reconcile(database: Database, peer: Peer, pool: Executor, advance: Callable[[int], None]) -> tuple[int, int]:
    """Note which images of a peer it has no more, and which are there again; nothing is deleted.

    Each study of which there are images is listed, one question each, and what is not in the list is asked for alone.
    Only when every answer has come is anything written: a peer that fails, or tells only a part, makes nothing gone.

    Returns
    -------
    How many images were found gone, and back. Raises PeerUnusable, NotListed.
    """
    gone: list[int] = []
    back: list[int] = []
    after = 0
    while True:
        with database.connection() as connection:
            rows = pull_state.of_origin(connection, peer.origin, after, PAGE)
        if not rows:
            break
        after = rows[-1]["id"]
        studies: dict[str | None, list[dict[str, Any]]] = {}
        for row in rows:
            studies.setdefault(row["study_instance_uid"], []).append(row)
        for there, images in pool.map(lambda item: (_there(peer, *item), item[1]), studies.items()):
            gone += [row["id"] for row in images if row["gone_at"] is None and row["sop_instance_uid"] not in there]
            back += [row["id"] for row in images if row["gone_at"] is not None and row["sop_instance_uid"] in there]
            advance(len(images))
    with database.connection() as connection:
        found = pull_state.found_gone(connection, gone, True), pull_state.found_gone(connection, back, False)
        pull_state.keep_mark(connection, peer.origin, "", Mark(reconciled_at=datetime.now(UTC)))
    return found


def _there(peer: Peer, study: str | None, images: list[dict[str, Any]]) -> set[str]:
    """Which of these images of a study the peer has."""
    listed = {one.uid for one in peer.instances(Study(study))} if study is not None else set()
    wanted = {str(row["sop_instance_uid"]) for row in images}
    # a list may be shorter than the truth: a server's own limit, a study that was merged into another
    return (wanted & listed) | {uid for uid in wanted - listed if peer.has(uid, study)}
