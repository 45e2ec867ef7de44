"""Answers of an archive to some of its own images, by which a restored one is compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from radretrieval.archive import code_facts, codes, encoders
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.search import nearest, stored
from radretrieval.archive.search.stored import StoredQuery
from radretrieval.coding.radon import geometry
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.errors import NoEncoder

QUERIES = 50
CANDIDATES = 50


def ask(connection: Connection, ids: Sequence[int] | None = None) -> dict[str, list[list[int]]]:
    """The hits of stored images by the active encoder, best first, by id of the query.

    Of each hit its id, code distance and barcode distance. They are exact: an HNSW index is not
    used, for a restore builds it anew.

    Parameters
    ----------
    ids : the queries; None for `QUERIES` of the archive, the same at every call.
    """
    try:
        encoder = replace(encoders.get(connection), hnsw=False)
    except NoEncoder:
        return {}
    known = codes.known_geometry(connection, *geometry(encoder.profile.barcode))
    if known is None:
        return {}
    if ids is None:
        ids = code_facts.sample_ids(connection, encoder.id, QUERIES)
    images = stored.by_ids(connection, encoder.id, known, ids)
    return {
        str(one): _hits(connection, encoder, known, images[one])
        for one in ids
        if one in images and images[one].cnnc is not None
    }


def _hits(connection: Connection, encoder: Encoder, known: int, query: StoredQuery) -> list[list[int]]:
    assert query.cnnc is not None
    assert query.rbc is not None
    others = Filter(not_images=(query.image_id,))
    found, _ = nearest.candidates(connection, encoder, known, query.cnnc, CANDIDATES, others)
    able = [(one.image_id, one.cnnc_distance, one.barcode) for one in found if one.barcode is not None]
    if not able:
        return []
    ids, near, joined = zip(*able, strict=True)
    barcodes = np.frombuffer(b"".join(joined), np.uint8).reshape(len(able), -1)
    order, rbc = rerank(query.rbc, barcodes, near, ids, Weights.of(encoder.profile))
    return [[ids[place], near[place], int(rbc[place])] for place in order.tolist()]
