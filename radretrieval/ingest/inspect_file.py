"""One file of an ingestion: its hash, and the rows of `image` that a decoding process makes of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.archive.images import NewImage
from radretrieval.config import Settings
from radretrieval.errors import ImageError
from radretrieval.files.uris import frame_uri, to_uri
from radretrieval.ingest.problem import Problem, of_pixels
from radretrieval.storage.store_access import StoreAccess

if TYPE_CHECKING:
    from radretrieval.imaging.radiograph import Radiograph

LONGEST_UID = 64
LONGEST_URI = 2000  # characters; an index of PostgreSQL takes 2,700 bytes


@dataclass(frozen=True)
class InspectOptions:
    """Options of decoding processes: the settings of the same names, and the folder of the store."""

    max_pixels: int
    frames: str
    keep: str
    reduced_size: int
    store: Path
    store_group: str | None
    header: tuple[str, ...]
    header_more: tuple[str, ...]
    path_key_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> InspectOptions:
        """The options in `settings`.

        Raises UsageError for header attributes that must not or cannot be kept, and for a group that cannot be used.
        """
        StoreAccess.of(settings.store_group)
        if settings.header_more:
            from radretrieval.imaging.header import check_keywords

            check_keywords(settings.header_more)
        return cls(
            settings.max_pixels,
            settings.frames,
            settings.keep,
            settings.reduced_size,
            settings.store_folder,
            settings.store_group,
            settings.header,
            settings.header_more,
            settings.path_key_file,
        )


@dataclass(frozen=True)
class File:
    """A file to inspect: its path, and the URI that its image will have.

    sha256 : of a file that is in the store already, under this hash.
    """

    path: str
    uri: str
    origin: str | None = None
    sha256: bytes | None = None


@dataclass(frozen=True)
class InspectedFile:
    """An inspected file: its images, one unless each frame becomes one, and the patient identifier of its header.

    problems : those of the images' pixels, each once.
    """

    images: list[NewImage]
    patient_id: str | None
    issuer: str | None
    problems: tuple[Problem, ...] = ()


def inspect_file(file: File | str, options: InspectOptions) -> InspectedFile:
    """Read and decode one file, in a decoding process, and put into the store what `keep` asks for.

    Raises ImageError with the reason when it is no radiograph, EnvironmentUnusable when the store cannot be written.
    """
    from radretrieval.imaging.dicom import header_values
    from radretrieval.imaging.reader import decode_image, read_bytes

    named = file if isinstance(file, str) else file.uri
    if isinstance(file, str):
        file = File(file, to_uri(file, options.path_key_file))
    data = read_bytes(file.path, max_pixels=options.max_pixels)
    sha256 = hashlib.sha256(data).digest()
    if file.sha256 not in (None, sha256):
        raise ImageError("is damaged in the store: its SHA-256 is not that of what came; have it sent or pulled again")
    first = decode_image(data, max_pixels=options.max_pixels)
    if first.frames > 1 and options.frames == "refuse":
        raise ImageError(f"holds {first.frames} frames; RADRETRIEVAL_FRAMES=first or each takes them")
    for uid in (first.sop_instance_uid, first.series_instance_uid, first.study_instance_uid):
        if uid is not None and len(uid) > LONGEST_UID:
            raise ImageError(f"its header has a UID of {len(uid)} characters; {LONGEST_UID} are legal (PS3.5, 9.1)")
    more = header_values(data, options.header_more, options.max_pixels) if first.format == "dicom" else {}
    frames = range(1, first.frames + 1) if first.frames > 1 and options.frames == "each" else [1]
    images: list[NewImage] = []
    problems: dict[Problem, None] = {}
    for frame in frames:
        radiograph = first if frame == 1 else decode_image(data, max_pixels=options.max_pixels, frame=frame)
        kept = _keep(radiograph, data, sha256, frame, file, options)
        uri = frame_uri(file.uri, frame) if len(frames) > 1 else file.uri
        images.append(_row(radiograph, sha256, uri, frame, file.origin, kept, more, options.header))
        problems |= dict.fromkeys(of_pixels(named, radiograph))
    return InspectedFile(images, first.patient_id, first.issuer, tuple(problems))


def _row(
    radiograph: Radiograph,
    sha256: bytes,
    uri: str,
    frame: int,
    origin: str | None,
    kept: str | None,
    more: dict[str, str],
    header: tuple[str, ...],
) -> NewImage:
    from radretrieval.imaging.header import ATTRIBUTES

    wanted = {name for name, keywords in ATTRIBUTES.items() if set(keywords) & set(header)}
    return NewImage(
        sha256=sha256,
        uri=uri,
        format=radiograph.format,
        rows=radiograph.rows,
        columns=radiograph.columns,
        bits_stored=radiograph.bits_stored,
        photometric=radiograph.photometric,
        sop_instance_uid=radiograph.sop_instance_uid,
        series_instance_uid=radiograph.series_instance_uid,
        study_instance_uid=radiograph.study_instance_uid,
        sop_class_uid=radiograph.sop_class_uid,
        transfer_syntax_uid=radiograph.transfer_syntax_uid,
        pixels_sha256=radiograph.pixels_sha256,
        shown_sha256=radiograph.shown_sha256,
        frame=frame,
        origin=origin,
        kept=kept,
        header=more or None,
        flat=radiograph.flat,
        **{name: getattr(radiograph, name) for name in wanted},
    )


def _keep(
    radiograph: Radiograph, data: bytes, sha256: bytes, frame: int, file: File, options: InspectOptions
) -> str | None:
    """Put the file, or its reduced pixels, into the store as `keep` asks for; returns the value of `image.kept`."""
    from radretrieval.storage.content_store import ContentStore

    store = ContentStore(options.store, options.store_group)
    if file.sha256 is not None and file.uri.startswith("store:"):
        return "copy"  # the store is its only place
    if options.keep == "copy":
        store.put(data)
        return "copy"
    if options.keep == "reduced":
        store.put_reduced(sha256, radiograph.pixels, options.reduced_size, frame)
        return "reduced"
    return None


def hashed(path: str, path_key_file: Path | None = None) -> bytes | Exception:
    """SHA-256 of a file, read in pieces; or why it cannot be taken."""
    try:
        if len(to_uri(path, path_key_file)) > LONGEST_URI:
            return ImageError(f"has a path that is too long for the archive ({LONGEST_URI} characters of its URI)")
        if os.path.isdir(path):
            return ImageError("is a folder that cannot be listed; check who may read it")
        if not os.path.isfile(path):
            return ImageError("is not a regular file")
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        return ImageError(f"cannot be read: {error.strerror}")
