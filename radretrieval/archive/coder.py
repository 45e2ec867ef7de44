"""The network of a stored encoder, ready to encode."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from radretrieval.archive import encoders
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.config import Settings

if TYPE_CHECKING:
    from radretrieval.coding.cnnc import Coder


def load_coder(connection: Connection, encoder: Encoder, settings: Settings, device: str) -> Coder:
    """Load an encoder's network on a device, from the cache of weights in `settings.home` or from the database.

    Raises EnvironmentUnusable when the device is not there.
    """
    from radretrieval.coding.cnnc import Coder  # imports torch, which stored codes do not need

    weights = encoders.weights(connection, encoder, settings.weights_folder)
    return Coder(weights, encoder.profile, device)


class Coders:
    """Loaded networks, those last used: threads share them, and a network encodes for one thread at a time.

    Parameters
    ----------
    device : of the networks. most : how many are kept.
    """

    def __init__(self, settings: Settings, device: str = "auto", most: int = 2) -> None:
        self.settings = settings
        self.device = device
        self._most = most
        self._loaded: dict[int, Coder] = {}
        self._lock = threading.Lock()

    def of(self, connection: Connection, encoder: Encoder) -> Coder:
        """The network of an encoder, loaded when first needed; raises EnvironmentUnusable as `load_coder`."""
        with self._lock:
            coder = self._loaded.pop(encoder.id, None) or load_coder(connection, encoder, self.settings, self.device)
            self._loaded[encoder.id] = coder
            while len(self._loaded) > self._most:
                self._loaded.pop(next(iter(self._loaded)))
            return coder
