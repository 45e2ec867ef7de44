"""Labels that may be wrong, for people: a table, a CSV to be corrected, and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.config import Settings
from radretrieval.errors import ImageError, RadretrievalError, UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.files.table_files import table_file
from radretrieval.files.text import printable
from radretrieval.files.uris import is_hidden, to_path
from radretrieval.ingest.labels_csv import OF_AUDIT, OF_REPORTS
from radretrieval.irma.tree import describe
from radretrieval.jobs.label_audit import Finding, LabelAudit, Neighbour, Suspect
from radretrieval.jobs.reported_labels import Labels, ReportedLabels
from radretrieval.report.drawing import (
    FAINT,
    INK,
    LARGE,
    PAPER,
    PLAIN,
    RIGHT,
    SMALL,
    WRONG,
    Line,
    code_lines,
    save,
    shortened,
    text_height,
    tile,
    wrapped,
    write,
)
from radretrieval.report.table import table
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile, read_source

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

NAMES = {"irma_code": "IRMA code", "body_part": "body part", "view_position": "view", "laterality": "laterality"}
# The columns that `ingest --labels` reads are empty: an empty cell leaves the label as it is.
COLUMNS = ("file", *NAMES, *OF_AUDIT, *OF_REPORTS)
MOST_SHOWN = 40  # films of the contact sheet: more make a picture that viewers do not open
_NEAREST = {"code": 3, "barcode": 2}  # neighbours that are shown beside a film
_SHOWN, _SIDE, _GAP, _MARGIN, _TEXT = sum(_NEAREST.values()), 180, 16, 24, 250


def print_label_audit(audit: LabelAudit) -> None:
    """Print what users reported, where there is anything, and the suspects to stdout as tables."""
    if audit.reports:
        said = [
            (
                one.report,
                one.image_id,
                one.who,
                one.labels.irma_code or "-",
                one.expected or "-",
                one.remark or "-",
                one.file,
            )
            for one in audit.reports
        ]
        columns = ["report", "image", "by", "IRMA code", "expected", "remark", "file"]
        table(columns, said, title=f"{len(said)} reports of users")
        print()
    title = (
        f"{len(audit.images)} of {audit.suspicious} suspicious images; {audit.judged} judged by {audit.codes} codes of "
        f"encoder {audit.encoder_id} ({printable(audit.profile)})"
    )
    rows = [
        (one.image_id, f"{one.suspicion:.2f}", NAMES[found.field], found.value, found.proposed, _votes(found), one.file)
        for one in audit.images
        for found in one.findings[:1]
    ]
    table(["image", "suspicion", "label", "has", "neighbours have", "votes", "file"], rows, title=title)


def _votes(found: Finding) -> str:
    return f"{found.against} of {found.voters}"


def write_audit_csv(path: Path, audit: LabelAudit, settings: Settings) -> int:
    """Write a row for each image with a report and for each other suspect, to be corrected for `ingest --labels`.

    Parameters
    ----------
    settings : name the store and the key of hidden paths.

    Returns
    -------
    How many images are left out: no path on this machine names their file, or it has several frames.

    Raises
    ------
    UsageError : the name does not end in .csv, or cannot be written.
    """
    left_out, reading = 0, Reading.of(settings)
    suspects = {one.image_id: one for one in audit.images}
    reports: dict[int, list[ReportedLabels]] = {}
    for one in audit.reports:
        reports.setdefault(one.image_id, []).append(one)

    def rows() -> Iterator[tuple[object, ...]]:
        nonlocal left_out
        for image_id in dict.fromkeys([*reports, *suspects]):
            file = labels_path(audit.files[image_id], reading)
            if file is None:
                left_out += 1
            else:
                judged = _judged(suspects.get(image_id))
                yield (file, *[""] * len(NAMES), image_id, *judged, *_said(reports.get(image_id, [])))

    with (
        output_file(check_output(path, ".csv", "list of labels"), "list of labels") as draft,
        table_file(draft, dict.fromkeys(COLUMNS, "string")) as append,
    ):
        append(rows())
    return left_out


def _judged(suspect: Suspect | None) -> tuple[object, ...]:
    """The cells of the votes; empty for an image that is no suspect."""
    if suspect is None:
        return ("",) * 10
    found = suspect.findings[0]
    nearest = " ".join(str(one.image_id) for one in suspect.neighbours)
    return (f"{suspect.suspicion:.3f}", found.field, found.value, found.proposed, found.voters, found.agreeing,
            found.against, _words(found.field, found.value), _words(found.field, found.proposed), nearest)  # fmt: skip


def _said(reports: list[ReportedLabels]) -> tuple[str, str, str]:
    """The cells of what users reported of one image: by whom, the codes they expect, their remarks."""
    expected = dict.fromkeys(one.expected for one in reports if one.expected)
    remarks = [printable(one.remark) for one in reports if one.remark]
    return "; ".join(printable(one.who) for one in reports), "; ".join(expected), "; ".join(remarks)


def _words(field: str, value: str) -> str:
    """An IRMA code in words; empty for another label."""
    if field != "irma_code":
        return ""
    try:
        return "; ".join(describe(value))
    except UsageError:  # a code that was written by SQL
        return ""


def labels_path(file: SourceFile, reading: Reading) -> str | None:
    """The path by which `ingest --labels` finds an image: its file, or its copy in the store.

    None where there is none, where the file has several frames (a row would label its first), and for a name that no
    CSV can hold.
    """
    if "#frame=" in file.uri:
        return None
    try:
        path = to_path(file.uri, reading.path_key_file)
    except ImageError:  # it came from a PACS, or its path is hidden
        if reading.store is None or not (path := ContentStore(reading.store).path(file.sha256)).exists():
            return None
    text = str(path)
    return text if text == printable(text).strip() else None


def write_contact_sheet(path: Path, audit: LabelAudit, settings: Settings) -> None:
    """Write the first 40 suspects as a PNG, each beside its nearest neighbours; an unreadable file is a grey tile.

    Parameters
    ----------
    settings : how files are read.

    Raises UsageError when the name does not end in .png or cannot be written.
    """
    save(path, lambda: _compose(audit, Reading.of(settings)))


def _compose(audit: LabelAudit, reading: Reading) -> Image:
    from PIL import Image, ImageDraw  # heavy; only `audit labels --picture` needs it

    shown = audit.images[:MOST_SHOWN]
    heights = [_height(suspect) for suspect in shown]
    width = 2 * _MARGIN + _TEXT + (1 + _SHOWN) * (_SIDE + _GAP)
    head = _MARGIN + 64
    canvas = Image.new("RGB", (width, head + sum(heights) + _MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    title = f"Labels that may be wrong: the first {len(shown)} of {audit.suspicious}, encoder {audit.encoder_id}"
    key = (
        "At the left the film; beside it the three nearest by code and the two by barcode: blue has the proposed label"
    )
    write(draw, (_MARGIN, _MARGIN), width - 2 * _MARGIN, [(title, LARGE, INK), (key, SMALL, FAINT)])
    y = head
    for number, (suspect, height) in enumerate(zip(shown, heights, strict=True), start=1):
        _draw_suspect(canvas, draw, y, number, suspect, audit, reading)
        y += height
    return canvas


def _draw_suspect(
    canvas: Image, draw: ImageDraw, y: int, number: int, suspect: Suspect, audit: LabelAudit, reading: Reading
) -> None:
    found = suspect.findings[0]
    lines = [(f"{number}. image {suspect.image_id}", LARGE, INK), (NAMES[found.field], PLAIN, INK)]
    lines += [(line, SMALL, INK) for line in vote_lines(found)]
    lines += [(f"suspicion {suspect.suspicion:.2f}", SMALL, FAINT)]
    if not is_hidden(audit.files[suspect.image_id].uri):  # pictures are passed on
        lines += [(shortened(Path(suspect.file).name, SMALL, _TEXT - _GAP), SMALL, FAINT)]
    write(draw, (_MARGIN, y), _TEXT - _GAP, lines)
    x = _MARGIN + _TEXT
    _draw_film(canvas, draw, (x, y), audit.files[suspect.image_id], reading, WRONG)
    write(draw, (x, y + _SIDE + 4), _SIDE, _label_lines(suspect.labels, found.field))
    for one in _nearest(suspect):
        x += _SIDE + _GAP
        value = getattr(one.labels, found.field)
        colour = {found.proposed: RIGHT, found.value: WRONG}.get(value, FAINT)
        _draw_film(canvas, draw, (x, y), audit.files[one.image_id], reading, colour)
        caption = (f"image {one.image_id}, {one.by} {one.distance}", SMALL, FAINT)
        write(draw, (x, y + _SIDE + 4), _SIDE, [*_label_lines(one.labels, found.field), caption])


def vote_lines(found: Finding) -> list[str]:
    """What the contact sheet says of the votes; an IRMA code is not broken."""
    said = f"{_votes(found)}: {found.proposed}", f"{found.agreeing}: {found.value} (its own)"
    return [line for one in said for line in wrapped(one, SMALL, _TEXT - _GAP)]


def _draw_film(
    canvas: Image, draw: ImageDraw, corner: tuple[int, int], file: SourceFile, reading: Reading,
    colour: tuple[int, int, int],
) -> None:  # fmt: skip
    try:
        pixels = read_source(file.uri, file.sha256, reading).pixels
    except RadretrievalError:
        pixels = None
    tile(canvas, corner, _SIDE, pixels, None, colour)


def _label_lines(labels: Labels, doubted: str) -> list[Line]:
    """The code with its words, and what the header says; of a header's value that is doubted, that first."""
    said = [getattr(labels, name) for name in NAMES if name != "irma_code"]
    header: list[Line] = [(", ".join(filter(None, said)), SMALL, INK)] if any(said) else []
    code = code_lines(labels.irma_code)
    return [*code, *header] if doubted == "irma_code" else [*header, *code]


def _nearest(suspect: Suspect) -> list[Neighbour]:
    """The neighbours that are shown beside a film."""
    return [
        one for by, most in _NEAREST.items() for one in [near for near in suspect.neighbours if near.by == by][:most]
    ]


def _height(suspect: Suspect) -> int:
    images = [suspect.labels, *(one.labels for one in _nearest(suspect))]
    return _SIDE + max(text_height(_label_lines(labels, "irma_code")) for labels in images) + SMALL + 6 + _GAP
