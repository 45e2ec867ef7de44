"""The network's outputs that the archive does not store: pre-activations of the code layer, and the softmax's class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.coder import load_coder
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.evaluation.encoder_runs import EncoderRun
from radretrieval.files.failures import FailureList
from radretrieval.files.text import shown
from radretrieval.storage.prepare import PreparedImage, PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile

if TYPE_CHECKING:
    from radretrieval.coding.cnnc import Coder
    from radretrieval.storage.worker_pool import WorkerPool

BATCH = 64


@dataclass(frozen=True)
class NetworkOutputs:
    """Outputs of the network for some images.

    Attributes
    ----------
    reals : float32 (n, bits), the code layer's pre-activations; NaN for an image whose file cannot be read.
    classes : n IRMA codes, the likeliest class of each image; None for an image whose file cannot be read.
    failures : the files that cannot be read.
    """

    reals: NDArray[np.float32]
    classes: list[str | None]
    failures: FailureList = field(default_factory=FailureList)


def run_network(
    database: Database, settings: Settings, run: EncoderRun, device: str, advance: Callable[[int], None]
) -> tuple[NetworkOutputs, NetworkOutputs]:
    """Read and encode the files of an encoder's queries and of its searched images again.

    Raises EnvironmentUnusable when the device is not there.
    """
    with database.connection() as connection:
        coder = load_coder(connection, run.encoder, settings, device)
    with prepare_pool(settings) as decoders:
        queries = _outputs(coder, decoders, run.queries, run.encoder.classes, advance)
        return queries, _outputs(coder, decoders, run.searched, run.encoder.classes, advance)


def _outputs(
    coder: Coder,
    decoders: WorkerPool[PrepareTask, PreparedImage],
    images: CodeSet,
    classes: tuple[str, ...],
    advance: Callable[[int], None],
) -> NetworkOutputs:
    network = coder.profile.network
    reals = np.full((len(images.image_ids), network.code_bits), np.nan, np.float32)
    outputs = NetworkOutputs(reals, [None] * len(reals))
    files = (SourceFile(*pair) for pair in zip(images.uris, images.sha256, strict=True))
    results = enumerate(decoders.map(PrepareTask(file, network.input_size) for file in files))
    while batch := list(islice(results, BATCH)):
        able: dict[int, NDArray[np.float32]] = {}
        for place, (task, result) in batch:
            if isinstance(result, Exception):
                outputs.failures.add(shown(task.file.uri), result, str(result))
            else:
                able[place] = result.network_input
        if able:
            reals[list(able)], best = coder.reals_and_classes(np.stack(list(able.values())))
            for place, number in zip(able, best.tolist(), strict=True):
                outputs.classes[place] = classes[number]
        advance(len(batch))
    return outputs
