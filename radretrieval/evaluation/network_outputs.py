"""What the archive does not hold and only the network can tell: the reals behind the codes, and its own classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import encoders
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.connections import Database
from radretrieval.archive.encoders import Encoder
from radretrieval.config import Settings
from radretrieval.evaluation.encoder_runs import Party
from radretrieval.files.uris import printable, shown

if TYPE_CHECKING:
    from radretrieval.coding.cnnc import Coder
    from radretrieval.storage.source import Original
    from radretrieval.storage.worker_pool import Decoders

BATCH = 64


@dataclass(frozen=True)
class Seen:
    """What the network makes of some images.

    Attributes
    ----------
    reals : float32 (n, bits), the code layer's pre-activations; NaN for an image whose file cannot be read any more.
    classes : n IRMA codes, the likeliest class of each; None likewise.
    failures : those files: path, error, message.
    """

    reals: NDArray[np.float32]
    classes: list[str | None]
    failures: list[dict[str, str]]


def look(
    database: Database, settings: Settings, party: Party, device: str, advance: Callable[[int], None]
) -> tuple[Seen, Seen]:
    """Read and encode the files of queries and searched images again.

    Raises EnvironmentUnusable when the device is not there.
    """
    from radretrieval.coding.cnnc import Coder
    from radretrieval.storage.source import read_resampled
    from radretrieval.storage.worker_pool import Decoders

    encoder = party.encoder
    with database.connection() as connection:
        coder = Coder(encoders.weights(connection, encoder, settings.home / "weights"), encoder.profile, device)
    job = partial(read_resampled, size=encoder.profile.network.input_size, reading=settings.reading)
    with Decoders(
        os.cpu_count() or 1, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes
    ) as decoders:
        first = _seen(coder, decoders, party.queries, encoder, advance)
        return first, _seen(coder, decoders, party.searched, encoder, advance)


def _seen(
    coder: Coder,
    decoders: Decoders[Original, NDArray[np.float32]],
    images: CodeSet,
    encoder: Encoder,
    advance: Callable[[int], None],
) -> Seen:
    from radretrieval.storage.source import Original

    reals = np.full((len(images.image_ids), encoder.profile.network.code_bits), np.nan, np.float32)
    found = Seen(reals, [None] * len(reals), [])
    results = enumerate(decoders.map([Original(*pair) for pair in zip(images.uris, images.sha256, strict=True)]))
    while batch := list(islice(results, BATCH)):
        able = []
        for place, (source, pixels) in batch:
            if isinstance(pixels, Exception):
                path, error = shown(source.uri), type(pixels).__name__
                found.failures.append({"path": path, "error": error, "message": printable(str(pixels))})
            else:
                able.append((place, pixels))
        if able:
            places = [place for place, _ in able]
            reals[places], best = coder.reals_and_classes(np.stack([pixels for _, pixels in able]))
            for place, number in zip(places, best.tolist(), strict=True):
                found.classes[place] = encoder.classes[number]
        advance(len(batch))
    return found
