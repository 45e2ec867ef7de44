"""The calibration of an encoder in the database: stored as it was, and calculated by SQL as by Python."""

from __future__ import annotations

import json

import numpy as np
from calibrating import fitted
from tiny import CLASSES, TINY, add_encoder, weights

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding.calibration import Curve


def test_it_comes_back_as_it_was_stored(database: Database) -> None:
    with database.connection() as connection:
        assert encoders.get(connection, add_encoder(connection)).calibration is None
        number = encoders.add(connection, TINY, weights(1), CLASSES, {}, fitted())
        assert encoders.get(connection, number).calibration == fitted()


def test_sql_gives_the_numbers_of_python_to_the_last_bit(database: Database) -> None:
    made = fitted()
    draw = np.random.default_rng(0)
    rows = draw.random((400, 3)) * [1.0, 0.5, 0.3]
    flat = Curve((0.5, 1.0, 0.0, 0.0), (0.75,), (0.25,))
    with database.connection() as connection:
        for curve in (*made.curves.values(), flat):
            told = connection.execute(
                "SELECT calibrated(%s::jsonb, ARRAY[a, b, c]) AS p "
                "FROM unnest(%s::float8[], %s::float8[], %s::float8[]) WITH ORDINALITY t(a, b, c, n) ORDER BY n",
                (json.dumps(vars(curve)), *rows.T.tolist()),
            ).fetchall()
            assert [row["p"] for row in told] == [curve(row) for row in rows.tolist()]
        knots = [*made.farther.scores, 0.0, 1.0]
        told = connection.execute(
            "SELECT calibrated(%s::jsonb, ARRAY[d]) AS p FROM unnest(%s::float8[]) WITH ORDINALITY t(d, n) ORDER BY n",
            (json.dumps(vars(made.farther)), knots),
        ).fetchall()
        assert [row["p"] for row in told] == [made.farther_than(knot) for knot in knots]
