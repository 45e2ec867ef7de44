"""Deletions: which images a source no longer has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any

from radretrieval.archive import pull_state
from radretrieval.archive.connections import Database
from radretrieval.archive.pull_state import Listed, Mark
from radretrieval.dicom.pull.source import Instance, PullSource, Study

PAGE = 1000
INTERVAL = timedelta(days=1)


def reconcile(
    database: Database, source: PullSource, pool: Executor, advance: Callable[[int], None]
) -> tuple[int, int, list[Instance]]:
    """Set `gone_at` of images that their source no longer has, and clear it of those that it has again.

    Each study that has images is listed by one query, and an image that is not in the list is queried alone. The
    archive is written only after every query was answered in full.

    Returns
    -------
    How many images were found gone, and back; and the instances that the source has in another study or series now.

    Raises EnvironmentUnusable, NotListed.
    """
    gone: list[int] = []
    back: list[int] = []
    moved: list[Instance] = []
    after = 0
    while True:
        with database.connection() as connection:
            rows = pull_state.of_origin(connection, source.origin, after, PAGE)
        if not rows:
            break
        after = rows[-1]["id"]
        studies: dict[str | None, list[dict[str, Any]]] = {}
        for row in rows:
            studies.setdefault(row["study_instance_uid"], []).append(row)
        for found, images in pool.map(lambda item: (_found(source, *item), item[1]), studies.items()):
            gone += [row["id"] for row in images if row["gone_at"] is None and row["sop_instance_uid"] not in found]
            back += [row["id"] for row in images if row["gone_at"] is not None and row["sop_instance_uid"] in found]
            moved += _elsewhere(database, source, list(found.values()))
            advance(len(images))
    with database.connection() as connection:
        changed = pull_state.found_gone(connection, gone, True), pull_state.found_gone(connection, back, False)
        pull_state.keep_mark(connection, source.origin, "", Mark(reconciled_at=datetime.now(UTC)))
    return (*changed, moved)


def _found(source: PullSource, study: str | None, images: list[dict[str, Any]]) -> dict[str, Instance]:
    """The instances of those of these images of a study that the source has, by SOP Instance UID."""
    listed = {one.uid: one for one in source.instances(Study(study))} if study is not None else {}
    found = {}
    for uid in {str(row["sop_instance_uid"]) for row in images}:
        # a list may be incomplete: a server's own limit, a study that was merged into another
        if (instance := listed.get(uid) or source.find(uid, study)) is not None:
            found[uid] = instance
    return found


def _elsewhere(database: Database, source: PullSource, instances: list[Instance]) -> list[Instance]:
    """Those of these instances that are in another study or series than their images."""
    listed = [Listed(one.uid, one.study, one.series, source.location(one)) for one in instances if one.series]
    with database.connection() as connection:
        there = pull_state.as_listed(connection, source.origin, listed, before=False)
    return [one for one in instances if one.study and one.series and one.uid not in there]
