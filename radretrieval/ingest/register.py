"""Inspected images become rows of `image`.

An image is identified by its content. Where a SOP Instance UID occurs a second time, the pixels decide: with the same
pixels it is the same image in another encoding and gets no second row; with others both are kept, the second flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import NewImage
from radretrieval.files.text import shown


@dataclass(frozen=True)
class RegisteredImage:
    """One image and its outcome.

    outcome : `added`; `unchanged`, its content is there; or `same`, its UID is, with the same pixels.
    other : the image (id, uri) whose UID it has, where the pixels differ (it was added) or are the same.
    """

    image: NewImage
    outcome: str
    other: dict[str, Any] | None = None

    @property
    def problem(self) -> str | None:
        """A message about a duplicate SOP Instance UID; None where there is nothing to report."""
        if self.outcome != "added" or self.other is None:
            return None
        place = shown(self.other["uri"])
        other = place if self.other["id"] is None else f"image {self.other['id']} ({place})"
        return (
            f"its SOP Instance UID {self.image.sop_instance_uid} is that of {other}, whose pixels differ: "
            f"both are kept, this one is flagged (same_uid); find out "
            "which is right, and withdraw the other"
        )


def register_images(connection: Connection, batch: Sequence[NewImage]) -> list[RegisteredImage]:
    """Add images to `image` in the given order, in the caller's transaction; returns an outcome for each.

    Takes the transaction-level advisory lock of ingestion, so that no other writer comes between the look-up of
    contents and UIDs and the insertion.
    """
    images.lock_ingestion(connection)
    seen: dict[tuple[str, int], list[dict[str, Any]]] = {}
    uids = [image.sop_instance_uid for image in batch if image.sop_instance_uid is not None]
    for row in images.by_sop_instance(connection, uids) if uids else ():
        seen.setdefault((row["sop_instance_uid"], row["frame"]), []).append(row)
    there = images.known(connection, [image.sha256 for image in batch])
    wanted: list[NewImage] = []
    written: list[RegisteredImage] = []
    for image in batch:
        others = seen.setdefault((image.sop_instance_uid or "", image.frame), []) if image.sop_instance_uid else []
        pixels = image.pixels_sha256
        twin = next((o for o in others if pixels is not None and o["pixels_sha256"] == pixels), None)
        if image.sha256 in there or any(w.sha256 == image.sha256 and w.frame == image.frame for w in wanted):
            written.append(RegisteredImage(image, "unchanged"))
        elif twin is not None:
            if twin["uri"] == image.uri and twin["id"] is not None:
                images.changed(connection, twin["id"], image.sha256)  # its header was edited in place
            written.append(RegisteredImage(image, "same", twin))
        else:
            image = replace(image, same_uid=bool(others))
            written.append(RegisteredImage(image, "added", others[0] if others else None))
            wanted.append(image)
            others.append({"id": None, "uri": image.uri, "pixels_sha256": pixels})
    images.add(connection, wanted)
    return written
