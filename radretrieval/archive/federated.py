"""What a federation asks its sites: the nearest codes, and how each of them is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import errors

from radretrieval.archive.connections import Connection
from radretrieval.archive.filters import Filter
from radretrieval.archive.queries import sql
from radretrieval.archive.search.nearest import bit_text
from radretrieval.archive.sites import AsyncConnection, Reply, Site, ask
from radretrieval.errors import UsageError


@dataclass(frozen=True)
class Question:
    """The search that sites are asked for.

    Attributes
    ----------
    code : uint8 (bits / 8,). limit : how many of the nearest, and those that tie with the last.
    weights_sha256 : of the encoder. geometry : size, angles, bins and rule of its barcodes.
    wanted : the filter; of its members `not_images` are left out.
    film : of the query: sha256, frame, sop_instance_uid, pixels_sha256; no site gives it as a hit.
    patient_key, pseudonyms : the patient that is left out, and with which key that pseudonym is made.
    who, detail : for the audit of each site.
    """

    code: NDArray[np.uint8]
    limit: int
    weights_sha256: bytes
    geometry: tuple[int, int, int, str]
    wanted: Filter
    film: dict[str, Any]
    patient_key: str | None
    pseudonyms: str | None
    who: str
    detail: dict[str, Any]

    def values(self) -> dict[str, Any]:
        """The parameters of the statement; raises UsageError for a filter that holds in one archive alone."""
        wanted = self.wanted.as_json()
        if "not_image" in json.loads(wanted):
            raise UsageError("--where not_image: ids of images are a site's own; leave it out where sites are asked")
        asked = {
            "film": self.film,
            "not_patient": self.patient_key,
            "pseudonyms": self.pseudonyms,
            "who": self.who,
            "detail": self.detail,
        }
        return {
            "code": bit_text(self.code),
            "limit": self.limit,
            "weights": self.weights_sha256.hex(),
            "filter": wanted,
            "asked": json.dumps(asked),
            **dict(zip(("size", "angles", "bins", "rule"), self.geometry, strict=True)),
        }


def nearest(sites: Sequence[Site], question: Question, deadline: float) -> list[Reply[list[dict[str, Any]]]]:
    """The nearest codes of each site, with barcodes and facts, in one round trip after the connection.

    Raises UsageError for a filter that is not possible.
    """
    values = question.values()
    milliseconds = {"milliseconds": str(max(1, int(deadline * 1000)))}

    async def asked(connection: AsyncConnection) -> list[dict[str, Any]]:
        try:
            async with connection.pipeline(), connection.cursor(binary=True) as cursor:
                await connection.execute(sql("site_settings"), milliseconds)
                await cursor.execute(sql("site_nearest"), values)
                return await cursor.fetchall()
        except (errors.InvalidParameterValue, errors.CheckViolation) as error:  # as our functions refuse filters
            raise UsageError(str(error).strip().splitlines()[0]) from error

    return ask(sites, asked, deadline)


def states(sites: Sequence[Site], deadline: float) -> list[Reply[dict[str, Any]]]:
    """revision, images, standby, lag_seconds, askable, encoders and round_trip_ms of each site."""

    async def asked(connection: AsyncConnection) -> dict[str, Any]:
        start = time.perf_counter()
        await connection.execute(sql("backend"))
        spent = time.perf_counter() - start
        row = await (await connection.execute(sql("site_state"))).fetchone()
        assert row is not None
        encoders = await (await connection.execute(sql("site_encoders"))).fetchall()
        return row | {"encoders": encoders, "round_trip_ms": round(spent * 1000, 3)}

    return ask(sites, asked, deadline)


def film(connection: Connection, image_id: int) -> dict[str, Any]:
    """What names the film of an image of this archive in every archive that has it."""
    row = connection.execute(sql("site_film"), {"id": image_id}).fetchone()
    return {} if row is None else row


def pseudonyms(connection: Connection) -> str | None:
    """With which key pseudonyms are made here, as `federated_nearest` compares it; None where that is not recorded."""
    row = connection.execute(sql("site_pseudonyms")).fetchone()
    return None if row is None else row["pseudonyms"]
