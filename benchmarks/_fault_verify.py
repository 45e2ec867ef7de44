"""What a site's load was acknowledged is there, once; and every answer was the exact one of its moment."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
from _fault_load import Load, Seen
from _fault_site import Site
from tiny import TINY

from radretrieval.coding.hamming import distances
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.storage.content_store import ContentStore

TOP, CANDIDATES = 10, 50
MOST_GROUPS = 6  # transactions that may have been committed while a search ran, all subsets of which are tried


def verify(site: Site, load: Load) -> None:
    """Look, when all is quiet: what was acknowledged is there, once; every answer was the exact one of its moment."""
    seen = load.seen
    store = ContentStore(site.store / "files")
    there = dict(site.rows("SELECT sop_instance_uid, sha256 FROM image WHERE origin IS NOT NULL"))
    for uid, pixels in seen.sent.items():
        path = store.path(bytes(there[uid])) if uid in there else None
        if path is None or not path.exists():
            seen.faults.append(f"lost: {uid} was answered with success")
        elif hashlib.sha256(path.read_bytes()[-128 * 64 :]).hexdigest() != pixels:
            seen.faults.append(f"wrong: the file of {uid}")
    uris = [uri for (uri,) in site.rows("SELECT uri FROM image UNION ALL SELECT uri FROM ingest_failure")]
    seen.faults += [f"lost: {uri} of a run of ingest that ended" for uri in seen.ingested - set(uris)]
    for what in ("sha256", "sop_instance_uid", "uri"):
        twice = site.rows(f"SELECT {what} FROM image WHERE {what} IS NOT NULL GROUP BY 1 HAVING count(*) > 1")
        seen.faults += [f"double: {what} {value}" for (value,) in twice]
    for (count,) in site.rows("SELECT count(*) FROM cnnc FULL JOIN barcode USING (image_id) WHERE cnnc.code IS NULL"):
        if count:
            seen.faults.append(f"{count} barcodes without a code")
    _verify_answers(site, seen)


def _verify_answers(site: Site, seen: Seen) -> None:
    statement = (
        "SELECT image_id, c.code::text, b.code, c.xmin::text FROM cnnc c JOIN barcode b USING (image_id) "
        "WHERE encoder_id = %s ORDER BY 1"
    )
    for encoder in site.encoders:
        rows = site.rows(statement, encoder)
        ids = np.array([row[0] for row in rows])
        near = np.packbits(np.array([[bit == "1" for bit in row[1]] for row in rows]), axis=1)
        bars = np.array([np.frombuffer(row[2], np.uint8) for row in rows])
        writer = dict(zip(ids.tolist(), (row[3] for row in rows), strict=True))
        for answer in [one for one in seen.answers if one["encoder"] == encoder]:
            began, ended = answer["times"]
            before = next((there for _, after, there in reversed(seen.polls) if after <= began), None)
            after = next((there for start, _, there in seen.polls if start >= ended), None)
            if before is None or after is None:
                seen.unsure += 1
                continue
            known = {image for of, image in before if of == encoder}
            groups: dict[str, set[int]] = {}
            for of, image in after - before:
                if of == encoder:
                    groups.setdefault(writer[image], set()).add(image)
            if len(groups) > MOST_GROUPS:
                seen.unsure += 1
                continue
            possible = itertools.chain.from_iterable(
                itertools.combinations(groups.values(), count) for count in range(len(groups) + 1)
            )
            hits = [tuple(hit) for hit in answer["hits"]]
            sets = (known.union(*more) for more in possible)
            if any(hits == _exact(answer["query"], ids, near, bars, one) for one in sets):
                seen.verified += 1
            else:
                seen.faults.append(f"wrong list: image {answer['query']}, encoder {encoder}: {hits}")
    seen.answers.clear()


def _exact(query: int, ids: Any, near: Any, bars: Any, among: set[int]) -> list[tuple[int, int, int]]:
    """The hits of an image of the archive, by a plain scan of all codes."""
    place = int(np.searchsorted(ids, query))
    mask = np.isin(ids, list(among - {query}))
    far = distances(near[place], near[mask])
    last = np.sort(far)[min(CANDIDATES, len(far)) - 1]
    chosen = np.flatnonzero(far <= last)
    candidates, barcodes, far = ids[mask][chosen], bars[mask][chosen], far[chosen]
    order, rbc = rerank(bars[place], barcodes, far, candidates, Weights.of(TINY))
    return [(int(candidates[one]), int(far[one]), int(rbc[one])) for one in order[:TOP]]
