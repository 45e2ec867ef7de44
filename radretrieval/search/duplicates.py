"""Hits that are near-duplicates of others: the same film sent twice, or exported with another window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radretrieval.archive import connections
from radretrieval.archive.search import stored
from radretrieval.coding.hamming import distances
from radretrieval.search.searcher import Searcher

NEAR = 10  # bits, as the SQL function near_duplicates has it by default


def duplicates(searcher: Searcher, image_ids: Sequence[int]) -> dict[int, int]:
    """Of which earlier image each is a near-duplicate: its CNN code differs from that one's in at most `NEAR` bits.

    An image that is one itself has none of its own. Images that are no duplicate are left out.
    """
    with connections.database_errors(searcher.database.url):
        known = stored.by_ids(searcher.connection, searcher.encoder.id, searcher.geometry, image_ids)
    coded = [one for one in image_ids if one in known and known[one].cnnc is not None]
    if not coded:
        return {}
    codes = np.stack([code for one in coded if (code := known[one].cnnc) is not None])
    near = distances(codes, codes) <= NEAR
    firsts: list[int] = []
    found: dict[int, int] = {}
    for place, image_id in enumerate(coded):
        first = next((earlier for earlier in firsts if near[place, earlier]), None)
        if first is None:
            firsts.append(place)
        else:
            found[image_id] = coded[first]
    return found
