"""No file that is read as weights, an encoder, a checkpoint or an image runs code, though pickles would."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from radretrieval.coding import backbone
from radretrieval.coding.backbone import backbone_weights
from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.encoder_file import EncoderFile
from radretrieval.errors import ImageError, UsageError
from radretrieval.imaging.reader import decode_image


class Running:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def poisoned(kind: str, ran: Path) -> bytes:
    buffer = io.BytesIO()
    if kind == "pickle":
        return pickle.dumps(Running(ran))
    torch.save({"a": torch.zeros(1), "b": Running(ran)}, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


def test_pickle_itself_runs_it(tmp_path: Path) -> None:
    pickle.loads(poisoned("pickle", tmp_path / "ran"))
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("kind", ["pickle", "zip", "older"])
def test_a_pickle_runs_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    ran = tmp_path / "ran"
    data = poisoned(kind, ran)
    file = tmp_path / backbone.FILE
    file.parent.mkdir()
    file.write_bytes(data)
    with pytest.raises(UsageError, match="no safetensors file"):
        backbone_weights(file)
    monkeypatch.setattr(backbone, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(pickle.UnpicklingError):
        backbone_weights()
    with pytest.raises(UsageError, match="no safetensors file"):
        EncoderFile.from_bytes(data)
    file.write_bytes(data + hashlib.sha256(data).digest())
    assert Checkpoint(file).load() is None
    with pytest.raises(ImageError, match="not a radiograph format"):
        decode_image(data)
    assert not ran.exists()
