"""The figures of exact search as tables, the bar that was set for them, and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import table
from _exact_data import cells, number

if TYPE_CHECKING:
    from PIL.Image import Image

Run = dict[str, Any]
OURS, FLAT, SCAN, ONE = "ours", "faiss BinaryFlat", "plain scan", "plain scan, 1 process"
KINDS = {"within": "new draws", "random": "outside: random bits", "mixture": "outside: mixtures of two codes"}
MILLION = 1_000_000

# For codes of `real`: the median of ours against faiss' by the number of codes; the rest for a million of them.
# 15 ms under a filter were 3.1 times faiss' 4.85 ms on the machine that this was set on.
MEDIANS = {MILLION: 0.15, 5 * MILLION: 0.12, 20 * MILLION: 0.08}
TAIL, OUTSIDE, FILTERED, FILTERED_FLAT = 0.5, 1.1, 15.0, 3.1
COPIED, SINGLE, LISTS, LISTS_LARGE = 50_000, 1.0, 2_000, 500


def show_run(run: Run) -> None:
    """Everything of one archive."""
    print(f"\n{run['codes']} codes, {run['variant']}; {run['server']}; {run['anchors']} anchors")
    for kind, engines in run["search"].items():
        _search(kind, engines, run["engines"])
    print("MB: beyond the codes' own table, and of those outside of the database what the process grew by")
    print(f"wrong lists of ours: {run['wrong']} of {run['lists']}, with all ties and in order")
    _filters(run)
    if "writes" not in run:
        return
    if "clients" in run:
        _clients(run["clients"])
    _writes(run["writes"])
    cold = run["cold"]
    how = "after a restart" + (", no file in the system's cache" if cold["system_cache_dropped"] else "")
    print(f"{how}: first query {cold['first']:.1f} ms, median of the first 50 {cold['p50']:.1f} ms")


def _search(kind: str, engines: dict[str, Any], facts: dict[str, Any]) -> None:
    flat, scan = engines.get(FLAT), engines.get(SCAN)
    rows = []
    for name, figures in engines.items():
        fact = facts[name]
        rows.append(
            [
                name,
                f"{figures['queries']}",
                *cells(figures, "p50", "p95", "p99", "max"),
                f"{figures['recall']:.4f}",
                f"{figures['recall_worst']:.2f}",
                f"{figures['p50'] / flat['p50']:.2f}" if flat else "",
                f"{figures['p50'] / scan['p50']:.3f}" if scan and name != "numpy" else "",
                "" if fact["seconds"] is None else number(fact["seconds"]),
                "" if fact["bytes"] is None else f"{fact['bytes'] / 1e6:.0f}",
            ]
        )
    head = ["queries", "p50 ms", "p95", "p99", "max", "recall@50", "worst", "× flat", "× scan", "build s", "MB"]
    table([KINDS[kind], *head], rows)


def _filters(run: Run) -> None:
    rows = []
    for name, row in run["filters"].items():
        paths = ", ".join(f"{path} {100 * share:.0f} %" for path, share in row["paths"].items())
        unit = [f"{row['ours']['p95'] / run['flat_p50']:.1f}"] if run["flat_p50"] else [""]
        share = "" if name == "own class" else f"{100 * row['share']:.2f} %"
        figures = [*cells(row["ours"], "p50", "p95"), *unit, *cells(row["scan"], "p50", "p95")]
        rows.append([name, share, f"{row['ours']['queries']}", *figures, f"{row['recall_worst']:.3f}", paths])
    head = ["share", "queries", "p50 ms", "p95", "p95 in flats", "scan p50", "p95", "recall, worst", "path"]
    table(["filters", *head], rows)


def _clients(clients: Run) -> None:
    rows = []
    for count in clients[OURS]:
        both = [clients[name][count] for name in (OURS, SCAN)]
        rows.append([count, *(text for one in both for text in (f"{one['per_second']:.0f}", number(one["p95"])))])
    table(["clients", "ours, answers/s", "p95 ms", "plain scan, answers/s", "p95 ms"], rows)


def _writes(writes: Run) -> None:
    rows = []
    names = {"ours": "codes with the exact index", "no index": "codes without it", "bare": "no key, no constraint"}
    for key, name in {**names, "pgvector HNSW": "pgvector HNSW"}.items():
        if key in writes["copy_per_second"]:
            alone = writes["single_ms"].get(key)
            rows.append(
                [name, f"{writes['copy_per_second'][key]:.0f}", "" if alone is None else f"{alone:.2f}"],
            )
    table([f"writing, batches of {writes['batch']}", "COPY rows/s", "one INSERT with commit, ms"], rows)
    sound = "sound" if writes["checked"]["sound"] else "NOT SOUND"
    print(f"the index of {writes['checked']['codes']} codes afterwards: {sound}")


def growth(runs: Sequence[Run], variant: str) -> dict[str, float]:
    """Exponents of the medians in the number of codes."""
    mine = [run for run in runs if run["variant"] == variant]
    if len({run["codes"] for run in mine}) < 2:
        return {}
    sizes = np.log([run["codes"] for run in mine])
    names = [name for name in (OURS, FLAT, SCAN, ONE) if all(name in run["search"]["within"] for run in mine)]
    return {
        name: float(np.polyfit(sizes, np.log([run["search"]["within"][name]["p50"] for run in mine]), 1)[0])
        for name in names
    }


def bar(runs: Sequence[Run]) -> list[tuple[str, str, bool | None]]:
    """What was asked for, what there is, and whether that is enough (None: not measured)."""
    by_size = {run["codes"]: run for run in reversed(runs) if run["variant"] == "real"}
    wanted = [
        f"1M: p95 at most {TAIL:g} of faiss BinaryFlat's median",
        f"1M: no wrong list in {LISTS}",
        f"1M: outside at most {OUTSIDE} times the plain scan, medians and sums",
        f"1M: filters, recall 1, p95 at most {FILTERED:g} ms or {FILTERED_FLAT} of faiss' medians",
        f"1M: COPY of at least {COPIED} codes/s",
        f"1M: one INSERT with commit at most {SINGLE:g} ms",
    ]
    rows = [(name, *figures) for name, figures in zip(wanted, _at_million(by_size.get(MILLION)), strict=True)]
    for size, most in MEDIANS.items():
        name = f"{size // MILLION}M"
        rows.append((f"{name}: median at most {most:g} of faiss BinaryFlat's", *_against_flat(by_size.get(size), most)))
        if size > MILLION:
            rows.append((f"{name}: no wrong list in {LISTS_LARGE}", *_lists(by_size.get(size), LISTS_LARGE)))
    return rows


def _at_million(run: Run | None) -> list[tuple[str, bool | None]]:
    if run is None or "writes" not in run:
        return [("not measured", None)] * 6
    ours, flat = run["search"]["within"][OURS], run["flat_p50"]
    tail = (f"{ours['p95']:.2f} ms, {flat:.2f} ms", ours["p95"] <= TAIL * flat) if flat else ("no faiss", None)
    rates = [figure for kind in ("random", "mixture") for figure in against_scan(run, kind)]
    outside = ", ".join(f"{rate:.2f}" for rate in rates), max(rates) <= OUTSIDE
    worst = max(row["ours"]["p95"] for row in run["filters"].values())
    recall = min(row["recall_worst"] for row in run["filters"].values())
    units = worst / flat if flat else math.inf
    text = f"recall {recall:g}, p95 at most {worst:.1f} ms, {units:.1f} of faiss' medians"
    filters = text, recall == 1 and (worst <= FILTERED or units <= FILTERED_FLAT)
    rate, single = run["writes"]["copy_per_second"][OURS], run["writes"]["single_ms"][OURS]
    return [
        tail,
        _lists(run, LISTS),
        outside,
        filters,
        (f"{rate:.0f}", rate >= COPIED),
        (f"{single:.2f} ms", single <= SINGLE),
    ]


def _lists(run: Run | None, least: int) -> tuple[str, bool | None]:
    if run is None:
        return "not measured", None
    return f"{run['wrong']} of {run['lists']}", run["wrong"] == 0 and run["lists"] >= least


def _against_flat(run: Run | None, most: float) -> tuple[str, bool | None]:
    if run is None or not run["flat_p50"]:
        return "not measured", None
    ours, flat = run["search"]["within"][OURS]["p50"], run["flat_p50"]
    return f"{ours / flat:.2f} ({ours:.2f} ms, {flat:.2f} ms)", ours <= most * flat


def against_scan(run: Run, kind: str) -> tuple[float, float]:
    """How many times as long as the faster of the plain scans ours takes: medians, and sums."""
    engines = run["search"][kind]
    scans = [engines[name] for name in (SCAN, ONE) if name in engines]
    return engines[OURS]["p50"] / min(s["p50"] for s in scans), engines[OURS]["sum"] / min(s["sum"] for s in scans)


def show_bar(runs: Sequence[Run]) -> None:
    """The growth and the bar."""
    print()
    for variant in dict.fromkeys(run["variant"] for run in runs):
        for name, exponent in growth(runs, variant).items():
            print(f"{variant}: the median of {name} grows with the {exponent:.2f}th power of the number of codes")
    for run in runs:
        for kind in ("random", "mixture"):
            median, whole = against_scan(run, kind)
            what = f"{run['codes']} {run['variant']}, {KINDS[kind]}"
            print(f"{what}: {median:.2f} times the faster plain scan, sums {whole:.2f}")
    for name, text, good in bar(runs):
        print(f"{name}: {text}{'' if good is None else ': reached' if good else ': MISSED'}")


def picture(runs: Sequence[Run]) -> Image:
    """Median latency against the number of codes, both logarithmic; worst and mean recall beside inexact engines."""
    from PIL import Image, ImageDraw

    from radretrieval.report.charts import GRID, Plane, legend
    from radretrieval.report.drawing import FAINT, INK, LARGE, PAPER, RIGHT, SMALL, WRONG, font, length, shortened

    runs = sorted((r for r in runs if r["variant"] == runs[0]["variant"]), key=lambda r: r["codes"])
    colours = {OURS: RIGHT, FLAT: (0, 158, 115), SCAN: (110, 110, 118), "pgvector HNSW m=32 ef=400": WRONG}
    points = {
        name: [(r["codes"], r["search"]["within"][name]) for r in runs if name in r["search"]["within"]]
        for name in colours
    }
    shown = {name: line for name, line in points.items() if line}
    latencies = [figures["p50"] for line in shown.values() for _, figures in line]
    low, high = math.floor(math.log10(min(latencies))), math.ceil(math.log10(max(latencies)))
    ends = math.log10(runs[0]["codes"]) - 0.15, math.log10(runs[-1]["codes"]) + 0.15
    canvas = Image.new("RGB", (980, 560), PAPER)
    draw = ImageDraw.Draw(canvas)
    plane = Plane((70, 70, 700, 500), ends, (low, high))
    draw.text((20, 14), f"The 50 nearest codes; draws of the model, {runs[0]['variant']}", fill=INK, font=font(LARGE))
    what = "median milliseconds, one query at a time; recall is 1 where none is told"
    draw.text((20, 40), what, fill=FAINT, font=font(SMALL))
    for power in range(low, high + 1):
        (left, y), right = plane.at(ends[0], power), plane.box[2]
        draw.line((left, y, right, y), fill=GRID)
        draw.text((left - 8, y), f"{10.0**power:g}", fill=INK, font=font(SMALL), anchor="rm")
    for run in runs:
        x, y = plane.at(math.log10(run["codes"]), low)
        draw.line((x, y, x, y + 5), fill=INK)
        draw.text((x, y + 9), f"{run['codes']:,}", fill=INK, font=font(SMALL), anchor="mt")
    draw.text((385, 545), "codes", fill=FAINT, font=font(SMALL), anchor="ms")
    for name, line in shown.items():
        places = [plane.at(math.log10(codes), math.log10(figures["p50"])) for codes, figures in line]
        draw.line(places, fill=colours[name], width=3)
        for (x, y), (_, figures) in zip(places, line, strict=True):
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colours[name])
            if figures["recall"] < 1:
                text = f"recall {figures['recall']:.3f}, worst {figures['recall_worst']:.2f}"
                side = "ra" if x > 385 else "la"
                draw.text((x, y + 8), text, fill=colours[name], font=font(SMALL), anchor=side)
    draw.line((plane.box[0], plane.box[1], plane.box[0], plane.box[3], plane.box[2], plane.box[3]), fill=INK)
    names = [(shortened(name, SMALL, 180), colours[name]) for name in shown]
    legend(canvas, (724 + max(length(name, SMALL) for name, _ in names) + 20, 80), names)
    return canvas


def save_picture(runs: Sequence[Run], path: Path) -> None:
    """As PNG."""
    from radretrieval.report.drawing import save

    save(path, lambda: picture(runs))
