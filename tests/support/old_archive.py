"""An archive of any revision with data of every table, written as the version of that revision would."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from filled import build_exact, clustered
from tiny import TINY

COUNT = 240
IMAGES = (
    "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, modality, body_part, irma_code, "
    "split) SELECT sha256(n::text::bytea), 'file:///' || n, 'png', 4, 5, 8, 'MONOCHROME2', (ARRAY['CR', 'DX', NULL])"
    "[1 + n % 3], 'CHEST', CASE WHEN n % 4 > 0 THEN '1121-120-942-700' END, 'train' FROM generate_series(1, 240) n"
)
SINCE = {
    "0001": (
        "INSERT INTO ingest_failure (uri, error, message) VALUES ('file:///x', 'ImageError', 'no image')",
        "INSERT INTO geometry (size, angles, bins, rule) VALUES (192, 16, 272, 'median-positive')",
        "INSERT INTO barcode SELECT g.id, i.id, decode(repeat('0f', 544), 'hex') FROM image i, geometry g",
        "INSERT INTO coding_failure (encoder_id, image_id, error, message) SELECT e.id, 240, 'x', 'y' FROM encoder e",
    ),
    "0002": ("UPDATE image SET withdrawn = true WHERE id % 50 = 0",),
    "0004": ("INSERT INTO hnsw_audit (encoder_id, recall, recall_worst, sample, codes) VALUES (1, 1, 1, 10, 240)",),
    "0005": ("INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance) VALUES (1, 1, 1, 2, 3)",),
    "0006": (
        "UPDATE image SET frame = 2, sop_instance_uid = '1.2.' || id, kvp = 60, header = '{\"a\": 1}' WHERE id < 9",
        "INSERT INTO arrival (sha256, uri) VALUES (sha256('a'), 'store:a')",
        "INSERT INTO pull (url, query) VALUES ('AE@host:104', '')",
    ),
    "0008": (
        "UPDATE image SET flat = false, labelled = '{modality}' WHERE id = 5",
        "INSERT INTO image_history (image_id, sha256, old) VALUES (5, sha256('b'), '{\"modality\": \"CR\"}')",
    ),
    "0010": (
        "INSERT INTO feedback (who, query_image_id, hit_image_id, relevant, encoder_id) VALUES ('a', 1, 2, true, 1)",
        "INSERT INTO label_report (who, image_id, remark, labels) VALUES ('a', 3, 'b', '{}')",
        "INSERT INTO audit (at, who, action, detail) SELECT timestamptz '2026-10-30 12:00Z' + n * interval '1 day', "
        "'a', 'search', jsonb_build_object('rows', n) FROM generate_series(1, 5) n",
    ),
    "0011": (
        "INSERT INTO tombstone (kind, digest, content) VALUES ('sop', decode(repeat('0a', 16), 'hex'), sha256('a'))",
        "INSERT INTO heartbeat (program, host, pid, version) VALUES ('work', 'a', 1, '0')",
    ),
}
FUNCTIONS_BY_MIGRATIONS = "0006"
"""The last revision whose migrations made the functions too; later ones have them from files."""


def fill(connection: Any, revision: str) -> None:
    """Images, one active encoder with codes in its partition, an exact index from 0004 on, and a row of all else.

    Parameters
    ----------
    connection : with dict rows and our schema in its path, in a transaction.
    """
    connection.execute(IMAGES)
    connection.execute(
        "INSERT INTO encoder (profile, profile_hash, classes, weights, weights_sha256, metrics, active) "
        "VALUES (%s, %s, '{}', '', sha256(''), '{}', true)",
        (json.dumps(TINY.as_json()), TINY.hash),
    )
    connection.execute("CREATE TABLE cnnc_1 (LIKE cnnc INCLUDING ALL)")
    connection.execute("ALTER TABLE cnnc ATTACH PARTITION cnnc_1 FOR VALUES IN (1)")
    if revision >= "0004":
        connection.execute("SELECT exact_attend('radretrieval.cnnc_1')")
    texts = ["".join(map(str, row)) for row in np.unpackbits(clustered(COUNT, 6, 90), axis=1)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cnnc (encoder_id, image_id, code) VALUES (1, %s, %s::bit(1000))",
            [(number, text) for number, text in enumerate(texts[:-1], 1)],
        )
    if revision >= "0004":
        build_exact(connection, 1)
    fill_since(connection, "", revision)


def fill_since(connection: Any, after: str, revision: str) -> None:
    """A row of what the revisions after one, up to another, brought; from 0011 on a function adds those of audit."""
    for since, statements in SINCE.items():
        if after < since <= revision:
            for statement in statements:
                if revision < "0011" or not statement.startswith("INSERT INTO audit "):
                    connection.execute(statement)


def rows(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table but alembic's and the IRMA terms, which are the package's."""
    names = connection.execute(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'radretrieval'::regnamespace "
        "AND relkind IN ('r', 'p') AND relname NOT IN ('alembic_version', 'irma_term', 'schema_object')"
    ).fetchall()
    return {
        name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=str)
        for name in (row["name"] for row in names)
    }
