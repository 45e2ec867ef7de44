"""The wrong lines of mutate.py, each with the tests that must see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One wrong line: in `module`, under radretrieval/, `right` becomes `wrong`; `tests` must fail then."""

    what: str
    module: str
    right: str
    wrong: str
    tests: str


EDITS = [
    Edit(
        "re-ranking leaves ties to chance",
        "coding/rerank.py",
        "np.lexsort((image_ids, distances, rbc, key, image_ids < 0), axis=-1)",
        "np.lexsort((-image_ids, distances, rbc, key, image_ids < 0), axis=-1)",
        "tests/coding/test_rerank.py",
    ),
    Edit(
        "equal distances are ordered by the later index",
        "coding/hamming.py",
        "* np.int64(n) + np.arange(n)",
        "* np.int64(n) + np.arange(n)[::-1]",
        "tests/coding/test_hamming.py",
    ),
    Edit(
        "a pre-activation of zero gives a one",
        "coding/cnnc.py",
        "np.packbits(preactivations > 0, axis=1)",
        "np.packbits(preactivations >= 0, axis=1)",
        "tests/coding/test_network.py",
    ),
    Edit(
        "the ball of the exact search is one bit too small",
        "archive/sql/functions/exact_ball.sql",
        "AND e.code <~> $1 <= r.tau %4$s OFFSET 0",
        "AND e.code <~> $1 < r.tau %4$s OFFSET 0",
        "tests/archive/test_exact.py",
    ),
    Edit(
        "near duplicates at the boundary are left out",
        "archive/sql/functions/near_duplicates.sql",
        "                  AND e.code <~> x.code <= $1 OFFSET 0) y",
        "                  AND e.code <~> x.code < $1 OFFSET 0) y",
        "tests/archive/test_analysts.py -k near_duplicates",
    ),
    Edit(
        "MONOCHROME1 is not inverted",
        "imaging/grey.py",
        'inverted = stored.photometric == "MONOCHROME1" or',
        "inverted = False or",
        "tests/imaging/test_dicom.py",
    ),
    Edit(
        "a draft is renamed before it is on the disk",
        "files/atomic.py",
        "        if not synced:\n            _sync(draft)\n",
        "",
        "tests/files/test_atomic.py",
    ),
    Edit(
        "bytes are renamed before they are on the disk",
        "files/atomic.py",
        "            os.fsync(handle)\n        finally:\n            os.close(handle)\n\n\ndef make_folders",
        "        finally:\n            os.close(handle)\n\n\ndef make_folders",
        "tests/files/test_atomic.py",
    ),
    Edit(
        "the dates of all patients are shifted alike",
        "privacy/replacements.py",
        'self._digest("days", subject)',
        'self._digest("days", "")',
        "tests/privacy/test_traces.py",
    ),
    Edit(
        "one sub-key serves all purposes",
        "privacy/replacements.py",
        'b"radretrieval export " + purpose.encode()',
        'b"radretrieval export "',
        "tests/privacy/test_traces.py",
    ),
    Edit(
        "a Code String that may be a name leaves",
        "privacy/code_strings.py",
        "return not value or",
        "return True or",
        "tests/privacy/test_traces.py",
    ),
    Edit(
        "everybody can read the store",
        "storage/store_access.py",
        "0o600 if self.group is None else 0o640",
        "0o644",
        "tests/storage/test_store_access.py",
    ),
    Edit(
        "a patient's record names the files of others",
        "report/search_picture.py",
        "_pictured(searcher, answer, file_names=False)",
        "_pictured(searcher, answer, file_names=True)",
        "tests/results/test_answer_report.py -k capture",
    ),
    Edit(
        "a code is committed before its barcode",
        "jobs/encode.py",
        "        squares = {image_id",
        "        connection.commit()\n        squares = {image_id",
        "tests/jobs/test_encode.py -k together",
    ),
    Edit(
        "the permutation test is one-sided",
        "evaluation/scores.py",
        "sum(abs(rng.choice((-1.0, 1.0), some.size) @ some) >= observed",
        "sum(rng.choice((-1.0, 1.0), some.size) @ some >= observed",
        "tests/evaluation/test_scores.py",
    ),
    Edit(
        "a region is rounded down",
        "search/roi.py",
        "return (2 * numerator + denominator) // (2 * denominator)",
        "return numerator // denominator",
        "tests/search/test_roi.py",
    ),
    Edit(
        "images that another worker coded meanwhile are coded again",
        "archive/codes.py",
        'if row["id"] not in done',
        'if row["id"] not in ()',
        "tests/archive/test_codes.py tests/jobs/test_encode.py",
    ),
    Edit(
        "a correction leaves the image with its old patient",
        "ingest/register.py",
        "tuple(dict.fromkeys((*FILE, *columns)))",
        "FILE",
        "tests/ingest/test_corrections.py",
    ),
    Edit(
        "codes of another window stay",
        "ingest/register.py",
        'row["shown_sha256"] is None or row["shown_sha256"] != image.shown_sha256',
        'row["shown_sha256"] is None',
        "tests/ingest/test_corrections.py",
    ),
    Edit(
        "C-STORE is answered with success although nothing was committed",
        "dicom/scp/commit_queue.py",
        "                entry.done.set_exception(error)\n            if isinstance",
        "                entry.done.set_result(None)\n            if isinstance",
        "tests/dicom/test_receive_durability.py",
    ),
    Edit(
        "an exact index is believed though its triggers were off",
        "archive/sql/functions/exact_kept.sql",
        "encoder IS NULL OR NOT exact_followed(encoder) OR",
        "encoder IS NULL OR",
        "tests/archive/test_bypassed.py",
    ),
    Edit(
        "another key of the pseudonyms is recorded over the archive's",
        "archive/queries.sql",
        "VALUES (%(check)s, '') ON CONFLICT DO NOTHING;",
        "VALUES (%(check)s, '') ON CONFLICT (id) DO UPDATE SET check_value = excluded.check_value;",
        "tests/privacy/test_archive_key.py",
    ),
    Edit(
        "rare codes are learnt as rarely as they are",
        "coding/recipes.py",
        "scores = scores.float() + self.prior.to(scores.device)",
        "scores = scores.float() - self.prior.to(scores.device)",
        "tests/coding/test_recipes.py",
    ),
    Edit(
        "a training that goes on draws other numbers",
        "coding/training.py",
        "self.draw.set_state(draw)",
        "pass",
        "tests/coding/test_training.py",
    ),
    Edit(
        "a patient is on both sides of the films held out",
        "coding/holdout.py",
        "film if patient is None else patient",
        "film",
        "tests/coding/test_holdout.py",
    ),
    Edit(
        "groups of anchors reach one bit too little",
        "archive/sql/functions/exact_ball.sql",
        "WHERE g.dq - t.tau <= g.reach AND coalesce",
        "WHERE g.dq - t.tau < g.reach AND coalesce",
        "tests/archive/test_exact.py",
    ),
    Edit(
        "a new far code does not widen its group",
        "archive/sql/functions/exact_widen.sql",
        "g.first = n.first AND g.reach < n.reach",
        "g.first = n.first AND g.reach > n.reach",
        "tests/archive/test_exact_kept.py -k groups",
    ),
    Edit(
        "counting within a distance leaves groups out",
        "archive/sql/functions/cnnc_within.sql",
        "g.code <~> $1 <= g.reach + $2'",
        "g.code <~> $1 < g.reach + $2'",
        "tests/archive/test_exact_kept.py -k reach",
    ),
    Edit(
        "the hash of an audit row leaves out who",
        "archive/sql/functions/audit_hash.sql",
        " 1000000)::pg_catalog.int8, who, db_role",
        " 1000000)::pg_catalog.int8, ''::text, db_role",
        "tests/archive/test_audit_trail.py",
    ),
    Edit(
        "the time of an audit row is not the one that was hashed",
        "archive/sql/functions/audit_add.sql",
        "VALUES (number, moment,",
        "VALUES (number, clock_timestamp() - interval '1 day',",
        "tests/archive/test_audit_trail.py",
    ),
    Edit(
        "ties of a federation are cut at the limit",
        "search/federated.py",
        'if one[1]["distance"] <= last]',
        'if one[1]["distance"] < last]',
        "tests/search/test_federated.py -k union",
    ),
    Edit(
        "equal hits of sites are ordered by image before site",
        "search/federated.py",
        '(row["site"], row["image_id"])',
        '(row["image_id"], row["site"])',
        "tests/search/test_federated.py -k union",
    ),
    Edit(
        "a site that stalls is waited for after the deadline",
        "archive/sites.py",
        "connections[site.name].pgconn.finish()",
        "pass",
        "tests/search/test_federated.py -k midst",
    ),
    Edit(
        "a look-up of a name keeps the process from ending",
        "archive/sites.py",
        "target=look_up, daemon=True",
        "target=look_up, daemon=False",
        "tests/search/test_federated.py -k look_up",
    ),
    Edit(
        "codes of withdrawn images stay where searches read",
        "archive/withdrawal.py",
        '    moved = connection.execute(sql("withdraw_hide"), given).rowcount\n',
        "    moved = 0\n",
        "tests/system/test_withdraw.py -k surface",
    ),
    Edit(
        "neighbours of withdrawn images stay",
        "archive/withdrawal.py",
        '    connection.execute(sql("withdraw_neighbours_off"), given)\n',
        "",
        "tests/system/test_withdraw.py -k surface",
    ),
    Edit(
        "what is forgotten comes back",
        "archive/tombstones.py",
        'return row is not None and bool(row["there"])',
        "return False",
        "tests/system/test_forget.py -k nothing_comes_back",
    ),
    Edit(
        "a film whose decoding process was killed fails at once",
        "storage/worker_pool.py",
        "if (pause := next(pauses, None)) is None:",
        "if (pause := None) is None:",
        "tests/storage/test_worker_pool.py",
    ),
    Edit(
        "a file that comes as a query is decoded where it is searched",
        "search/searcher.py",
        "run or call, run or new.run",
        "run or call, run or call",
        "tests/search/test_new_file.py -k here",
    ),
    Edit(
        "what is written of an answer has a hit that was withdrawn since",
        "results/outputs.py",
        "hits=[hit for hit in answer.hits if hit.image_id in there]",
        "hits=answer.hits",
        "tests/system/test_withdraw.py -k written",
    ),
    Edit(
        "a file that the store has lost loses its reason",
        "ingest/inbox_worker.py",
        "if (known := before.get(arrival.sha256)) is None:",
        "if (known := before.get(arrival.sha256)) is None or True:",
        "tests/ingest/test_inbox_worker.py -k keeps_its_reason",
    ),
]
