"""An encoder goes from one archive to another as a file, and nothing else that is named comes in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from calibrating import fitted
from conftest import Run
from databases import Server
from tiny import CLASSES, FUSED, TINY, weights

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.encoder_file import RANGES, WORDS, EncoderFile
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, InputMissing, UsageError
from radretrieval.jobs.exchange import export_encoder, import_encoder
from radretrieval.profile import KINDS, PROFILES, STRONG

METRICS = {"split": "train", "images": 3, "losses": [1.5, 1e-7], "accuracies": [0.25, 1.0]}
FILE = EncoderFile(weights(), TINY, CLASSES, METRICS)


@pytest.fixture
def other(server: Server, migrated_template: str) -> Iterator[Database]:
    """A second archive, empty."""
    with server.database(template=migrated_template) as url:
        yield Database(url)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "e.safetensors"
    path.write_bytes(data)
    return path


def altered(**members: Any) -> bytes:
    """The file with other members, and the hash of them."""
    return replace(FILE, **members).to_bytes()


def refused(database: Database, path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        import_encoder(database, path)
    with database.connection() as connection:
        assert encoders.listed(connection) == []
    return str(caught.value)


def test_from_one_archive_to_another(database: Database, other: Database, settings: Settings, tmp_path: Path) -> None:
    with database.connection() as connection:
        encoders.add(connection, TINY, weights(1), CLASSES, {})
        number = encoders.add(connection, TINY, weights(), CLASSES, METRICS, fitted())
    path, again = tmp_path / "e.safetensors", tmp_path / "again.safetensors"
    exported = export_encoder(database, settings, path, number)
    assert (exported.encoder_id, exported.active, exported.bytes) == (number, False, path.stat().st_size)

    imported = import_encoder(other, path)
    assert imported == replace(exported, encoder_id=1, active=True, added=True)  # the first, and so active
    twice = import_encoder(other, path)
    assert twice == replace(imported, added=False)
    assert import_encoder(database, path).encoder_id == number

    with other.connection() as connection:
        encoder = encoders.get(connection)
        stored = encoders.weights(connection, encoder, tmp_path / "cache")
        assert (encoder.profile, encoder.classes) == (TINY, CLASSES)
        assert encoders.metrics(connection, encoder) == METRICS
        assert encoder.calibration == fitted()
    assert stored == weights()
    images = np.random.default_rng(0).random((4, 32, 32), np.float32)
    codes = [Coder(each, TINY, "cpu").codes(images).tolist() for each in (stored, weights())]
    assert codes[0] == codes[1]

    assert export_encoder(other, settings, again, None) == replace(imported, added=False)
    assert again.read_bytes() == path.read_bytes()
    with database.connection() as connection:  # a second encoder of an archive waits for its activation
        encoders.add(connection, TINY, weights(2), CLASSES, {})
    later = written(tmp_path, altered(weights=weights(3)))
    assert not import_encoder(database, later).active


def test_the_command(inside: Callable[..., Run], database: Database, tmp_path: Path) -> None:
    path = written(tmp_path, FILE.to_bytes())
    first = inside("encoder", "import", path, "--json")
    assert (first.json["active"], first.json["sha256"]) == (True, FILE.sha256)
    assert inside("encoder", "import", path).stderr == "the archive has it already, as encoder 1\n"
    inside("encoder", "import", written(tmp_path, altered(weights=weights(1))), check=True)
    out = inside("encoder", "export", tmp_path / "out.safetensors", "--encoder", 2, "--json").json
    assert (out["encoder_id"], out["profile"], out["classes"]) == (2, "tiny", 2)
    assert inside("encoder", "export", tmp_path / "out.png", check=False).returncode == 2
    gone = inside("encoder", "import", tmp_path / "none", check=False)
    assert gone.returncode == 2
    assert f"cannot read {tmp_path / 'none'}" in gone.stderr
    # other tools read the same file
    with safetensors.safe_open(tmp_path / "out.safetensors", "np") as opened:
        assert json.loads(opened.metadata()["classes"]) == list(CLASSES)


def test_damage_is_found(database: Database, tmp_path: Path) -> None:
    data = FILE.to_bytes()
    for place in (len(data) - 1, len(data) // 2, data.index(b"dropout")):
        broken = bytearray(data)
        broken[place] ^= 1
        assert "it was damaged or changed" in refused(database, written(tmp_path, bytes(broken)))
    for end in (0, 4, 1000, len(data) - 1):
        assert "no safetensors file, or not a whole one" in refused(database, written(tmp_path, data[:end]))
    assert "no safetensors file" in refused(database, written(tmp_path, data + b"more"))


def test_what_is_no_encoder_is_refused(database: Database, tmp_path: Path) -> None:
    def why(data: bytes) -> str:
        return refused(database, written(tmp_path, data))

    assert "no safetensors file" in why(b"\x89PNG\r\n\x1a\n" + bytes(100))
    plain = {"w": np.zeros(3, np.float32)}
    assert "none that `radretrieval encoder export` wrote" in why(safetensors.numpy.save(plain))
    newer = safetensors.numpy.save(plain, {"format": "radretrieval encoder 2"})
    assert "upgrade radretrieval" in why(newer)
    assert "not those of a network of its profile" in why(altered(weights=safetensors.numpy.save(plain)))
    wide = replace(TINY, network=replace(TINY.network, convolutions=(4, 8, 9)))
    assert "not those of a network of its profile" in why(altered(profile=wide))
    assert "have 992 bits" in why(altered(profile=replace(TINY, network=replace(TINY.network, code_bits=992))))
    vast = replace(TINY, network=replace(TINY.network, input_size=10**9))
    assert "not of a form that this version knows" in why(altered(profile=vast))
    assert "has 2 classes, its list has 1" in why(altered(classes=CLASSES[:1]))
    assert "not of a form" in why(altered(classes=("1121", CLASSES[0])))
    assert "not of a form" in why(altered(classes=CLASSES[:1] * 2))
    assert "not of a form" in why(altered(metrics=[]))
    tensors = safetensors.numpy.load(weights())
    tensors["full2.bias"][7] = np.nan
    assert "no finite numbers" in why(altered(weights=safetensors.numpy.save(tensors)))
    tensors["full2.bias"][7], tensors["full3.bias"][1] = 0, np.inf
    assert "no finite numbers" in why(altered(weights=safetensors.numpy.save(tensors)))
    with pytest.raises(InputMissing, match="cannot read"):
        import_encoder(database, tmp_path)


DOCUMENTS: dict[str, Any] = {
    "profile": FUSED.as_json(),
    "classes": list(CLASSES),
    "calibration": json.loads(json.dumps(fitted().as_json())),
    "metrics": METRICS,
}
NAN, INFINITY = float("nan"), float("inf")
UNFIT: list[tuple[str, Any, str]] = [
    ("metrics.losses", [NAN], "metrics: numbers must be finite"),
    ("metrics.losses", [[-INFINITY]], "metrics: numbers must be finite"),
    ("metrics.split", "a\0b", "without NUL"),
    ("metrics.a\0b", 1, "without NUL"),
    ("metrics.split", "\ud800", "Unicode"),
    ("metrics", None, "metrics: no JSON object"),
    ("classes", [], "classes: not a list of different IRMA codes"),
    ("classes", "11", "classes: not a list"),
    ("classes", [None], "not of a form"),
    ("calibration", [1], "not of a form"),
    ("calibration.far", NAN, "calibration: numbers must be finite"),
    ("calibration.far", -0.5, "largest distance -0.5"),
    ("calibration.far", 1.5, "largest distance 1.5"),
    ("calibration.far", True, "has True for a number"),
    ("calibration.far", 10**400, "for a number"),
    ("calibration.films", 0, "has 0 films"),
    ("calibration.films", 300.0, "has 300.0 films"),
    ("calibration.films", INFINITY, "numbers must be finite"),
    ("calibration.curves.code", {"weights": [0.0] * 4, "scores": [], "values": []}, "0 scores and 0 values"),
    ("calibration.curves.T.values", [0.5], "20 scores and 1 values"),
    ("calibration.curves.D.values", [5.0] * 20, "values outside 0 … 1"),
    ("calibration.curves.A.values", [-0.1] * 20, "values outside 0 … 1"),
    ("calibration.curves.B.scores", list(range(20, 0, -1)), "do not ascend"),
    ("calibration.curves.B.scores", "1" * 20, "has '1' for a number"),
    ("calibration.curves.B.scores", [0.0] * 19 + [1e300], "has 1e+300 for a number"),
    ("calibration.curves.code.weights", [0.5], "has 1 weights, not 4"),
    ("calibration.curves.code.weights", [0.5] * 9, "has 9 weights, not 4"),
    ("calibration.curves.code.weights", [1e-310] * 4, "has 1e-310 for a number"),
    ("calibration.farther.weights", [0.0], "has 1 weights, not 2"),
    ("calibration.farther", {"weights": [0.0, 1.0], "scores": [], "values": []}, "0 scores and 0 values"),
    ("profile", [1], "not of a form"),
    ("profile.name", ["x"], "has name ['x'], which"),
    ("profile.name", "", "a name has 1 … 64 printable characters"),
    ("profile.name", "x" * 65, "a name has 1 …"),
    ("profile.name", "\x1b[31mred\n", "a name has 1 …"),
    ("profile.network", None, "not of a form"),
    ("profile.network.input_size", True, "has input_size True, which"),
    ("profile.network.input_size", 32.0, "has input_size 32.0, which"),
    ("profile.network.convolutions", [], "convolutions is ()"),
    ("profile.network.convolutions", [4, 8, 10**9], "not within 1 … 1024"),
    ("profile.network.convolutions", 4, "has convolutions 4, which"),
    ("profile.network.input_mean", NAN, "profile: numbers must be finite"),
    ("profile.network.input_scale", 0, "input_scale is 0"),
    ("profile.network.dropout", 7, "dropout is 7, which is not within 0 … 1"),
    ("profile.network", {**STRONG.as_json()["network"], "backbone": "evil"}, "backbone is 'evil'"),  # type: ignore[dict-item]
    ("profile.training.epochs", 0, "epochs is 0"),
    ("profile.training.epochs", "x", "has epochs 'x', which"),
    ("profile.training.batch", 0, "batch is 0"),
    ("profile.training.learning_rate", -1.0, "learning_rate is -1.0"),
    ("profile.barcode.size", -1, "size is -1"),
    ("profile.barcode.size", 40_000, "size is 40000"),
    ("profile.barcode.angles", 0, "angles is 0"),
    ("profile.barcode.angles", "16", "has angles '16', which"),
    ("profile.barcode.angles", 10**9, "angles is 1000000000"),
    ("profile.barcode", {"size": 1024, "angles": 1024, "rule": "median-positive"}, "too large together"),
    ("profile.barcode.rule", None, "has rule None, which"),
    ("profile.barcode.rule", "evil", "rule is 'evil', not 'median-positive'"),
    ("profile.query.hits", -1, "hits is -1"),
    ("profile.query.hits", 51, "hits are more than candidates"),
    ("profile.query.candidates", 0, "candidates is 0"),
    ("profile.query.roi_longest_side", 0, "roi_longest_side is 0"),
    ("profile.query.cnnc_percent", 50.5, "has cnnc_percent 50.5, which"),
    ("profile.query.cnnc_percent", -100, "cnnc_percent is -100"),
    ("profile.query.cnnc_percent", 10**30, "cnnc_percent is 1000"),
]


def crafted(documents: dict[str, Any]) -> bytes:
    """A file of any documents, with the hash of them."""

    class Crafted(EncoderFile):
        def _members(self) -> dict[str, str]:
            return {name: json.dumps(value) for name, value in documents.items()}

    return Crafted(FILE.weights, TINY, CLASSES, {}).to_bytes()


@pytest.mark.parametrize(("place", "value", "reason"), UNFIT)
def test_what_would_break_an_archive_is_refused(place: str, value: Any, reason: str) -> None:
    documents = deepcopy(DOCUMENTS)
    *parents, last = place.split(".")
    inner = documents
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    with pytest.raises(UsageError, match=re.escape(reason)):
        EncoderFile.from_bytes(crafted(documents))


def test_what_is_refused_says_so_and_the_rest_is_read(inside: Callable[..., Run], tmp_path: Path) -> None:
    for metrics in ({"a": NAN}, {"a": "\0"}, {"a": "\ud800"}, json.loads("[" * 900 + "]" * 900)):
        path = written(tmp_path, crafted(DOCUMENTS | {"metrics": metrics}))
        run = inside("encoder", "import", path, check=False)
        assert (run.returncode, run.stdout) == (2, "")
        assert f"{path} cannot be imported: its profile, classes, calibration or metrics are not" in run.stderr
    assert inside("encoder", "import", written(tmp_path, crafted(DOCUMENTS)), "--json").json["added"]


def test_every_number_and_word_of_a_profile_is_checked_and_every_profile_passes() -> None:
    names = {one.name for kinds in KINDS.values() for kind in kinds for one in fields(kind)}
    assert names == RANGES.keys() | WORDS.keys()
    for profile in PROFILES.values():
        assert EncoderFile.from_bytes(crafted(DOCUMENTS | {"profile": profile.as_json()})).profile == profile


def test_a_stored_name_sends_nothing_to_the_terminal(inside: Callable[..., Run], database: Database) -> None:
    with database.connection() as connection:
        encoders.add(connection, replace(TINY, name="\x1b[31mred\n"), weights(), CLASSES, {})
    shown = inside("encoder", "list").stdout
    assert "\x1b" not in shown
    assert r"\x1b[31mred\n" in shown


def test_a_profile_of_another_version_is_refused(database: Database, tmp_path: Path, monkeypatch: Any) -> None:
    later = TINY.as_json() | {"network": {"wings": 2}}
    monkeypatch.setattr(type(TINY), "as_json", lambda self: later)
    data = FILE.to_bytes()
    monkeypatch.undo()
    assert "e.safetensors cannot be imported: " in (why := refused(database, written(tmp_path, data)))
    assert "its profile has wings, which this version does not know; upgrade radretrieval" in why


def test_a_file_of_an_earlier_version_is_read(monkeypatch: Any) -> None:
    earlier = STRONG.as_json()
    del earlier["training"]["patience"]  # type: ignore[attr-defined]
    monkeypatch.setattr(type(STRONG), "as_json", lambda self: earlier)
    data = replace(FILE, profile=STRONG).to_bytes()
    monkeypatch.undo()
    read = EncoderFile.from_bytes(data)
    assert read.profile == STRONG
    assert read.sha256.encode() in data  # as it was told where it was exported
    assert read.sha256 != replace(FILE, profile=STRONG).sha256


def test_who_may_not_add_encoders_may_not_import(database: Database, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, FILE.to_bytes())
    with database.connection() as connection:
        connection.execute("CREATE ROLE exchange_reader")
        connection.execute("GRANT USAGE ON SCHEMA radretrieval TO exchange_reader")
        connection.execute("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA radretrieval TO exchange_reader")
    try:
        limited = Database(database.url + ("&" if "?" in database.url else "?") + "options=-crole%3Dexchange_reader")
        with pytest.raises(EnvironmentUnusable, match="only the owner of the schema"):
            import_encoder(limited, path)
    finally:
        with database.connection() as connection:
            connection.execute("DROP OWNED BY exchange_reader")
            connection.execute("DROP ROLE exchange_reader")


def test_exporting_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(weights())
    program = (
        "import sys; from pathlib import Path; import radretrieval.jobs.exchange as exchange\n"
        "from radretrieval.coding.encoder_file import EncoderFile; from radretrieval.profile import PAPER\n"
        "data = EncoderFile(Path('weights').read_bytes(), PAPER, ('1121-120-942-700',), {}).to_bytes()\n"
        "EncoderFile.from_bytes(data); assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
