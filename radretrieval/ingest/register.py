"""Inspected images become rows of `image`.

An image is identified by its content. Where a SOP Instance UID occurs a second time, the pixels decide: with others
both are kept, the second flagged; with the same pixels it is the same image. If the header differs then, the file is a
correction: the row follows the newest file, and `image_history` keeps what was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from radretrieval.archive import codes, history, images
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import NewImage
from radretrieval.archive.schema.columns import FILE, HEADER
from radretrieval.config import Settings
from radretrieval.files.text import shown
from radretrieval.files.uris import file_uri, frame_uri
from radretrieval.logs import Log
from radretrieval.privacy.tombstones import Names, refuse

log = Log(__name__)


@dataclass(frozen=True)
class RegisteredImage:
    """One image and its outcome.

    outcome : `added`; `unchanged`, its content is there; `same`, its UID is, with the same pixels and header;
        `updated`, the same pixels with another header, which the row has now; or `forgotten`, and not taken again.
    other : the image (id, uri) whose UID it has, where the pixels differ (it was added) or are the same.
    replaced : SHA-256 of the file that it replaced.
    changed : the columns that were updated.
    forgotten_at : when it was forgotten.
    """

    image: NewImage
    outcome: str
    other: dict[str, Any] | None = None
    replaced: bytes | None = None
    changed: tuple[str, ...] = ()
    forgotten_at: datetime | None = None

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
            "which is right, and withdraw the other (radretrieval withdraw --image N)"
        )


def register_images(
    connection: Connection,
    settings: Settings,
    batch: Sequence[NewImage],
    lain_since: Mapping[str, datetime] | None = None,
) -> list[RegisteredImage]:
    """Add images to `image`, or update them, in the given order, in the caller's transaction; an outcome for each.

    Takes the lock of ingestion, so that no other writer comes between the look-up of
    contents and UIDs and the insertion. What was forgotten is refused here, whichever way it came: the caller then
    deletes it from the store (`drop_needless`).

    Parameters
    ----------
    settings : name the key of the pseudonyms, with which it is found out what was forgotten.
    lain_since : of files that were found in a folder, by URI, the time of their last change (st_ctime): a file with a
        header that its image had before, and that lay there before the correction, is no newer one.
    """
    images.lock_ingestion(connection)
    there = images.known(connection, [image.sha256 for image in batch])
    new = [image for image in batch if image.sha256 not in there]
    when = refuse(connection, settings, [Names.of(image) for image in new])
    forgotten = {image.sha256: at for image, at in zip(new, when, strict=True) if at is not None}
    taken = [image for image in batch if image.sha256 not in forgotten]
    registration = _Registration(connection, taken, there, lain_since or {})
    written = [
        RegisteredImage(image, "forgotten", forgotten_at=forgotten[image.sha256])
        if image.sha256 in forgotten
        else registration.register(image)
        for image in batch
    ]
    registration.write()
    return written


def log_updates(written: Iterable[RegisteredImage]) -> None:
    """Log each update after its commit: image, origin and the names of the columns, never a value."""
    for one in written:
        if one.outcome == "updated" and one.other is not None:
            log.warning(
                "header_updated",
                "image %(image)d has another header by a newer file from %(origin)s: %(columns)s",
                image=one.other["id"],
                origin=one.image.origin or "a folder",
                columns=", ".join(one.changed),
            )


class _Registration:
    """The state of `register_images`: rows that have the UIDs of the batch, and images that are not written yet."""

    def __init__(
        self,
        connection: Connection,
        batch: Sequence[NewImage],
        there: dict[bytes, dict[str, Any]],
        lain_since: Mapping[str, datetime],
    ) -> None:
        self.connection = connection
        self.lain_since = lain_since
        self.frames = Counter(content for content, _ in {(image.sha256, image.frame) for image in batch})
        self.there = there
        self.waiting: list[NewImage] = []
        self.added: set[tuple[bytes, int]] = set()
        self.rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._look_up({image.sop_instance_uid for image in batch if image.sop_instance_uid is not None})
        twins = [(image, self._twin(image)) for image in batch]
        images.lock(connection, [t["id"] for image, t in twins if t is not None and t["sha256"] != image.sha256])

    def register(self, image: NewImage) -> RegisteredImage:
        """Decide what becomes of an image."""
        row = self.there.get(image.sha256)
        if row is not None or (image.sha256, image.frame) in self.added:
            if row is not None and _astray(row):
                images.moved(self.connection, row["id"], file_uri(image.uri), image.kept)
            return RegisteredImage(image, "unchanged")
        twin = self._twin(image)
        if twin is not None and twin["id"] is None:  # of this batch: written first, so that its history is too
            self.write()
            self._look_up({str(image.sop_instance_uid)})
            twin = self._twin(image)
        if twin is not None:
            return self._follow(image, twin)
        others = self._others(image)
        image = replace(image, same_uid=bool(others))
        self.waiting.append(image)
        self.added.add((image.sha256, image.frame))
        other = others[0] if others else None
        if image.sop_instance_uid is not None:
            others.append({"id": None, "uri": image.uri, "pixels_sha256": image.pixels_sha256})
        return RegisteredImage(image, "added", other)

    def write(self) -> None:
        """Insert the images that wait."""
        waiting, self.waiting = self.waiting, []
        images.add(self.connection, waiting)

    def _look_up(self, uids: set[str]) -> None:
        for key in [key for key in self.rows if key[0] in uids]:
            del self.rows[key]
        for row in images.by_sop_instance(self.connection, sorted(uids)) if uids else ():
            self.rows.setdefault((row["sop_instance_uid"], row["frame"]), []).append(row)

    def _others(self, image: NewImage) -> list[dict[str, Any]]:
        """Rows with the SOP Instance UID and frame of an image."""
        if image.sop_instance_uid is None:
            return []
        return self.rows.setdefault((image.sop_instance_uid, image.frame), [])

    def _twin(self, image: NewImage) -> dict[str, Any] | None:
        """The row with the UID, frame and pixels of an image."""
        pixels = image.pixels_sha256
        return next((o for o in self._others(image) if pixels is not None and o["pixels_sha256"] == pixels), None)

    def _follow(self, image: NewImage, row: dict[str, Any]) -> RegisteredImage:
        """Have the row of an image follow a newer file of it."""
        if row["sha256"] == image.sha256:
            return RegisteredImage(image, "unchanged")
        here = file_uri(row["uri"]) == file_uri(image.uri)
        changed = _changed(row, image)
        if changed and not here and self._superseded(image, row):
            return RegisteredImage(image, "same", row)
        replaced = bytes(row["sha256"])
        if not changed:
            taken = here or _astray(row)
            if taken:
                self._take(image, row, ())
            return RegisteredImage(image, "same", row, replaced if taken else None)
        rows = [row]
        if self.frames[image.sha256] == 1:  # the file brings one frame: the others of the same object follow it
            frames = [o for key, found in self.rows.items() if key[0] == image.sop_instance_uid for o in found]
            rows += [o for o in frames if o is not row and o.get("sha256") == row["sha256"]]
        for one in rows:
            self._correct(image, one)
        return RegisteredImage(image, "updated", row, replaced, changed)

    def _correct(self, image: NewImage, row: dict[str, Any]) -> None:
        """Note what is there, and overwrite it."""
        changed = _changed(row, image)
        old = {name: row[name] for name in changed}
        if row["uri"].startswith(("http:", "https:")):  # a pull that finds it there again finds nothing new
            old["uri"] = file_uri(row["uri"])
        history.add(self.connection, row["id"], image.origin, row["sha256"], old)
        self._take(image, row, changed)
        given = {name: getattr(image, name) for name in ("irma_code", "split", *image.labelled)}
        if any(value is not None for value in given.values()):
            withdrawn = image.withdrawn if image.irma_code is not None else None
            images.relabel(self.connection, row["id"], {**given, "withdrawn": withdrawn})

    def _take(self, image: NewImage, row: dict[str, Any], columns: Sequence[str]) -> None:
        """Set the file of a row, and these columns of the header, to those of an image.

        Codes of a picture that another window or look-up table gave are deleted: `work` encodes the image anew.
        """
        if row["frame"] != image.frame:
            kept = image.kept if image.kept == "copy" else None
            uri = frame_uri(file_uri(image.uri), row["frame"])
            image = replace(image, uri=uri, kept=kept, shown_sha256=None)
        images.follow(self.connection, row["id"], image, tuple(dict.fromkeys((*FILE, *columns))))
        if row["shown_sha256"] is None or row["shown_sha256"] != image.shown_sha256:
            codes.forget(self.connection, row["id"])
        self.there.pop(bytes(row["sha256"]), None)
        self.added.discard((bytes(row["sha256"]), row["frame"]))
        row.update({name: getattr(image, name) for name in (*FILE, *columns)}, gone_at=None)

    def _superseded(self, image: NewImage, row: dict[str, Any]) -> bool:
        """Whether a file has a header that its image had before, and lay in its folder before the correction."""
        since = self.lain_since.get(file_uri(image.uri))
        past = history.of(self.connection, row["id"]) if since is not None else []
        if since is None or not past or since >= past[0][0]:
            return False
        names = [name for name in HEADER if name not in row["labelled"]]
        header = history.plain({name: getattr(image, name) for name in names})
        state = history.plain({name: row[name] for name in names})
        for _, old in past:
            state.update(old)
            if all(state[name] == header[name] for name in names):
                return True
        return False


def _changed(row: Mapping[str, Any], image: NewImage) -> tuple[str, ...]:
    """The columns of the header that a newer file changes, none that a person set, and shown_sha256 where it does."""
    shown = None not in (row["shown_sha256"], image.shown_sha256)
    names = (*HEADER, "shown_sha256") if shown else HEADER
    return tuple(n for n in names if n not in row["labelled"] and row[n] != getattr(image, n))


def _astray(row: Mapping[str, Any]) -> bool:
    """Whether the file of a row was found gone, and is not in the store."""
    return row["gone_at"] is not None and not row["uri"].startswith("store:")
