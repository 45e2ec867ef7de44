"""Encoders: trained weights with their profile. The database is the only home of weights; each process caches them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.names import partition
from radretrieval.coding.calibration import Calibration
from radretrieval.errors import EnvironmentUnusable, NoEncoder, UsageError
from radretrieval.files.atomic import write_bytes
from radretrieval.profile import Profile


@dataclass(frozen=True)
class Encoder:
    """One encoder without its weights.

    `classes[i]` is the IRMA code of softmax unit i; `trained_on` is the split it learnt. `hnsw` tells of such an index
    of its codes, and `recall` what was last measured of it (mean and worst); `exact` is the number of its exact index.
    `bypassed`: codes or labels may have been written that this index did not follow, so that searches compare with
    every code. `calibration` is None for an encoder that states no probabilities. `state` is another one once anything
    was changed that a search depends on.
    """

    id: int
    profile: Profile
    classes: tuple[str, ...]
    weights_sha256: bytes
    active: bool
    hnsw: bool
    recall: tuple[float, float] | None
    exact: int | None
    bypassed: bool
    trained_on: str | None
    calibration: Calibration | None
    state: str

    @property
    def bypass_message(self) -> str:
        """What is said where the exact index is there, and was bypassed."""
        return (
            f"the exact index of encoder {self.id} was bypassed: its triggers were off while rows were written, or its "
            "table was restored without data; searches compare with every code, which is exact and slower; run: "
            "radretrieval db upgrade, then: radretrieval index build"
        )

    @property
    def work_command(self) -> str:
        """The command that computes the codes that images lack."""
        return "radretrieval work --once" + ("" if self.active else f" --encoder {self.id}")


def lock(connection: Connection) -> None:
    """Lock the table `encoder` in the caller's transaction: one at a time adds encoders or switches between them."""
    connection.execute(sql("encoder_lock"))


def lock_to_add(connection: Connection) -> None:
    """Do what `lock` does; raises EnvironmentUnusable where the role may not create the table of an encoder's codes."""
    lock(connection)
    if not may_create(connection):
        raise EnvironmentUnusable(
            "a new encoder has a table of codes, which only the owner of the schema radretrieval creates: log in as "
            "that role, or one of its members, to train"
        )


def may_create(connection: Connection) -> bool:
    """Whether this role may create tables of codes, and of their indexes."""
    row = connection.execute(sql("encoder_may_add")).fetchone()
    return row is not None and bool(row["yes"])


def add(
    connection: Connection,
    profile: Profile,
    weights: bytes,
    classes: Sequence[str],
    metrics: dict[str, Any],
    calibration: Calibration | None = None,
) -> int:
    """Store an encoder with an empty partition for its codes; active if it is the first. Returns its id.

    The partition belongs to the owner of the schema, and who was granted rights on `cnnc` has them on it.
    """
    lock(connection)
    values = {
        "profile": json.dumps(profile.as_json()),
        "profile_hash": profile.hash,
        "classes": list(classes),
        "weights": weights,
        "weights_sha256": hashlib.sha256(weights).digest(),
        "metrics": json.dumps(metrics),
        "calibration": None if calibration is None else json.dumps(calibration.as_json()),
    }
    row = connection.execute(sql("encoder_add"), values).fetchone()
    assert row is not None
    encoder_id = int(row["id"])
    with owning(connection):
        for statement in (sql("encoder_partition"), sql("encoder_partition_attached"), sql("encoder_triggers")):
            filled = statement.replace("{partition}", partition(encoder_id)).replace("{encoder}", str(encoder_id))
            connection.execute(filled)
        grant(connection, partition(encoder_id))
    if connection.execute(sql("encoder_one"), {"id": None}).fetchone() is None:
        connection.execute(sql("encoder_on"), {"id": encoder_id})
    return encoder_id


def same(connection: Connection, profile: Profile, weights: bytes, classes: Sequence[str]) -> int | None:
    """The id of the first encoder with this profile, these weights and classes; None where there is none."""
    values = {"hash": profile.hash, "weights": hashlib.sha256(weights).digest(), "classes": list(classes)}
    row = connection.execute(sql("encoder_same"), values).fetchone()
    return None if row is None else int(row["id"])


def metrics(connection: Connection, encoder: Encoder) -> dict[str, Any]:
    """What was noted of an encoder's training."""
    row = connection.execute(sql("encoder_metrics"), {"id": encoder.id}).fetchone()
    assert row is not None
    return dict(row["metrics"])


@contextmanager
def owning(connection: Connection) -> Iterator[None]:
    """Create tables within: they belong to the owner of the schema, whichever superuser or member of it is connected.

    In the caller's transaction, whose role is restored.
    """
    before = connection.execute(sql("as_owner")).fetchone()
    yield
    if before is not None:
        connection.execute(sql("as_before"), {"role": before["role"]})


def grant(connection: Connection, table: str, privileges: Sequence[str] = ()) -> None:
    """Grant on a new table what is granted on `cnnc`: all of it, or these privileges."""
    for row in connection.execute(sql("code_grants")).fetchall():
        if not privileges or row["privilege"] in privileges:
            statement = sql("grant").replace("{privilege}", row["privilege"]).replace("{table}", table)
            connection.execute(statement.replace("{role}", row["role"]))


def get(connection: Connection, encoder_id: int | None = None) -> Encoder:
    """An encoder by id, or the active one.

    Raises NoEncoder when there is none (or none active), UsageError for an unknown id.
    """
    row = connection.execute(sql("encoder_one"), {"id": encoder_id}).fetchone()
    if row is None:
        ids = [str(other["encoder_id"]) for other in listed(connection)]
        if encoder_id is not None and ids:
            raise UsageError(f"the archive has no encoder {encoder_id}; it has: {', '.join(ids)}")
        if ids:
            raise NoEncoder(f"no encoder is active; run: radretrieval encoder activate ID (one of {', '.join(ids)})")
        raise NoEncoder("the archive has no encoder yet; run: radretrieval train, then: radretrieval work --once")
    return Encoder(
        id=row["id"],
        profile=Profile.from_json(row["profile"]),
        classes=tuple(row["classes"]),
        weights_sha256=bytes(row["weights_sha256"]),
        active=row["active"],
        hnsw=row["hnsw"],
        recall=None if row["recall"] is None else (row["recall"], row["recall_worst"]),
        exact=row["exact"],
        bypassed=bool(row["bypassed"]),
        trained_on=row["trained_on"],
        calibration=None if row["calibration"] is None else Calibration.from_json(row["calibration"]),
        state=row["state"],
    )


def listed(connection: Connection) -> list[dict[str, Any]]:
    """encoder_id, profile, active, codes and created_at of every encoder."""
    return connection.execute(sql("encoder_list")).fetchall()


def activate(connection: Connection, encoder_id: int) -> None:
    """Switch to an encoder, in the caller's transaction; raises UsageError for an unknown one."""
    lock(connection)
    get(connection, encoder_id)
    connection.execute(sql("encoder_off"), {"id": encoder_id})
    connection.execute(sql("encoder_on"), {"id": encoder_id})


def cached_weights(cache: Path, encoder: Encoder) -> Path:
    """The file of an encoder's weights in a cache, whether it exists or not."""
    return cache / f"{encoder.weights_sha256.hex()}.safetensors"


def weights(connection: Connection, encoder: Encoder, cache: Path) -> bytes:
    """The weights of an encoder, from the folder `cache` if it has them whole, else from the database.

    Raises EnvironmentUnusable where the database's are not those that were stored.
    """
    path = cached_weights(cache, encoder)
    try:
        found = path.read_bytes()
        if hashlib.sha256(found).digest() == encoder.weights_sha256:
            return found
    except OSError:
        pass
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(sql("encoder_weights"), {"id": encoder.id}).fetchone()
    assert row is not None
    found = bytes(row["weights"])
    if hashlib.sha256(found).digest() != encoder.weights_sha256:
        raise EnvironmentUnusable(
            f"the weights of encoder {encoder.id} are damaged in the database (another SHA-256 than when they were "
            "stored): restore the row from a backup; its codes and searches by id are not affected"
        )
    with suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_bytes(path, found, parents=True)
    return found
