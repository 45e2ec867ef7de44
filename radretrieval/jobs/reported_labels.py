"""Labels that users reported as wrong, as `audit labels` lists them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from radretrieval.archive import label_reports
from radretrieval.archive.connections import Connection
from radretrieval.files.text import shown
from radretrieval.storage.source import SourceFile


@dataclass(frozen=True)
class Labels:
    """What labels and headers say of an image; None where they say nothing."""

    irma_code: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None


@dataclass(frozen=True)
class ReportedLabels:
    """A report of a user on an image whose labels have not changed since.

    Attributes
    ----------
    report : its number, for `audit dismiss`. at : when it was made, ISO 8601. who : the user.
    expected : the IRMA code that the user expects. remark : what is wrong. One of the two may be None.
    labels : that the image has.
    """

    report: int
    at: str
    who: str
    image_id: int
    file: str
    expected: str | None
    remark: str | None
    labels: Labels


def reported_labels(
    connection: Connection, among: Collection[int] | None, path_key: Path | None
) -> tuple[list[ReportedLabels], dict[int, SourceFile]]:
    """The reports, those on one image together, and the files of these images.

    Parameters
    ----------
    among : on these images only. path_key : the key file of hidden paths.
    """
    found = [one for one in label_reports.pending(connection) if among is None or one.image_id in among]
    reports = [
        ReportedLabels(
            *(one.id, one.at.isoformat(timespec="seconds"), one.who, one.image_id, shown(one.uri, path_key)),
            *(one.expected, one.remark),
            Labels(one.irma_code, one.body_part, one.view_position, one.laterality),
        )
        for one in found
    ]
    return reports, {one.image_id: SourceFile(one.uri, one.sha256) for one in found}
