"""The store: files that the archive keeps itself, each under the SHA-256 of its content.

A file is written under a temporary name, brought to the disk and renamed: whatever happens, what has its name is whole.
Only its owner can read it, or a group that is named (`store_access`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radretrieval.files.atomic import replacing, sync_file, write_bytes
from radretrieval.imaging.resample import resample
from radretrieval.storage.draft import Draft, delete_abandoned
from radretrieval.storage.store_access import StoreAccess, store_errors
from radretrieval.storage.store_identity import same_store

_DRAFTS = "drafts"  # the folder beside `ab/`
_SIZE = "original"  # in the text of a reduced picture: rows and columns that the original has


class ContentStore:
    """Files by content in folders `ab/cd/`, the first digits of their names.

    Parameters
    ----------
    group : that may read what is written, as RADRETRIEVAL_STORE_GROUP names it; None for the owner alone.

    Raises UsageError for a group that does not exist or that this process may not give files to.
    """

    def __init__(self, folder: Path, group: str | None = None) -> None:
        self.folder = folder
        self.access = StoreAccess.of(group)

    def path(self, sha256: bytes) -> Path:
        """The path of the file with this content, whether it exists or not."""
        name = sha256.hex()
        return self.folder.joinpath(name[:2], name[2:4], name)

    def reduced_path(self, sha256: bytes, frame: int = 1) -> Path:
        """The path of the reduced pixels of a frame, whether it exists or not."""
        return self.path(sha256).with_suffix(f".{frame}.png")

    def put(self, data: bytes) -> bytes:
        """Write a file, unless an equal one exists, and fsync it and the folders in which it is. Returns its SHA-256.

        Raises EnvironmentUnusable where it cannot be written: a full disk, or no permission; StoreUnavailable where it
        went away since this process's last write.
        """
        sha256 = hashlib.sha256(data).digest()
        self._write(self.path(sha256), data, there=_holds(self.path(sha256), sha256))
        return sha256

    def draft(self) -> Draft:
        """A file to be written piece by piece, and then to be kept (`keep`) and closed."""
        return Draft(self.folder, self._drafts, self.access)

    def keep(self, draft: Draft) -> None:
        """Move a draft to where its SHA-256 says, unless an equal file is there, and fsync as `put` does.

        Raises EnvironmentUnusable, and StoreUnavailable as `put`.
        """
        path = self.path(draft.sha256)
        there = _holds(path, draft.sha256)
        if (content := draft.content) is not None:
            self._write(path, content, there)
            return
        with store_errors(self.folder), same_store(self.folder, path):
            if there and _synced(path):
                return
            self.access.make_folders(self.folder, path.parent)
            with replacing(path, parents=True, draft=draft.path) as place:
                draft.write_to(place)

    def delete_abandoned_drafts(self) -> None:
        """Delete the drafts of processes that were killed."""
        delete_abandoned(self._drafts)

    def put_reduced(self, sha256: bytes, pixels: NDArray[np.float32], size: int, frame: int = 1) -> None:
        """Keep the pixels of a file, float32 (rows, columns), 0…1, as 16-bit grey, the longest side at most `size`."""
        from PIL import Image, PngImagePlugin

        rows, columns = pixels.shape
        scale = min(1.0, size / max(rows, columns))
        small = resample(pixels, (max(1, round(rows * scale)), max(1, round(columns * scale))))
        told = PngImagePlugin.PngInfo()
        told.add_text(_SIZE, f"{rows} {columns}")
        buffer = io.BytesIO()
        Image.fromarray(np.round(small * 65535).astype(np.uint16)).save(buffer, "PNG", pnginfo=told)
        path = self.reduced_path(sha256, frame)
        self._write(path, buffer.getvalue(), there=path.exists())

    def reduced(self, sha256: bytes, frame: int = 1, *, whole: bool = True) -> NDArray[np.float32] | None:
        """Reduced pixels, float32 (rows, columns), 0…1, brought back to the size of the original; None if not kept.

        Parameters
        ----------
        whole : False leaves them at the size in which they are kept.
        """
        from PIL import Image

        try:
            with Image.open(self.reduced_path(sha256, frame)) as image:
                rows, columns = map(int, str(image.info[_SIZE]).split())
                small = np.asarray(image, np.float32) / np.float32(65535)
        except FileNotFoundError:
            return None
        return resample(small, (rows, columns)) if whole else small

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the store with the SHA-256 in its name, b"" for drafts that a killed process left."""
        for folder in (*sorted(self.folder.glob("??/??")), *self.folder.glob(_DRAFTS)):
            for path in sorted(folder.iterdir()):
                try:
                    yield path, bytes.fromhex(path.name.partition(".")[0])
                except ValueError:
                    yield path, b""

    def take(self, sha256: bytes) -> None:
        """Delete a file, if it exists."""
        self.path(sha256).unlink(missing_ok=True)

    def take_reduced(self, sha256: bytes) -> None:
        """Delete the reduced pixels of a file, every frame, if they exist."""
        for path in self.path(sha256).parent.glob(f"{sha256.hex()}.*.png"):
            path.unlink(missing_ok=True)

    @property
    def _drafts(self) -> Path:
        return self.folder / _DRAFTS

    def _write(self, path: Path, data: bytes, there: bool) -> None:
        """Write a file; of one that is there already, bring it and its names to the disk."""
        with store_errors(self.folder), same_store(self.folder, path):
            if there and _synced(path):
                return
            self.access.make_folders(self.folder, path.parent)
            write_bytes(path, data, mode=self.access.file_mode, owner=self.access.owner, parents=True)


def _synced(path: Path) -> bool:
    """Bring a file and its names to the disk; False where it was deleted meanwhile: an intake may take it any time."""
    try:
        sync_file(path)
    except FileNotFoundError:
        return False
    return True


def _holds(path: Path, sha256: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except OSError:  # not there, or not to be read: writing it tells more
        return False
