"""The report of an encoder's codes: key figures, tables, and a picture of the histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.files.text import printable
from radretrieval.jobs.code_report import DISTANCE_WIDTH, CodeReport, Collisions, Distances, Spread
from radretrieval.report.charts import axes, bars, legend
from radretrieval.report.drawing import (
    FAINT,
    INK,
    LARGE,
    PAPER,
    PLAIN,
    RIGHT,
    SMALL,
    WRONG,
    Box,
    Line,
    length,
    save,
    text_height,
    wrapped,
    write,
)
from radretrieval.report.table import key_values, table

if TYPE_CHECKING:
    from PIL.Image import Image

_CHART, _PANEL, _HEIGHT, _GAP, _MARGIN = 470, 430, 440, 36, 24
_LISTED, _CLASSES = 12, 4  # bit numbers and IRMA codes that a line names; the JSON has them all


def key_figures(report: CodeReport) -> list[tuple[str, str]]:
    """Names and values of the key figures, a dozen lines."""
    density, dead, twice, near = report.density, report.dead, report.duplicates, report.nearest
    figures = [
        ("codes", f"{report.codes}, of {report.bits} bits each"),
        ("labelled", f"{report.labelled} images of {report.classes} IRMA codes"),
        ("bit density", f"mean {density.mean:.3f}; {density.min:.3f} to {density.max:.3f}"),
        ("dead bits", f"{len(dead.zero)} always 0, {len(dead.one)} always 1"),
        ("duplicate bits", f"{twice.redundant} equal or complement another bit"),
        ("entropy", f"{report.entropy_bits:.1f} of {report.bits} bits"),
        ("distinct codes", f"{report.distinct_codes} ({report.sharing} images share theirs)"),
    ]
    if report.collisions is not None:
        figures.append(("codes across classes", f"{report.collisions.codes} (of {report.collisions.images} images)"))
    if (found := report.distances) is not None:
        within = found.within.median if found.within else "-"
        figures += [
            ("compared", f"{found.images} of {found.of} labelled images"),
            ("median distance", f"{within} within a class, {found.across.median} across"),
            ("separability", "-" if found.separability is None else f"{found.separability:.4f} (0.5 is chance)"),
            ("independent bits", "-" if found.independent_bits is None else f"{found.independent_bits:.0f}"),
        ]
    figures.append(("to the nearest", f"{near.first:g} (median of {near.queries} images)"))
    if near.last is not None:
        figures.append((f"to the {near.candidates}th", f"{near.last:g}"))
    return figures


def print_code_report(report: CodeReport) -> None:
    """Print the report to stdout as tables."""
    print(f"encoder {report.encoder_id} ({printable(report.profile)})")
    density = report.density
    key_values(
        [
            *key_figures(report),
            ("density, percentiles", f"5 %: {density.p5:.3f}, 50 %: {density.median:.3f}, 95 %: {density.p95:.3f}"),
            *((name, _some(bits)) for name, bits in _bits_by_name(report) if bits),
        ]
    )
    if report.distances is not None:
        print()
        _print_distances(report.distances)
    if report.collisions is not None and report.collisions.codes:
        print()
        _print_collisions(report.collisions)


def _print_collisions(found: Collisions) -> None:
    rows = []
    for worst in found.worst:
        members = [f"{member.irma_code} ({_ids(member.images, member.image_ids)})" for member in worst.members]
        rows.append([worst.classes, worst.images, _some(members, _CLASSES)])
    title = f"codes shared across classes, the worst {len(found.worst)} of {found.codes}"
    table(["classes", "images", "IRMA codes (images)"], rows, title=title)


def _bits_by_name(report: CodeReport) -> list[tuple[str, list[str]]]:
    twice = report.duplicates
    return [
        ("always 0", [str(bit) for bit in report.dead.zero]),
        ("always 1", [str(bit) for bit in report.dead.one]),
        ("equal", ["=".join(map(str, group)) for group in twice.equal]),
        ("complements", [f"{'='.join(map(str, one))}≠{'='.join(map(str, other))}" for one, other in twice.complement]),
    ]


def _some(words: Sequence[str], most: int = _LISTED) -> str:
    more = f", … {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _ids(images: int, ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) + (f", … {images - len(ids)} more" if images > len(ids) else "")


def _print_distances(found: Distances) -> None:
    named = [("within a class", found.within), ("across classes", found.across)]
    table(
        ["pairs", "number", "mean", "1 %", "5 %", "median", "95 %"],
        [
            [name, spread.pairs, f"{spread.mean:.1f}", spread.p1, spread.p5, spread.median, spread.p95]
            for name, spread in named
            if spread is not None
        ],
        title=f"Hamming distances among {found.images} of {found.of} labelled images",
        align="lrrrrrr",
    )


def code_report_picture(path: Path | str, report: CodeReport) -> None:
    """Write a PNG with the histograms of bit densities and of distances, and the key figures.

    Raises UsageError as `output.check_output` does.
    """
    save(path, lambda: _compose(report))


def _compose(report: CodeReport) -> Image:
    from PIL import Image, ImageDraw  # heavy; only `--picture` needs it

    notes = [line for note in report.notes for line in wrapped(note, SMALL, _PANEL)]
    figures = key_figures(report)
    height = max(_HEIGHT, len(figures) * (PLAIN + 10) + 50 + text_height([(line, SMALL, FAINT) for line in notes]))
    canvas = Image.new("RGB", (2 * _CHART + _PANEL + 2 * _GAP + 2 * _MARGIN, height + 50 + 2 * _MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    title = f"Encoder {report.encoder_id} ({report.profile}): report of its {report.codes} codes"
    write(draw, (_MARGIN, _MARGIN), canvas.width - 2 * _MARGIN, [(title, LARGE + 4, INK)])
    top, lefts = _MARGIN + 50, [_MARGIN + place * (_CHART + _GAP) for place in range(3)]
    _densities(canvas, (lefts[0], top, lefts[0] + _CHART, top + _HEIGHT), report)
    box = (lefts[1], top, lefts[1] + _CHART, top + _HEIGHT)
    if report.distances is not None:
        _distances(canvas, box, report.distances)
    else:
        write(draw, box[:2], _CHART, [("Distances: left out", LARGE, FAINT)])
    write(draw, (lefts[2], top), _PANEL, [("Key figures", LARGE, INK)])
    y, indent = top + 38, int(max(length(name, PLAIN) for name, _ in figures)) + 16
    for name, figure in figures:
        write(draw, (lefts[2], y), indent, [(name, PLAIN, FAINT)])
        write(draw, (lefts[2] + indent, y), _PANEL - indent, [(figure, PLAIN, INK)])
        y += PLAIN + 10
    lines: list[Line] = [(line, SMALL, FAINT) for line in notes]
    write(draw, (lefts[2], y + 12), _PANEL, lines)
    return canvas


def _densities(canvas: Image, box: Box, report: CodeReport) -> None:
    counts = report.density.histogram
    plane = axes(
        canvas,
        box,
        (0, 1),
        (0, max(counts) * 1.05),
        title="Bit densities",
        x_label="share of codes in which a bit is 1",
        y_label="bits",
    )
    bars(canvas, plane, [place / len(counts) for place in range(len(counts) + 1)], counts, RIGHT)


def _distances(canvas: Image, box: Box, found: Distances) -> None:
    drawn: list[tuple[str, Spread, tuple[int, int, int]]] = [("across classes", found.across, WRONG)]
    if found.within is not None:
        drawn.append(("within a class", found.within, RIGHT))
    shares = [[count / spread.pairs for count in spread.histogram] for _, spread, _ in drawn]
    used = 1 + max(place for heights in shares for place, height in enumerate(heights) if height)
    end = -(-used * DISTANCE_WIDTH // 100) * 100
    bins = end // DISTANCE_WIDTH
    plane = axes(
        canvas,
        box,
        (0, end),
        (0, max(map(max, shares)) * 1.2),  # the legend stands above the highest bar
        title="Distances of pairs of codes",
        x_label="Hamming distance, in bins of 10",
        y_label="share of the pairs within a class, and of those across",
        text=lambda share: f"{100 * share:.3g} %",
    )
    edges = [place * DISTANCE_WIDTH for place in range(bins + 1)]
    for (_, _, colour), heights in zip(drawn, shares, strict=True):
        bars(canvas, plane, edges, heights[:bins], colour)
    entries = [(f"{name}, {spread.pairs} pairs", colour) for name, spread, colour in reversed(drawn)]
    legend(canvas, (plane.box[2] - 4, plane.box[1] + 4), entries)
