"""An encoder goes from one archive to another as a file, and nothing else that is named comes in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from calibrating import fitted
from conftest import Run
from databases import Server
from tiny import CLASSES, TINY, weights

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.encoder_file import EncoderFile
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, InputMissing, UsageError
from radretrieval.jobs.exchange import export_encoder, import_encoder
from radretrieval.profile import STRONG

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
    with pytest.raises(InputMissing, match="cannot read"):
        import_encoder(database, tmp_path)


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
