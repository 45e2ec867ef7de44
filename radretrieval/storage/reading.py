"""What reading an image file needs to know of the settings, without their module, whose import takes 0.2 s."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radretrieval.config import Settings


@dataclass(frozen=True)
class Reading:
    """The settings that reading an image file needs, in decoding processes.

    Attributes
    ----------
    max_pixels, store, credentials, path_key_file : as in `Settings`; None for none.
    """

    max_pixels: int
    store: Path | None = None
    credentials: Path | None = None
    path_key_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Reading:
        """Those of a process."""
        return cls(settings.max_pixels, settings.store_folder, settings.credentials, settings.path_key_file)
