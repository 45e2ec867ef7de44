"""What is wrong with an archive, and the command that mends it, as `status` says it and the page for IT shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Advice:
    """A finding.

    Attributes
    ----------
    kind : a word for programs, as `pending`. count : how many images, files or indexes it is about.
    text : what is wrong and what to do. command : what mends it, or None where a person has to look.
    """

    kind: str
    count: int
    text: str
    command: str | None = None


def advice(status: dict[str, Any]) -> Iterator[Advice]:
    """The findings about a document of `Archive.status()`, in the order in which they are to be mended."""
    index = status["index"]
    if index is not None and index["advice"] is not None:
        yield Advice("index", 1, index["advice"], _command(index["advice"]))
    if index is not None and index["unfinished"]:
        told = "an index is being built, or was begun and not finished: radretrieval index build begins anew"
        yield Advice("unfinished", index["unfinished"], told, "radretrieval index build")
    if status["images"] and not status["encoders"]:
        told = "there is no encoder: radretrieval train makes one, then radretrieval work --once encodes the images"
        yield Advice("no_encoder", status["images"], told, "radretrieval train")
    elif pending := status["pending"]:
        told = f"{pending} images have no code yet: radretrieval work --once"
        yield Advice("pending", pending, told, "radretrieval work --once")
    if arrived := status["arrived"]:
        told = f"{arrived} files have come and are no images yet: radretrieval receive and pull make them"
        yield Advice("arrived", arrived, told, "radretrieval receive")
    if gone := status["gone"]:
        told = f"the files of {gone} images are gone (image.gone_at); radretrieval verify looks for them again"
        yield Advice("gone", gone, told, "radretrieval verify")
    if twice := status["same_uid"]:
        yield Advice("same_uid", twice, f"{twice} images have the SOP Instance UID of another image (image.same_uid)")
    if flat := status["flat"]:
        told = f"the pixels of {flat} images show nothing (image.flat): what a search finds for them means nothing"
        yield Advice("flat", flat, told)
    if useless := [one for one in status["readers"] if one["problem"] is not None]:
        told = "; ".join(f"{one['server']}: {one['problem']}" for one in useless)
        yield Advice("readers", len(useless), f"searches are not read from {told}")
    if failed := status["failed"]:
        told = "what failed, and why, is in the tables ingest_failure and coding_failure; what was received or pulled"
        yield Advice("failed", failed, f"{told} is read again by: radretrieval ingest --failed")


def reader_state(reader: dict[str, Any]) -> str:
    """How a server is that searches may be read from, in words."""
    if reader["problem"] is not None:
        return str(reader["problem"])
    return f"{reader['lag_seconds']:.1f} s behind" if reader["standby"] else "the primary"


def _command(text: str) -> str:
    """The commands at the end of an advice, for a shell."""
    return (text.partition("run: ")[2] or text.rpartition(": ")[2]).replace(", then: ", " && ")
