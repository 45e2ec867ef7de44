"""A search refined by hits that a user called relevant or not: further candidates, all of them in another order.

Candidates are those of the search itself and as many that are nearest to the refined code (`coding.refine`); the codes
and the barcodes of all are compared with the refined query, each by half. What is not relevant is left out. Distances
in the answer remain those to the query. Probabilities are fitted on answers that nobody refined: there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.search import nearest, stored
from radretrieval.archive.search.nearest import Candidate
from radretrieval.archive.search.stored import StoredQuery
from radretrieval.coding.hamming import distances
from radretrieval.coding.radon import bins
from radretrieval.coding.refine import agreement, order, refined
from radretrieval.errors import NotInArchive, UsageError
from radretrieval.search.query import SearchQuery
from radretrieval.search.request import Hit, Request

_ONE_PER = {"patient": "patient_key", "study": "study_instance_uid"}


class Codes(NamedTuple):
    """Where the codes of an encoder and the barcodes of its geometry are read."""

    connection: Connection
    encoder: Encoder
    geometry: int

    def of(self, ids: Sequence[int]) -> dict[int, StoredQuery]:
        """The images with these ids, by id."""
        return stored.by_ids(self.connection, self.encoder.id, self.geometry, ids)


def refine(
    codes: Codes, query: SearchQuery, request: Request, found: Sequence[Candidate]
) -> tuple[list[Candidate], list[Hit]]:
    """The candidates of a refined search, by CNNC distance, and its hits.

    Parameters
    ----------
    found : the candidates of the search without judgements.

    Raises
    ------
    NotInArchive : a judged image that is not there. UsageError : one without a code.
    """
    profile = codes.encoder.profile
    bits, barcode_bits = profile.network.code_bits, profile.barcode.angles * bins(profile.barcode.size)
    good, bad = (_judged(codes, ids) for ids in (request.relevant, request.not_relevant))
    assert query.cnnc is not None, "the search has coded it"
    assert query.rbc is not None, "the search has coded it"
    by_code = refined(query.cnnc, _codes(good, "cnnc", query), _codes(bad, "cnnc", query), bits)
    by_barcode = refined(query.rbc, _codes(good, "rbc", query), _codes(bad, "rbc", query), barcode_bits)
    more = _more(codes, query, request, by_code.code)
    candidates = {one.image_id: one for one in (*found, *more) if one.image_id not in request.not_relevant}
    known = codes.of(list(candidates))
    films = [one for one in known.values() if one.cnnc is not None]
    cnnc, rbc = _codes(films, "cnnc", query), _codes(films, "rbc", query)
    ids, far = np.array([one.image_id for one in films], np.int64), distances(query.cnnc, cnnc)
    best = order(agreement(by_code.weights, cnnc), bits, agreement(by_barcode.weights, rbc), barcode_bits, ids)
    apart = distances(query.rbc, rbc)
    ranked = [replace(candidates[films[place].image_id], cnnc_distance=int(far[place])) for place in best.tolist()]
    kept = _allowed(ranked, request)
    barcodes = dict(zip(ids.tolist(), apart.tolist(), strict=True))
    hits = [
        Hit(
            **vars(one.facts),
            rank=rank,
            image_id=one.image_id,
            cnnc_distance=one.cnnc_distance,
            rbc_distance=barcodes[one.image_id],
        )
        for rank, one in enumerate(kept[: request.top], start=1)
    ]
    return sorted(kept, key=lambda one: (one.cnnc_distance, one.image_id)), hits


def _judged(codes: Codes, ids: Sequence[int]) -> list[StoredQuery]:
    encoder, known = codes.encoder, codes.of(ids)
    for one in ids:
        if one not in known:
            raise NotInArchive(f"--relevant, --not-relevant: {images.absent(codes.connection, one)}; leave it out")
        if known[one].cnnc is None:
            raise UsageError(
                f"--relevant, --not-relevant: image {one} has no code of encoder {encoder.id}; leave it out, or run: "
                f"{encoder.work_command}"
            )
    return [known[one] for one in ids]


def _more(codes: Codes, query: SearchQuery, request: Request, code: NDArray[np.uint8]) -> list[Candidate]:
    """The candidates that are nearest to the refined code; --max-distance is a distance from the query itself."""
    wanted = request.filter(query.image_id, query.patient_key)
    left_out = (*wanted.not_images, *request.not_relevant)
    wanted = replace(wanted, max_distance=None, not_images=left_out)
    return nearest.candidates(*codes, code, max(request.candidates, request.top), wanted)[0]


def _codes(films: Sequence[StoredQuery], name: str, query: SearchQuery) -> NDArray[np.uint8]:
    """The codes, or barcodes, of films, uint8 (n, bytes)."""
    found = [getattr(one, name) for one in films]
    return np.stack(found) if found else np.empty((0, len(getattr(query, name))), np.uint8)


def _allowed(ranked: Sequence[Candidate], request: Request) -> list[Candidate]:
    """Of candidates from the best on, those within --max-distance, and the first of each patient or study."""
    kept, seen = [], set[str]()
    for one in ranked:
        if request.max_distance is not None and one.cnnc_distance > request.max_distance:
            continue
        of = getattr(one.facts, _ONE_PER[request.one_per]) if request.one_per else None
        if of is None or of not in seen:
            kept.append(one)
            seen |= {of} if of is not None else set()
    return kept
