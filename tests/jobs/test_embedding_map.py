"""The embedding map: kept as long as the codes are as they were, and of the same images at every call."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from filled import CLASSES, fill

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import NoEncoder
from radretrieval.jobs import embedding_map as job
from radretrieval.jobs.embedding_map import embedding_map, map_file

COUNT = 120


def test_it_is_computed_once_for_a_state_of_the_codes(database: Database, settings: Settings) -> None:
    with pytest.raises(NoEncoder):
        embedding_map(database, settings)
    with database.connection() as connection:
        filled = fill(connection, COUNT)
        file = map_file(settings, encoders.get(connection).weights_sha256)
    first = embedding_map(database, settings)
    assert first.image_ids == list(range(1, COUNT + 1))
    assert first.agreement == {}
    with patch.object(job, "project", side_effect=AssertionError("computed again")):
        assert embedding_map(database, settings) == first
    file.write_text(json.dumps({"form": 1}))  # of another version, or damaged
    assert embedding_map(database, settings) == first
    with database.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id = 7", (filled.encoders[0],))
    second = embedding_map(database, settings)
    assert second.image_ids == [one for one in first.image_ids if one != 7]
    assert json.loads(file.read_text())["codes"] == COUNT - 1


def test_a_large_archive_is_shown_by_a_sample(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        fill(connection, COUNT)
    with patch.object(job, "MOST_IMAGES", 50):
        found = embedding_map(database, settings)
        for file in map_file(settings, bytes(32)).parent.iterdir():
            file.unlink()
        assert embedding_map(database, settings) == found
    assert len(found.image_ids) == 50
    assert found.image_ids == sorted(found.image_ids)
    assert found.image_ids != list(range(1, 51))
    assert found.codes == COUNT


def test_agreement_is_that_of_the_known_neighbours(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        filled = fill(connection, COUNT)
        connection.execute(
            "INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance) "
            "SELECT %s, i, r, CASE WHEN r = 1 THEN (i + 4) %% %s + 1 ELSE i + 1 END, r "
            "FROM generate_series(1, 50) i, generate_series(1, 2) r",
            (filled.encoders[0], COUNT),
        )
    agreement = embedding_map(database, settings).agreement
    # five images on lies one of the same class, beside it one of another; every tenth image has none
    whole = {code: [] for code in CLASSES}
    for place in range(50):
        own, others = filled.classes[place], (filled.classes[(place + 5) % COUNT], filled.classes[place + 1])
        if own is not None:
            whole[own].append(sum(one == own for one in others) / 2)
    assert agreement == pytest.approx({code: sum(shares) / len(shares) for code, shares in whole.items()})
