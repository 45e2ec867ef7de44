"""Files that users search with: in memory alone, bounded in bytes and time, each of one user."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property

from radretrieval.errors import NotInArchive
from radretrieval.search.query import QueryFile
from radretrieval.serve.films import MadeFilm


@dataclass
class Upload:
    """A file that was uploaded.

    Attributes
    ----------
    token : names it in requests; nobody can guess it.
    user : whose it is. file : with its radiograph. film : as browsers get it.
    used : when it was last used, `time.monotonic`.
    image_id, irma_code, problems : what its last search has told of it.
    """

    token: str
    user: str
    file: QueryFile
    film: MadeFilm
    used: float
    image_id: int | None = None
    irma_code: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        levels = sum(map(len, self.film.levels.values())) + len(self.film.thumbnail)
        return len(self.file.data) + self.file.radiograph.pixels.nbytes + levels

    @cached_property
    def sha256(self) -> bytes:
        """Hash of the file."""
        return hashlib.sha256(self.file.data).digest()


class Uploads:
    """The uploads of all users; threads may share it.

    Parameters
    ----------
    most : bytes; the least recently used are dropped first, never the last one. seconds : for which one is kept unused.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, user: str, file: QueryFile, film: MadeFilm) -> Upload:
        """Keep a file of a user."""
        upload = Upload(secrets.token_urlsafe(24), user, file, film, time.monotonic())
        with self._lock:
            self._kept[upload.token] = upload
            size = sum(one.size for one in self._kept.values())
            while size > self._most and len(self._kept) > 1:
                size -= self._kept.popitem(last=False)[1].size
        return upload

    def get(self, user: str, token: str) -> Upload:
        """The upload of this token; raises NotInArchive where it is another user's, or not kept any more."""
        self.drop_unused()
        with self._lock:
            upload = self._kept.get(token)
            if upload is None or upload.user != user:
                raise NotInArchive("the upload is not kept any more; upload the file again")
            upload.used = time.monotonic()
            self._kept.move_to_end(token)
            return upload

    def images(self) -> set[int]:
        """The images of the archive that uploads are."""
        with self._lock:
            return {one.image_id for one in self._kept.values() if one.image_id is not None}

    def drop_images(self, images: set[int]) -> None:
        """Drop the uploads that are these images."""
        with self._lock:
            for token in [token for token, one in self._kept.items() if one.image_id in images]:
                del self._kept[token]

    def drop_unused(self) -> None:
        """Drop what was not used for so long that it is not kept any more."""
        since = time.monotonic() - self._seconds
        with self._lock:
            while self._kept and next(iter(self._kept.values())).used < since:
                self._kept.popitem(last=False)
