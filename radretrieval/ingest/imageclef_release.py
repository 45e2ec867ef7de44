"""The ImageCLEF 2009 release, recognised by its layout, as `Labels`.

Two image folders and two codes CSVs (`radretrieval.irma.imageclef.PARTS`) stand beside each other in one folder, the
release. Kaggle's copy nests each image folder in one of its own name, and its CSVs stand in either. Images are known
by number: `1880` and `00001880` are one, in file names and in CSVs. What is amiss is named, and the rest is used.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from radretrieval.errors import InputMissing, LabelsError, UsageError
from radretrieval.files.walk import walk
from radretrieval.ingest.labels_csv import COLUMNS, ImageFolder, Labels, Values, open_rows
from radretrieval.ingest.problem import Problem
from radretrieval.irma.code import normalise
from radretrieval.irma.imageclef import ID_COLUMN, LABEL_COLUMN, NO_LABEL, PARTS, WITHDRAWN, Part

NAME = "ImageCLEF 2009 release"

# A release is looked for this many folders down, in so many folders at most: a PACS export may hold millions.
DEPTH = 3
FOLDERS = 1000


class _Half(NamedTuple):
    """One part of a release on this disk; what of it is not there is None."""

    root: str
    part: Part
    folder: str | None
    codes: str | None


class _Row(NamedTuple):
    """What a line says of an image: its code (None: none that year), or why that cannot be used."""

    line: int
    code: str | None
    wrong: str | None


def recognise(paths: Iterable[Path]) -> Labels | None:
    """The labels of the release that these paths name or hold; None where they hold none.

    A path may be the release, a folder above it, one of its image folders (then only that part is asked for),
    or something in one.

    Raises
    ------
    LabelsError : a codes CSV is empty, not in UTF-8, or without the columns that are needed.
    """
    halves = _halves(paths)
    if not halves:
        return None
    labels = Labels(tuple(half.codes for half in halves if half.codes), withdrawn=frozenset(WITHDRAWN))
    told: dict[str, list[str]] = defaultdict(list)
    for half in halves:
        number, notes = _take(labels, half)
        first = half.root not in told
        count = f"{number or 'no'} images" if first else f"{number or 'none'}"
        told[half.root].append(f"{half.part.split} {count}" + (f" ({', '.join(notes)})" if notes else ""))
    places = {root: "" if len(told) == 1 else f" in {root}" for root in told}
    recognised = "; ".join(f"{NAME}{places[root]}: {', '.join(parts)}" for root, parts in told.items())
    return replace(labels, recognised=recognised)


def codes_files(paths: Iterable[Path]) -> tuple[str, ...]:
    """The codes CSVs of the releases that these paths name or hold, which are no radiographs whoever labels."""
    return tuple(half.codes for half in _halves(paths) if half.codes)


def _halves(paths: Iterable[Path]) -> list[_Half]:
    """The parts that are asked for, by place, train before test."""
    found: dict[tuple[str, Part], _Half] = {}
    codes: list[_Half] = []
    for path in map(os.path.abspath, paths):
        is_folder = os.path.isdir(path)
        if half := _around(path if is_folder else os.path.dirname(path)):
            found[half.root, half.part] = half
        elif is_folder:
            for folder in _folders(path):
                found.update(((folder, half.part), half) for half in _in(folder))
        else:
            root, name = os.path.split(path)
            codes += [_Half(root, part, None, path) for part in PARTS if part.codes == name]
    for half in codes:  # a CSV that was named without its images, as the shell does for `release/*`
        found.setdefault((half.root, half.part), half)
    return sorted(found.values(), key=lambda half: (half.root, PARTS.index(half.part)))


def _around(folder: str) -> _Half | None:
    """The part whose image folder this folder is, or is in."""
    inner = Path(folder)
    for place in (inner, *inner.parents):
        for part in PARTS:
            if place.name == part.folder:
                while place.parent.name == part.folder:
                    place = place.parent
                return _half(str(place.parent), part, str(place))
    return None


def _in(root: str) -> list[_Half]:
    """Both parts of the release, as far as they are there, where this folder is one; else none."""
    halves = []
    for part in PARTS:
        folder = os.path.join(root, part.folder)
        # `walk` follows no links to folders: what it does not see is not here
        halves.append(_half(root, part, folder if os.path.isdir(folder) and not os.path.islink(folder) else None))
    return halves if any(half.folder or half.codes for half in halves) else []


def _half(root: str, part: Part, folder: str | None) -> _Half:
    places = [root, *([folder, os.path.join(folder, part.folder)] if folder else [])]
    files = (os.path.join(place, part.codes) for place in places)
    return _Half(root, part, folder, next((file for file in files if os.path.isfile(file)), None))


def _folders(start: str) -> Iterator[str]:
    """This folder and those below it, the upper ones first, as far as a release is looked for."""
    level, left = [start], FOLDERS
    for depth in range(DEPTH + 1):
        yield from level[:left]
        left -= len(level)
        if left <= 0 or depth == DEPTH:
            return
        level = [below for folder in level for below in _subfolders(folder)]


def _subfolders(folder: str) -> list[str]:
    images = {part.folder for part in PARTS}
    try:
        with os.scandir(folder) as listing:
            return sorted(
                entry.path
                for entry in listing
                if not entry.name.startswith(".") and entry.name not in images and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []  # the walk that follows names it


def _take(labels: Labels, half: _Half) -> tuple[int, list[str]]:
    """Add what is known of one part to the labels; tells how many images it has, and what is special about them."""
    rows = _rows(half.codes, labels.problems) if half.codes else {}
    images, number = _images(half.folder)
    if half.folder:
        labels.folders[half.folder] = ImageFolder(half.part.split, half.codes)
    if not number or not half.codes:
        labels.problems.append(_missing(half, number, sum(map(len, rows.values()))))
    withdrawn = without = 0
    for key, lines in rows.items():
        assert half.codes is not None
        code, wrong = _settled(half.codes, key, lines, labels.problems)
        if number and key not in images:
            message = f"line {lines[0].line}: there is no image {key} in {half.folder}; the row was not used"
            labels.problems.append(Problem(half.codes, "RowWithoutImage", message))
        for file in images.get(key, ()):
            labels.rows[file] = _values(code, half.part.split)
            withdrawn += code in WITHDRAWN
            if wrong is not None:
                labels.wrong[file] = wrong
            elif code is None:
                labels.no_code.add(file)
                without += 1
    for key, files in images.items():
        if len(files) > 1:
            message = f"is image {key} too, as {files[0]} is: both get the label of its row; remove one of them"
            labels.problems.extend(Problem(file, "RepeatedId", message) for file in files[1:])
    notes = [f"{withdrawn} of withdrawn codes"] if withdrawn else []
    notes += [f"{without} without a code of that year"] if without else []
    return number, notes + ([] if half.codes else ["codes missing"])


def _values(code: str | None, split: str) -> Values:
    given = {"irma_code": code, "split": split}
    return tuple(given.get(column) for column in COLUMNS)


def _images(folder: str | None) -> tuple[dict[str, list[str]], int]:
    """The PNG files of an image folder by number, and how many there are, those without a number too."""
    images: dict[str, list[str]] = defaultdict(list)
    number = 0
    try:
        for file in walk([Path(folder)]) if folder else ():
            name, extension = os.path.splitext(os.path.basename(file))
            if extension.lower() == ".png":
                number += 1
                if key := _key(name):
                    images[key].append(file)
    except InputMissing:
        return {}, 0  # a folder that cannot be listed; the walk that follows names it
    return images, number


def _key(text: str) -> str | None:
    """A number as it is compared, without leading zeros; None for what is none."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else None


def _rows(path: str, problems: list[Problem]) -> dict[str, list[_Row]]:
    """The rows of a codes CSV by image number. Raises LabelsError for a file that cannot be used at all."""
    rows: dict[str, list[_Row]] = defaultdict(list)
    with open_rows(path) as reader:
        names = list(reader.fieldnames or [])
        if ID_COLUMN not in names or LABEL_COLUMN not in names:
            lacking = [name for name in (ID_COLUMN, LABEL_COLUMN) if name not in names]
            raise LabelsError(
                f"the codes {path} have no column {' and no column '.join(map(repr, lacking))} (they have: "
                f"{', '.join(filter(None, names)) or 'nothing'}); needed: {ID_COLUMN} and {LABEL_COLUMN}, "
                "separated by ';' or ','. Put the release's own file there, or name a CSV of yours with --labels"
            )
        for row in reader:
            line, text = reader.line_num, (row[ID_COLUMN] or "").strip()
            if key := _key(text):
                rows[key].append(_row(path, row, line))
            else:
                message = f"line {line}: the {ID_COLUMN} {text!r} is not a number; the row was not used"
                problems.append(Problem(path, "IdNoNumber", message))
    if not rows:
        raise LabelsError(f"the codes {path} hold no row with an image's number; put the release's own file there")
    return rows


def _row(path: str, row: dict[str, str | None], line: int) -> _Row:
    text = (row[LABEL_COLUMN] or "").strip()
    if None in row:  # DictReader's place for what goes beyond the header
        return _Row(line, None, f"{path}, line {line}: has more fields than the header; correct the line")
    if text == NO_LABEL:
        return _Row(line, None, None)
    try:
        return _Row(line, normalise(text), None)
    except UsageError as error:
        wrong = f"{path}, line {line}: {LABEL_COLUMN}: {error}; {NO_LABEL} where there is none"
        return _Row(line, None, wrong)


def _settled(path: str, key: str, rows: Sequence[_Row], problems: list[Problem]) -> tuple[str | None, str | None]:
    """The code of an image by all its rows, or why it has none that can be used."""
    wrong = next((row.wrong for row in rows if row.wrong), None)
    lines = " and ".join(str(row.line) for row in rows)
    codes = list(dict.fromkeys(row.code for row in rows))
    if wrong is None and len(codes) > 1:
        said = " and ".join(code or NO_LABEL for code in codes)
        wrong = f"{path}, lines {lines}: image {key} has rows with different codes, {said}; keep one of them"
    elif wrong is None and len(rows) > 1:
        message = f"lines {lines} say the same of image {key}, which does no harm; one of them is enough"
        problems.append(Problem(path, "RepeatedRow", message))
    return (None, wrong) if wrong else (codes[0], None)


def _missing(half: _Half, images: int, rows: int) -> Problem:
    """What is not there of a part, what was done without it, and the way out."""
    folder, codes = (os.path.join(half.root, name) for name in (half.part.folder, half.part.codes))
    split = half.part.split
    again = "put it there and run the command again: only what is new is done"
    if images:
        message = (
            f"the codes of the {split} images are missing; the {images} images of {half.folder} were ingested "
            f"in the split {split!r}, without codes (what they had stays); {again}"
        )
        return Problem(codes, "HalfRelease", message)
    other = next(os.path.join(half.root, part.folder) for part in PARTS if part is not half.part)
    if half.folder:
        state = "holds no PNG file (or cannot be listed)"
    elif os.path.islink(folder):
        state = "is a link, and links to folders are not followed: name the folder itself"
    else:
        state = "is not among the paths: name it too" if os.path.isdir(folder) else "is missing"
    if half.codes:
        message = f"the folder of the {split} images {state}; the {rows} rows of {half.codes} were not used; {again}"
    else:
        message = (
            f"the folder of the {split} images {state}, and so are their codes {codes}; nothing of {split} was "
            f"ingested; {again}, or name only the other part: {other}"
        )
    return Problem(half.folder or folder, "HalfRelease", message)
