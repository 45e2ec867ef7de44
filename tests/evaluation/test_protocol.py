"""The protocol over a real database: rankings by their definitions, the images that count, encoders side by side."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibrating import fitted
from PIL import Image
from tiny import FUSED, TINY, weights

from radretrieval.archive import codes, encoders, images
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.images import NewImage
from radretrieval.archive.search import nearest, stored
from radretrieval.coding.hamming import distances
from radretrieval.coding.rerank import Weights
from radretrieval.config import Settings
from radretrieval.errors import NoEncoder, UsageError
from radretrieval.evaluation import Evaluation, EvaluationOptions, evaluate, protocol, rankings
from radretrieval.evaluation.published import PUBLISHED, why_not
from radretrieval.evaluation.scores import NOTHING
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.irma.error import irma_error, paper_error
from radretrieval.irma.imageclef import classes
from radretrieval.jobs.encode import encode
from radretrieval.profile import Profile
from radretrieval.report.evaluation_csv import COLUMNS, write_evaluation_csv
from radretrieval.report.evaluation_picture import confusions, examples, write_evaluation_picture
from radretrieval.report.evaluation_tables import print_evaluation
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

CODES = ["1121-127-700-500", "1121-120-942-700", "1123-127-500-000", "1124-410-620-625"]
STORED = EvaluationOptions(network=False)


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    with database.connection() as made:
        yield made


def fill(connection: Any, train: int, test: int, seed: int = 0, profile: Profile = TINY) -> int:
    """Images with codes of few distinct values, so that almost every distance is tied; the encoder."""
    rng = np.random.default_rng(seed)
    n = train + test
    rows = [
        NewImage((i + 1).to_bytes(32, "big"), f"file:///{i}.png", "png", 4, 5, 8, "MONOCHROME2",
                 irma_code=CODES[int(rng.integers(4))], split="train" if i < train else "test")
        for i in range(n)
    ]  # fmt: skip
    images.add(connection, rows)
    connection.commit()
    return add_codes(connection, n, rng, profile)


def add_codes(connection: Any, n: int, rng: np.random.Generator, profile: Profile = TINY, bytes_used: int = 2) -> int:
    encoder = encoders.add(connection, profile, weights(), CODES, {})
    geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    ids = [row["id"] for row in connection.execute("SELECT id FROM image ORDER BY id")][:n]
    cnnc, rbc = np.zeros((n, 125), np.uint8), np.zeros((n, 544), np.uint8)
    for code in (cnnc, rbc):
        code[:, :bytes_used] = rng.integers(0, 4, (n, bytes_used))
    codes.write_cnnc(connection, encoder, ids, cnnc, 1000)
    if connection.execute("SELECT count(*) FROM barcode").fetchone()["count"] == 0:
        codes.write_barcodes(connection, geometry, ids, rbc)
    connection.commit()
    return encoder


@pytest.mark.parametrize("profile", [TINY, FUSED], ids=["barcode alone", "fused"])
def test_hits_are_those_of_the_definition(
    database: Database, settings: Settings, connection: Any, profile: Profile
) -> None:
    fill(connection, 120, rankings.BLOCK + 9, profile=profile)
    weights = Weights.of(profile)
    result = evaluate(database, settings, STORED)
    queries, searched = result.queries, result.searched
    near, far = distances(queries.cnnc, searched.cnnc), distances(queries.rbc, searched.rbc)
    by_kind = {row.ranking.kind: row.ranking for row in result.rows}
    assert list(by_kind) == ["cnnc+rbc", "cnnc", "rbc"]
    for place in range(len(queries.image_ids)):
        n, f = near[place].tolist(), far[place].tolist()
        every = sorted(range(120), key=lambda i: (n[i], i))
        candidates = [i for i in every if n[i] <= n[every[49]]]
        key = [weights.cnnc * near + weights.rbc * far for near, far in zip(n, f, strict=True)]
        wanted = {
            "cnnc+rbc": sorted(candidates, key=lambda i: (key[i], f[i], n[i], i))[:10],
            "cnnc": candidates[:10],
            "rbc": sorted(range(120), key=lambda i: (f[i], i))[:10],
        }
        for kind, best in wanted.items():
            assert by_kind[kind].places[place].tolist() == best, (kind, place)
            assert by_kind[kind].rbc[place].tolist() == [f[i] for i in best]
            assert by_kind[kind].cnnc[place].tolist() == [-1 if kind == "rbc" else n[i] for i in best]
            assert by_kind[kind].predicted[place] == searched.irma_codes[best[0]]


@pytest.mark.parametrize("profile", [TINY, FUSED], ids=["barcode alone", "fused"])
def test_a_batch_equals_single_searches_hit_for_hit(
    database: Database, settings: Settings, connection: Any, profile: Profile
) -> None:
    fill(connection, 150, 30, profile=profile)
    result = evaluate(database, settings, STORED)
    ranking = result.rows[0].ranking
    where = (Condition("split", "=", "train"), Condition("withdrawn", "=", "false"))
    with Searcher(database, settings) as searcher:
        for place, query in enumerate(result.queries.image_ids.tolist()):
            answer = searcher.search(Request(query, where=where))
            hits = [(hit.image_id, hit.cnnc_distance, hit.rbc_distance) for hit in answer.hits]
            ids = result.searched.image_ids[ranking.places[place]]
            assert hits == list(zip(ids, ranking.cnnc[place], ranking.rbc[place], strict=True))


def test_a_searched_query_is_never_its_own_hit(database: Database, settings: Settings, connection: Any) -> None:
    fill(connection, 9, 6)
    result = evaluate(database, settings, replace(STORED, against=("all",)))
    assert len(result.searched.image_ids) == 15
    for row in result.rows:
        for place, query in enumerate(result.queries.image_ids.tolist()):
            found = [hit for hit in row.ranking.places[place].tolist() if hit >= 0]
            assert len(found) == len(set(found)) == 10
            assert query not in result.searched.image_ids[found]


def test_a_query_that_is_alone_gets_the_code_that_says_nothing(
    database: Database, settings: Settings, connection: Any
) -> None:
    fill(connection, 0, 1)
    result = evaluate(database, settings, replace(STORED, against=("test",)))
    for row in result.rows:
        assert row.ranking.predicted == [NOTHING]
        assert (row.ranking.places < 0).all()
        assert (row.ranking.rbc < 0).all()


def test_fewer_images_than_hits(database: Database, settings: Settings, connection: Any) -> None:
    fill(connection, 3, 4)
    for row in evaluate(database, settings, STORED).rows:
        assert ((row.ranking.places >= 0).sum(1) == 3).all()


def test_batches_of_sql_do_not_depend_on_their_size(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.get(connection, fill(connection, 40, 20))
    queries, among = np.arange(41, 61), np.arange(1, 41)
    found = []
    for size in (7, 1000):
        monkeypatch.setattr(nearest, "BATCH", size)
        parts = list(nearest.nearest_of_images(connection, encoder, queries, among, 12))
        assert len(parts) == -(-20 // size)
        rows = [row for _, ids, far in parts for row in zip(ids.tolist(), far.tolist(), strict=True)]
        found.append([[pair for pair in zip(*row, strict=True) if pair[0] >= 0] for row in rows])
    assert found[0] == found[1]
    for row in found[0]:  # those that tie with the twelfth are there, and nothing beyond
        assert len(row) >= 12
        assert all(distance == row[11][1] for _, distance in row[12:])


@pytest.mark.parametrize("spare", [0, 3, 64])
def test_all_that_tie_with_the_last_come(connection: Any, monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    """However few are asked for beyond the limit at first."""
    encoder = encoders.get(connection, fill(connection, 100, 1))
    connection.execute(
        "UPDATE cnnc SET code = (SELECT code FROM cnnc WHERE image_id = 1) WHERE image_id BETWEEN 40 AND 100"
    )
    monkeypatch.setattr(nearest, "SPARE", spare)
    ((_, ids, far),) = nearest.nearest_of_images(connection, encoder, np.array([101]), np.arange(1, 101), 12)
    code = stored.by_ids(connection, encoder.id, 1, [101])[101].cnnc
    assert code is not None
    found, _ = nearest.candidates(connection, encoder, 1, code, 12, Filter(not_images=(101,)))
    assert ids[0].tolist() == [candidate.image_id for candidate in found]
    assert far[0].tolist() == [candidate.cnnc_distance for candidate in found]


class TestWhichImagesCount:
    def test_withdrawn_and_unlabelled_ones_only_when_asked(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        connection.execute("UPDATE image SET withdrawn = true WHERE id IN (3, 4, 25)")
        connection.execute("UPDATE image SET irma_code = NULL WHERE id IN (5, 26, 27)")
        connection.commit()
        result = evaluate(database, settings, STORED)
        assert (len(result.queries.image_ids), len(result.searched.image_ids)) == (7, 17)
        assert (result.unlabelled, result.withdrawn, result.uncoded) == (2, 1, 0)
        assert result.notes[0] == "not scored: 2 images of test without an IRMA code, 1 with a withdrawn one"
        asked = evaluate(database, settings, replace(STORED, withdrawn=True))
        assert (len(asked.queries.image_ids), len(asked.searched.image_ids), asked.withdrawn) == (8, 19, 0)

    def test_a_query_without_a_code_is_an_incomplete_submission(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        connection.execute("DELETE FROM cnnc WHERE image_id IN (25, 26)")
        connection.commit()
        with pytest.raises(
            UsageError, match="2 of the 10 labelled images of test have no code of encoder 1.*work --once"
        ):
            evaluate(database, settings, STORED)

    def test_a_searched_image_without_a_code_is_counted(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        connection.execute("DELETE FROM cnnc WHERE image_id = 7")
        connection.commit()
        result = evaluate(database, settings, STORED)
        assert (result.uncoded, len(result.searched.image_ids)) == (1, 19)
        assert result.notes[0] == "not searched: 1 labelled images without a code; run: radretrieval work --once"

    def test_class_sizes_leave_the_query_itself_out(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        connection.execute("UPDATE image SET irma_code = %s WHERE id = 21", ("1121-120-200-700",))
        connection.commit()
        for against, alone in ((("train",), 1), (("all",), 1)):
            result = evaluate(database, settings, replace(STORED, against=against))
            assert (result.sizes[0].least, result.sizes[0].queries) == (0, alone)
            assert sum(size.queries for size in result.sizes) == 10

    def test_what_cannot_be_asked(self, database: Database, settings: Settings, connection: Any) -> None:
        with pytest.raises(NoEncoder):
            evaluate(database, settings, STORED)
        fill(connection, 20, 10)
        with pytest.raises(UsageError, match="'nosuch' has no image with an IRMA code; .*test .10 images., train"):
            evaluate(database, settings, replace(STORED, split="nosuch"))
        for against in (("nosuch",), ("train", "nosuch")):
            with pytest.raises(UsageError, match="'nosuch' has no image with an IRMA code"):
                evaluate(database, settings, replace(STORED, against=against))
        for wrong in ("cosine", "x:cnnc", "1:cosine", ""):
            with pytest.raises(UsageError, match="is not a ranking; give an encoder .2., a way of ranking"):
                evaluate(database, settings, replace(STORED, compare=(wrong, "cnnc")))
        with pytest.raises(UsageError, match="'softmax' needs the network: leave --no-network out"):
            evaluate(database, settings, replace(STORED, compare=("cnnc", "softmax")))
        with pytest.raises(UsageError, match="no encoder 7; it has: 1"):
            evaluate(database, settings, replace(STORED, compare=("cnnc", "7")))
        connection.execute("DELETE FROM cnnc WHERE image_id <= 20")
        connection.commit()
        with pytest.raises(UsageError, match="no labelled image that is to be searched has a code of encoder 1; run"):
            evaluate(database, settings, STORED)


def ids(result: Evaluation) -> list[int]:
    return [run.encoder.id for run in result.runs]


class TestEncoders:
    SMALL = replace(TINY, name="small", network=replace(TINY.network, input_size=16))

    def test_the_active_one_and_the_newest_full_one_of_each_other_profile(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        rng = np.random.default_rng(1)
        for count, profile in ((30, self.SMALL), (30, self.SMALL), (29, self.SMALL), (30, TINY)):
            add_codes(connection, count, rng, profile)
        result = evaluate(database, settings, STORED)
        assert ids(result) == [1, 3], "2 is older, 4 lacks a code, 5 has the first one's profile"
        names = [(row.ranking.name, row.ranking.encoder_id) for row in result.rows]
        assert names == [
            ("CNNC(32) + RBC", 1),
            ("CNNC(32) alone", 1),
            ("RBC alone", 1),
            ("CNNC(16) + RBC", 3),
            ("CNNC(16) alone", 3),
        ]
        document = result.document()
        assert (document["encoder_id"], document["ranking"]) == (1, "CNNC(32) + RBC")
        assert document["error_score"] == result.rows[0].score.error_score
        assert [row["name"] for row in document["ablations"]] == [name for name, _ in names[1:]]

    def test_those_that_are_named(self, database: Database, settings: Settings, connection: Any) -> None:
        fill(connection, 20, 10)
        add_codes(connection, 30, np.random.default_rng(1))
        assert ids(evaluate(database, settings, STORED)) == [1]
        result = evaluate(database, settings, replace(STORED, encoder_ids=(2,)))
        assert ids(result) == [2]
        result = evaluate(database, settings, replace(STORED, compare=("1", "2")))
        assert ids(result) == [1, 2]
        assert result.comparison is not None
        assert (result.comparison.a, result.comparison.b) == (
            "CNNC(32) + RBC of encoder 1",
            "CNNC(32) + RBC of encoder 2",
        )
        first, second = (row.score.error_score for row in result.rows if row.ranking.kind == "cnnc+rbc")
        assert result.comparison.difference == pytest.approx(first - second)

    def test_the_tables_say_whose_probabilities_they_are_and_what_the_names_mean(
        self, database: Database, settings: Settings, connection: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fill(connection, 20, 10)
        add_codes(connection, 30, np.random.default_rng(1))
        connection.execute("UPDATE encoder SET calibration = %s WHERE id = 1", (json.dumps(fitted().as_json()),))
        connection.commit()
        print_evaluation(evaluate(database, settings, replace(STORED, compare=("1", "2"))))
        told = capsys.readouterr().out
        assert "probabilities of the hits of encoder 1: calibration error " in told
        assert "CNNC(128): the 1000-bit CNN codes of a network whose input is 128 x 128 pixels; RBC: Radon" in told

    def test_others_must_search_the_same_images(self, database: Database, settings: Settings, connection: Any) -> None:
        fill(connection, 20, 10)
        add_codes(connection, 30, np.random.default_rng(1), self.SMALL)
        connection.execute("DELETE FROM cnnc WHERE encoder_id = 2 AND image_id <= 15")
        connection.commit()
        alone = evaluate(database, settings, STORED)
        assert ids(alone) == [1]
        assert alone.notes[0].startswith(
            "encoder 2 (small) is left out: encoder 2 has no code of 15 images that encoder 1"
        )
        with pytest.raises(
            UsageError, match="encoder 2 has no code of 15 images.*run: radretrieval work --once --encoder 2"
        ):
            evaluate(database, settings, replace(STORED, compare=("1", "2")))
        with pytest.raises(UsageError, match="encoder 2 has no code of 15 images"):
            evaluate(database, settings, replace(STORED, encoder_ids=(2, 1)))

    def test_an_image_that_is_not_scored_leaves_no_encoder_out(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        add_codes(connection, 30, np.random.default_rng(1), self.SMALL)
        images.add(connection, [NewImage(b"x" * 32, "file:///poison.png", "png", 4, 5, 8, "MONOCHROME2")])
        connection.commit()
        result = evaluate(database, settings, STORED)
        assert (ids(result), result.notes) == ([1, 2], [])

    def test_the_barcodes_of_each_geometry_have_a_row(
        self, database: Database, settings: Settings, connection: Any
    ) -> None:
        fill(connection, 20, 10)
        coarse = replace(self.SMALL, barcode=replace(TINY.barcode, angles=8))
        add_codes(connection, 30, np.random.default_rng(1), self.SMALL)
        encoder = add_codes(connection, 30, np.random.default_rng(2), coarse)
        without = evaluate(database, settings, STORED)
        assert ids(without) == [1, 2]
        assert "encoder 3 (small) is left out: 10 of the 10 labelled images of test have no code" in without.notes[0]
        geometry = codes.geometry_id(connection, 192, 8, 272, "median-positive")
        rbc = np.random.default_rng(5).integers(0, 256, (30, 272), np.uint8)
        codes.write_barcodes(connection, geometry, list(range(1, 31)), rbc)
        connection.commit()
        result = evaluate(database, settings, STORED)
        rows = [(row.ranking.kind, row.ranking.encoder_id) for row in result.rows if row.ranking.kind == "rbc"]
        assert rows == [("rbc", 1), ("rbc", encoder)]


class TestMoment:
    def test_what_changes_meanwhile_changes_nothing(
        self, database: Database, settings: Settings, connection: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(connection, 20, 10)
        before = evaluate(database, settings, STORED)
        real = rankings.by_codes

        def meanwhile(*arguments: Any) -> Any:
            with database.connection() as other:
                other.execute("UPDATE image SET irma_code = NULL WHERE id IN (1, 2, 3, 21)")
                other.execute("DELETE FROM cnnc WHERE image_id IN (5, 22)")
            return real(*arguments)

        monkeypatch.setattr(protocol.rankings, "by_codes", meanwhile)
        during = evaluate(database, settings, STORED)
        assert during.document() == before.document()

    def test_a_role_that_may_only_read_is_enough(self, archive_url: str, settings: Settings, connection: Any) -> None:
        fill(connection, 20, 10)
        mark = "&" if "?" in archive_url else "?"
        reader = Database(f"{archive_url}{mark}options=-cdefault_transaction_read_only%3Don")
        assert len(evaluate(reader, settings, STORED).rows) == 3
        connection.execute("TRUNCATE geometry CASCADE")
        connection.commit()
        with pytest.raises(UsageError, match="10 of the 10 labelled images of test have no code of encoder 1"):
            evaluate(reader, settings, STORED)


class TestPublished:
    def test_they_stand_beside_the_numbers_of_2009_only(
        self, database: Database, settings: Settings, connection: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = [(kind.irma_code, "train") for kind in classes() for _ in range(kind.train)]
        labels += [(kind.irma_code, "test") for kind in classes() for _ in range(kind.test)]
        rows = [
            NewImage((i + 1).to_bytes(32, "big"), f"file:///{i}.png", "png", 4, 5, 8, "MONOCHROME2",
                     irma_code=code, split=split)
            for i, (code, split) in enumerate(labels)
        ]  # fmt: skip
        images.add(connection, rows)
        add_codes(
            connection, len(rows), np.random.default_rng(0), bytes_used=100
        )  # few ties: it takes a tenth of the time
        result = evaluate(database, settings, STORED)
        assert result.published == PUBLISHED
        assert "whether they are the same images no list of codes can tell" in result.document()["notes"][-1]
        assert [row["name"] for row in result.document()["published"]][3] == "TAUbiomed"
        ranked = [row.ranking for row in result.rows if row.ranking.kind != "rbc"]
        monkeypatch.setattr(rankings, "by_codes", lambda *given: ranked)  # once is enough
        assert evaluate(database, settings, replace(STORED, rule="paper")).published == ()
        codes = {split: [code for code, own in labels if own == split] for split in ("test", "train")}
        assert why_not(codes["test"], codes["train"]) == ""
        assert "the searched images are not those" in why_not(codes["test"], [code for code, _ in labels])

    def test_queries_that_were_learnt_are_told(self, database: Database, settings: Settings, connection: Any) -> None:
        fill(connection, 20, 10)
        connection.execute('UPDATE encoder SET metrics = \'{"split": "test"}\'')
        connection.commit()
        assert (
            "encoder 1 has learnt the very queries: its errors are too small"
            in evaluate(database, settings, STORED).notes
        )


class TestReports:
    def test_anyone_can_recompute_every_score_from_the_csv(
        self, database: Database, settings: Settings, connection: Any, tmp_path: Path
    ) -> None:
        fill(connection, 20, 10)
        result = evaluate(database, settings, STORED)
        write_evaluation_csv(tmp_path / "hits.csv", result)
        with (tmp_path / "hits.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == COLUMNS
        assert len(rows) == 3 * 10 * 10
        for row in result.rows:
            mine = [line for line in rows if line["ranking"] == row.ranking.name and line["rank"] == "1"]
            assert [int(line["query_image_id"]) for line in mine] == result.queries.image_ids.tolist()
            total = sum(irma_error(line["irma_code"], line["hit_irma_code"]) for line in mine)
            assert total == pytest.approx(row.score.error_score)
            assert sum(float(line["error"]) for line in mine) == pytest.approx(row.score.error_score)
        stored = dict(connection.execute("SELECT array_agg(id) AS i, array_agg(irma_code) AS c FROM image").fetchone())
        labels = dict(zip(stored["i"], stored["c"], strict=True))
        assert all(labels[int(line["image_id"])] == line["hit_irma_code"] for line in rows)
        assert not list(tmp_path.glob(".hits*"))
        write_evaluation_csv(tmp_path / "paper.csv", evaluate(database, settings, replace(STORED, rule="paper")))
        with (tmp_path / "paper.csv").open(newline="") as file:
            for line in csv.DictReader(file):
                assert float(line["error"]) == pytest.approx(paper_error(line["irma_code"], line["hit_irma_code"]))

    def test_a_query_without_a_hit_has_a_row_all_the_same(
        self, database: Database, settings: Settings, connection: Any, tmp_path: Path
    ) -> None:
        fill(connection, 0, 1)
        write_evaluation_csv(tmp_path / "hits.csv", evaluate(database, settings, replace(STORED, against=("test",))))
        with (tmp_path / "hits.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["rank"], row["image_id"], row["hit_irma_code"]) for row in rows] == [("1", "", NOTHING)] * 3

    def test_confusions_count_every_query_once(self) -> None:
        true = [*CODES, CODES[0]]
        predicted = [CODES[0], CODES[0], CODES[2], NOTHING, "1121-999-700-500"]
        found = {one.axis: one for one in confusions(true, predicted)}
        assert list(found) == ["technique", "direction", "anatomy", "biosystem"]
        assert all(one.counts.sum() == 5 for one in found.values())
        direction = found["direction"]
        assert direction.groups == ["12", "41", "other"]
        assert direction.counts.tolist() == [[3, 0, 1], [0, 0, 1], [0, 0, 0]]

    def test_many_groups_leave_room_for_the_others(self) -> None:
        codes = [f"1121-{a}{b}0-942-700" for a in "01234" for b in "0123456789"]
        (direction,) = [one for one in confusions(codes, codes) if one.axis == "direction"]
        assert len(direction.groups) == 25
        assert direction.counts.sum() == np.trace(direction.counts) == 50
        assert direction.counts[-1, -1] == 26

    def test_examples_are_spread(self) -> None:
        each = np.array([0, 0.5, 0, 0.1, 0, 0.9, 0, 0.2, 0, 0])
        assert examples(each == 0, each, 3) == ([0, 4, 9], [3, 1, 5])
        assert examples(np.ones(2, bool), np.zeros(2)) == ([0, 1], [])
        # of clutter nothing is an error, and another code is wrong all the same
        assert examples(np.array([True, False]), np.zeros(2)) == ([0], [1])

    def test_the_picture_stands_where_files_are_gone(
        self, database: Database, settings: Settings, connection: Any, tmp_path: Path
    ) -> None:
        fill(connection, 20, 10)
        write_evaluation_picture(tmp_path / "e.png", evaluate(database, settings, STORED), settings)
        with Image.open(tmp_path / "e.png") as picture:
            assert 1500 < picture.width < 1900, "no wider than two matrices"
            assert picture.height > 1000


class TestNetwork:
    @pytest.fixture
    def folder(self, database: Database, settings: Settings, connection: Any, tmp_path: Path) -> Path:
        """Forty pictures of random squares, ingested and encoded."""
        rng = np.random.default_rng(0)
        lines = ["file,irma_code,split"]
        for i in range(40):
            square = rng.integers(0, 256, (8, 8), np.uint8).repeat(5, 0).repeat(5, 1)
            Image.fromarray(square).save(tmp_path / f"{i}.png")
            lines.append(f"{i}.png,{CODES[i % 4]},{'train' if i < 28 else 'test'}")
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        ingest(database, settings, [tmp_path], labels=read_labels(tmp_path / "labels.csv"))
        encoders.add(connection, TINY, weights(), CODES[:2], {})
        connection.commit()
        encode(database, settings)
        return tmp_path

    def test_reals_and_classes_are_those_of_the_network(
        self, database: Database, settings: Settings, folder: Path
    ) -> None:
        from radretrieval.coding.cnnc import Coder
        from radretrieval.files.uris import to_path
        from radretrieval.imaging import read_image
        from radretrieval.imaging.resample import resample

        result = evaluate(database, settings, EvaluationOptions())
        by_kind = {row.ranking.kind: row.ranking for row in result.rows}
        assert tuple(by_kind) == rankings.KINDS
        coder = Coder(weights(), TINY, "cpu")

        def pixels(uris: list[str]) -> np.ndarray:
            return np.stack([resample(read_image(to_path(uri)).pixels, 32) for uri in uris])

        mine = pixels(result.queries.uris)
        classes = coder.class_probabilities(mine).argmax(1)
        assert by_kind["softmax"].predicted == [CODES[number] for number in classes]
        a, b = (
            coder.preactivations(mine).astype(float),
            coder.preactivations(pixels(result.searched.uris)).astype(float),
        )
        near = ((a[:, None] - b[None]) ** 2).sum(-1)
        far = distances(result.queries.rbc, result.searched.rbc)
        for place in range(len(a)):
            # 28 searched images are all candidates: the barcodes alone decide, and ties by the reals
            best = sorted(range(28), key=lambda i: (far[place][i], near[place][i], i))[:10]
            assert by_kind["real+rbc"].places[place].tolist() == best

    def test_few_candidates_are_the_nearest_reals(self, database: Database, settings: Settings, folder: Path) -> None:
        result = evaluate(database, settings, EvaluationOptions())
        run = result.runs[0]
        few, fused = (replace(one, query=replace(one.query, candidates=8)) for one in (TINY, FUSED))
        run = replace(run, encoder=replace(run.encoder, profile=few))
        rng = np.random.default_rng(3)
        # seven distinct ones, four times each: the eighth to tenth places are tied, and settled by id
        a, b = rng.normal(size=(12, 1000)).astype(np.float32), rng.normal(size=(7, 1000)).astype(np.float32)
        b = np.tile(b, (4, 1))
        ranking = rankings.by_reals(run, a, b)
        near = ((a[:, None].astype(float) - b[None]) ** 2).sum(-1).round(6)
        for place in range(12):
            candidates = sorted(range(28), key=lambda i: (near[place][i], i))[:10]
            assert sorted(ranking.places[place]) == sorted(candidates), "as many candidates as hits at least"
        same = rankings.by_reals(replace(run, encoder=replace(run.encoder, profile=fused)), a, b)
        assert same.places.tolist() == ranking.places.tolist(), "by barcode alone under every profile"

    def test_reals_never_find_the_query_itself(self, database: Database, settings: Settings, folder: Path) -> None:
        result = evaluate(database, settings, EvaluationOptions(against=("all",)))
        (row,) = [row for row in result.rows if row.ranking.kind == "real+rbc"]
        found = result.searched.image_ids[row.ranking.places]
        assert (row.ranking.places >= 0).all()
        assert not (found == result.queries.image_ids[:, None]).any()

    def test_the_softmax_has_a_row_a_query(
        self, database: Database, settings: Settings, folder: Path, tmp_path: Path
    ) -> None:
        result = evaluate(database, settings, EvaluationOptions())
        write_evaluation_csv(tmp_path / "hits.csv", result)
        with (tmp_path / "hits.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["ranking"] == "softmax(32)"]
        predicted = next(row.ranking.predicted for row in result.rows if row.ranking.kind == "softmax")
        assert [row["hit_irma_code"] for row in rows] == predicted
        assert {(row["rank"], row["image_id"]) for row in rows} == {("1", "")}

    def test_a_file_that_is_gone_takes_the_whole_row_with_it(
        self, database: Database, settings: Settings, folder: Path
    ) -> None:
        (folder / "3.png").unlink()
        result = evaluate(database, settings, EvaluationOptions())
        assert [failure["path"] for failure in result.failures] == [str(folder / "3.png")]
        assert [row.ranking.kind for row in result.rows] == ["cnnc+rbc", "cnnc", "rbc", "softmax"]
        assert "left out: CNNC(32, no binarization) + RBC; 1 files cannot be read any more" in result.notes[0]
        (folder / "30.png").unlink()
        result = evaluate(database, settings, EvaluationOptions(compare=("softmax", "cnnc")))
        assert [failure["path"] for failure in result.failures] == [str(folder / "30.png"), str(folder / "3.png")]
        assert [row.ranking.kind for row in result.rows] == ["cnnc+rbc", "cnnc", "rbc"]
        assert result.comparison is None
        assert "the comparison is left out: there is no ranking softmax of encoder 1" in result.notes

    def test_a_file_that_is_gone_ends_the_command_with_one(
        self, inside: Any, database: Database, settings: Settings, folder: Path
    ) -> None:
        (folder / "3.png").unlink()
        done = inside("evaluate", check=False)
        assert done.returncode == 1
        assert "CNNC(32) + RBC" in done.stdout
        assert f"failed: {folder / '3.png'}: " in done.stderr
