"""The table `label_report`: labels that users say are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from radretrieval.archive import audit, images
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import NotInArchive, UsageError


@dataclass(frozen=True)
class LabelReport:
    """What a user says of the labels of an image.

    Attributes
    ----------
    expected : IRMA code that the user expects. remark : what is wrong, in words. One of the two may be None.
    irma_code, body_part, view_position, laterality : the labels that the image has.
    """

    id: int
    at: datetime
    who: str
    image_id: int
    expected: str | None
    remark: str | None
    irma_code: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    uri: str
    sha256: bytes


def report(connection: Connection, who: str, image_id: int, expected: str | None, remark: str | None) -> None:
    """Store a user's report in place of an earlier one on the same image, and note it in the audit.

    Parameters
    ----------
    expected : an IRMA code. Neither it nor a remark takes an earlier report back.

    Raises NotInArchive for an unknown image.
    """
    values = {"who": who, "image_id": image_id, "expected": expected, "remark": remark}
    with connection.transaction():
        if expected is None and remark is None:
            connection.execute(sql("label_report_off"), values)
        elif connection.execute(sql("label_report_add"), values).fetchone() is None:
            raise NotInArchive(f"{images.absent(connection, image_id)}; it may have been deleted")
        del values["who"]
        audit.record(connection, who, "label report", _recorded(values))


def pending(connection: Connection) -> list[LabelReport]:
    """The reports on images whose labels have not changed since, those of one image together."""
    rows = connection.execute(sql("label_reports"))
    return [LabelReport(**row | {"sha256": bytes(row["sha256"])}) for row in rows]


def dismiss(connection: Connection, who: str, ids: Sequence[int]) -> None:
    """Delete reports, of labels that are right, and note it in the audit.

    Raises UsageError for a number that no report has; nothing is deleted then.
    """
    with connection.transaction():
        rows = connection.execute(sql("label_reports_dismiss"), {"ids": list(ids)}).fetchall()
        if missing := sorted(set(ids) - {row["id"] for row in rows}):
            raise UsageError(f"there is no report {missing[0]}; radretrieval audit labels lists them")
        for row in rows:
            audit.record(connection, who, "label report dismissed", _recorded(row))


def _recorded(report: dict[str, Any]) -> dict[str, Any]:
    """What the audit has of a report: whether there is a remark, and not what a user wrote in it."""
    return report | {"remark": report["remark"] is not None}
