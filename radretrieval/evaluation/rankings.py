"""Rankings: the hits of every query among the searched images, by codes, barcodes or the network.

Candidates by code come from the archive, by the SQL distance and order of `search`; the rest is computed in numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.codes import CodeSet
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.search import nearest
from radretrieval.coding.hamming import nearest as nearest_codes
from radretrieval.coding.rerank import BARCODE_ALONE, Weights, rerank_many
from radretrieval.evaluation.encoder_runs import EncoderRun
from radretrieval.evaluation.network_outputs import NetworkOutputs
from radretrieval.evaluation.scores import NOTHING

BLOCK = 128  # queries ranked at a time: bounds memory whatever the archive's size
KINDS = ("cnnc+rbc", "real+rbc", "cnnc", "rbc", "softmax")
NETWORK = ("real+rbc", "softmax")  # the kinds that need the network


@dataclass(frozen=True)
class Ranking:
    """The hits of every query by one kind of ranking.

    Attributes
    ----------
    kind : one of `KINDS`. name : as tables show it. encoder_id : whose codes it ranks by.
    places : int64 (m, k), positions of the hits in the searched images, best first; -1 where there is none.
    cnnc, rbc : int32 (m, k), the distances of the hits; -1 where the ranking has none.
    predicted : m IRMA codes, those of the first hits; `NOTHING` where there is no hit.
    """

    kind: str
    name: str
    encoder_id: int
    places: NDArray[np.int64]
    cnnc: NDArray[np.int32]
    rbc: NDArray[np.int32]
    predicted: list[str]


def name_of(kind: str, encoder: Encoder) -> str:
    """The name of a ranking as in the paper's Table 2, with the input size in brackets."""
    size = encoder.profile.network.input_size
    return {
        "cnnc+rbc": f"CNNC({size}) + RBC",
        "real+rbc": f"CNNC({size}, no binarization) + RBC",
        "cnnc": f"CNNC({size}) alone",
        "rbc": "RBC alone",
        "softmax": f"softmax({size})",
    }[kind]


def by_codes(connection: Connection, run: EncoderRun, advance: Callable[[int], None]) -> list[Ranking]:
    """`cnnc+rbc` and `cnnc`: the nearest codes, re-ranked as the profile says, and as they are."""
    encoder, queries, searched = run.encoder, run.queries, run.searched
    profile, top = encoder.profile, encoder.profile.query.hits
    weights = Weights.of(profile)
    reranked, alone = (_TopHits(len(queries.image_ids), top) for _ in range(2))
    limit = max(profile.query.candidates, top)
    for part, ids, distances in nearest.nearest_of_images(
        connection, encoder, queries.image_ids, searched.image_ids, limit
    ):
        places = np.where(ids < 0, -1, np.searchsorted(searched.image_ids, ids))
        order, rbc = rerank_many(queries.rbc[part], searched.rbc[places], distances, ids, weights)
        reranked.add(part, places, distances, rbc, order)
        alone.add(part, places, distances, rbc, np.broadcast_to(np.arange(order.shape[1]), order.shape))
        advance(len(ids))
    return [reranked.ranking("cnnc+rbc", encoder, searched), alone.ranking("cnnc", encoder, searched)]


def by_barcodes(run: EncoderRun, advance: Callable[[int], None]) -> Ranking:
    """`rbc`: the nearest barcodes of all."""
    encoder, queries, searched = run.encoder, run.queries, run.searched
    top = encoder.profile.query.hits
    hits = _TopHits(len(queries.image_ids), top)
    for part in _blocks(len(queries.image_ids)):
        places, distances = nearest_codes(queries.rbc[part], searched.rbc, top + 1)
        # a query that is itself among the searched images comes last
        own = searched.image_ids[places] == queries.image_ids[part, None]
        order = np.argsort(own, axis=1, kind="stable")
        places = np.where(own, -1, places)
        hits.add(part, places, np.full_like(distances, -1), distances, order)
        advance(len(places))
    return hits.ranking("rbc", encoder, searched)


def by_network(run: EncoderRun, queries: NetworkOutputs, searched: NetworkOutputs) -> list[Ranking]:
    """`real+rbc` (the candidates by the Euclidean distance of the reals) and `softmax`.

    A ranking that needs a file that cannot be read is left out, for it would miss answers.
    """
    found = []
    if not queries.failures and not searched.failures:
        found.append(by_reals(run, queries.reals, searched.reals))
    if not queries.failures:
        none = np.full((len(queries.classes), 0), -1)
        places, distances = none.astype(np.int64), none.astype(np.int32)
        name, classes = name_of("softmax", run.encoder), [code or NOTHING for code in queries.classes]
        found.append(Ranking("softmax", name, run.encoder.id, places, distances, distances, classes))
    return found


def by_reals(run: EncoderRun, mine: NDArray[np.float32], others: NDArray[np.float32]) -> Ranking:
    """`real+rbc`: the nearest reals, re-ranked by barcode alone, whatever the profile says.

    Parameters
    ----------
    mine, others : float32 (m, bits) of the queries, and (n, bits) of the searched images.
    """
    encoder, queries, searched = run.encoder, run.queries, run.searched
    top = encoder.profile.query.hits
    limit = max(encoder.profile.query.candidates, top)
    hits = _TopHits(len(queries.image_ids), top)
    # Open in the paper: which distance. Euclidean, chosen once: on our corpus of 12 classes the cosine gave 0.3 to 1.7
    # points less accuracy in each of four trainings.
    double = others.astype(np.float64)
    norms = (double**2).sum(1)
    for part in _blocks(len(mine)):
        # squared distances without the query's own norm, which does not change the order
        distances = norms - 2 * (mine[part].astype(np.float64) @ double.T)
        distances[searched.image_ids == queries.image_ids[part, None]] = np.inf
        places = np.argsort(distances, axis=1, kind="stable")[:, :limit]  # ties by id, at the last place too
        near = np.take_along_axis(distances, places, 1)
        ids = np.where(np.isinf(near), -1, searched.image_ids[places])
        order, rbc = rerank_many(queries.rbc[part], searched.rbc[places], near, ids, BARCODE_ALONE)
        hits.add(part, np.where(ids < 0, -1, places), np.full(rbc.shape, -1, np.int32), rbc, order)
    return hits.ranking("real+rbc", encoder, searched)


class _TopHits:
    """The first hits of each query, filled block by block."""

    def __init__(self, queries: int, top: int) -> None:
        self.places = np.full((queries, top), -1, np.int64)
        self.cnnc, self.rbc = (np.full((queries, top), -1, np.int32) for _ in range(2))

    def add(
        self,
        part: slice,
        places: NDArray[np.int64],
        cnnc: NDArray[np.int32],
        rbc: NDArray[np.int32],
        order: NDArray[np.intp],
    ) -> None:
        """Keep the first hits of each row, in this order; a negative place holds none."""
        best = order[:, : self.places.shape[1]]
        for kept, values in ((self.places, places), (self.cnnc, cnnc), (self.rbc, rbc)):
            kept[part, : best.shape[1]] = np.take_along_axis(values, best, 1)
        for kept in (self.cnnc, self.rbc):
            kept[part][self.places[part] < 0] = -1

    def ranking(self, kind: str, encoder: Encoder, searched: CodeSet) -> Ranking:
        codes = searched.labels
        predicted = [codes[place] if place >= 0 else NOTHING for place in self.places[:, 0].tolist()]
        return Ranking(kind, name_of(kind, encoder), encoder.id, self.places, self.cnnc, self.rbc, predicted)


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
