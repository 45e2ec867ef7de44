"""What the archive does not hold and only the network can tell: the reals behind the codes, and its own classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import encoders
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.engine import Archive
from radretrieval.config import Settings

BATCH = 64


@dataclass(frozen=True)
class Seen:
    """What the network makes of some images.

    Attributes
    ----------
    reals : float32 (n, bits), the code layer's pre-activations; NaN for an image whose file cannot be read any more.
    classes : n IRMA codes, the likeliest class of each; None likewise.
    """

    reals: NDArray[np.float32]
    classes: list[str | None]

    @property
    def unreadable(self) -> int:
        """How many files could not be read."""
        return self.classes.count(None)


def look(
    archive: Archive,
    settings: Settings,
    encoder: Encoder,
    sets: Sequence[CodeSet],
    device: str,
    advance: Callable[[int], None],
) -> list[Seen]:
    """Read and encode the files of some sets of images again.

    Raises EnvironmentUnusable when the device is not there.
    """
    from radretrieval.coding.cnnc import Coder
    from radretrieval.imaging.decoders import Decoders
    from radretrieval.imaging.original import Original, read_resampled

    with archive.connection() as connection:
        coder = Coder(encoders.weights(connection, encoder, settings.home / "weights"), encoder.profile, device)
    job = partial(read_resampled, size=encoder.profile.network.input_size, max_pixels=settings.max_pixels)
    found = []
    with Decoders(
        os.cpu_count() or 1, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes
    ) as decoders:
        for images in sets:
            reals = np.full((len(images.image_ids), encoder.profile.network.code_bits), np.nan, np.float32)
            classes: list[str | None] = [None] * len(reals)
            sources = [Original(*pair) for pair in zip(images.uris, images.sha256, strict=True)]
            results = enumerate(result for _, result in decoders.map(sources))
            while batch := list(islice(results, BATCH)):
                able = [(place, pixels) for place, pixels in batch if not isinstance(pixels, Exception)]
                if able:
                    places = [place for place, _ in able]
                    reals[places], best = coder.reals_and_classes(np.stack([pixels for _, pixels in able]))
                    for place, number in zip(places, best.tolist(), strict=True):
                        classes[place] = encoder.classes[number]
                advance(len(batch))
            found.append(Seen(reals, classes))
    return found
