"""The network of a stored encoder, ready to encode."""

from __future__ import annotations

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
