"""Three archives of a federation, and one that holds all of their images: what it answers, they must answer.

The images of the one have the ids 1 … in the order of (site, id of the site), and the same URI in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from databases import Server
from filled import CLASSES, clustered
from tiny import FUSED, TINY, add_encoder

import radretrieval as rr
from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.config import Settings

PARTS = {"east": range(150), "north": range(150, 420), "west": range(420, 500)}
COUNT = 500
KEY = "check value of a key"
# Few distances, so that many tie; some codes are equal in two sites.
CNNC = [clustered(COUNT, 7, 12, seed=seed) for seed in (1, 2)]
CNNC[0][420:440] = CNNC[0][150:170]
RBC = clustered(COUNT, 7, 6, 4352, seed=3)


@dataclass(frozen=True)
class Federated:
    """The URLs of `one` of all images and of the sites, and the folder of the file of sites."""

    one: str
    sites: dict[str, str]
    home: Path

    def archive(self, name: str) -> rr.Archive:
        """The archive of a site, or the `one`, with the file of sites in its home."""
        url = self.one if name == "one" else self.sites[name]
        return rr.Archive(Settings(home=self.home, database_url=url))

    def write(self, **sites: str) -> None:
        """The file of sites, with some URLs in place of theirs, or beside them; what has none is left out."""
        lines = [f"[{name}]\nurl = '{url}'\n" for name, url in (self.sites | sites).items() if url]
        (self.home / "sites.toml").write_text("".join(lines))


def image(i: int) -> NewImage:
    """Image i of all; three a patient, of whom sites have images in common."""
    return NewImage(
        *(i.to_bytes(32, "big"), f"file:///{i}.png", "png", 1000 + i % 90, 5, 8, "MONOCHROME2"),
        modality=("CR", "DX", None)[i % 3],
        body_part="CHEST" if i % 2 else "HAND",
        sop_instance_uid=f"1.9.{i}",
        study_instance_uid=None if i % 11 == 0 else f"1.2.{i % 170}",
        patient_key=None if i % 13 == 0 else f"patient {i % 170}",
        irma_code=None if i % 10 == 9 else CLASSES[i % len(CLASSES)],
        split="test" if i % 4 == 0 else "train",
    )


def fill(connection: Any, part: range, turned: bool) -> None:
    """These images with their codes; `turned`: the second encoder has the first number."""
    with connection.transaction():
        images.add(connection, [image(i) for i in part])
        connection.execute("INSERT INTO patient_key_check (check_value, plain_issuer) VALUES (%s, '')", (KEY,))
        made = {}
        for place in (1, 0) if turned else (0, 1):
            made[place] = add_encoder(connection, seed=place, profile=(TINY, FUSED)[place])
        if turned:
            connection.execute("INSERT INTO geometry (size, angles, bins, rule) VALUES (64, 8, 91, 'median-positive')")
            connection.execute("UPDATE encoder SET active = NOT active WHERE active")
            connection.execute("UPDATE encoder SET active = true WHERE id = %s", (made[0],))
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
        ids, here = list(range(1, len(part) + 1)), slice(part.start, part.stop)
        for place, encoder in made.items():
            codes.write_cnnc(connection, encoder, ids, CNNC[place][here], 1000)
        barcoded = [i for i in part if i % 60 != 7]
        codes.write_barcodes(connection, geometry, [i - part.start + 1 for i in barcoded], RBC[barcoded])


@contextmanager
def made(server: Server, migrated: str, home: Path) -> Iterator[Federated]:
    """The archives, in databases of their own; tests change nothing in them but the audit."""
    with ExitStack() as stack:
        urls = {}
        for name, part in {**PARTS, "one": range(COUNT)}.items():
            urls[name] = stack.enter_context(server.database(template=migrated))
            with Database(urls[name]).connection() as connection:
                fill(connection, part, turned=name == "north")
        federated = Federated(urls.pop("one"), urls, home)
        federated.write()
        yield federated


def drawn(seed: int) -> dict[str, Any]:
    """Parameters of a search, some of them together."""
    rng = np.random.default_rng(seed)
    where: list[list[str]] = [[], [], ["modality=CR"], ["modality="], ["body_part=HAND", "split=train"]]
    where += [["irma_code=1121-*"], ["rows>=1030", "rows<1060"], ["patient_key!="], ["modality!=DX"]]
    chosen: dict[str, Any] = {"where": where[rng.integers(len(where))]}
    chosen["top"], chosen["candidates"] = ((10, 50), (5, 5), (3, 20), (50, 200), (100, 100))[rng.integers(5)]
    chosen["one_per"] = (None, None, "patient", "study")[rng.integers(4)]
    chosen["max_distance"] = (None, None, 10, 0)[rng.integers(4)]
    chosen["exclude_same_patient"] = bool(rng.integers(2))
    return chosen
