"""manifest.json and README.md of an export: what it is, its encoder, its columns and the hashes of its lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radretrieval.archive.encoders import Encoder
from radretrieval.errors import UsageError
from radretrieval.export.write_image import export_file
from radretrieval.privacy.replacements import KeyedReplacements


def write_manifest(
    folder: Path,
    *,
    complete: bool,
    replacements: KeyedReplacements | None,
    files: int,
    rows: int,
    encoder: Encoder | None,
    lists: Mapping[str, Mapping[str, str]],
) -> None:
    """Write manifest.json and README.md.

    Parameters
    ----------
    complete : the run has reached its end; else it is going on, or was interrupted.
    files, rows : how many files.csv and the index have.
    encoder : of the codes in the index; None where there are none.
    lists : the columns, with what they are, by file name.

    Raises EnvironmentUnusable where they cannot be written.
    """
    document = {
        "export": "radretrieval",
        "version": 1,
        "complete": complete,
        "deidentified": replacements is not None,
        "key": _fingerprint(replacements),
        "files": files,
        "rows": rows,
        "sha256": {name: _sha256(folder / name) for name in lists if (folder / name).exists()},
        "encoder": encoder
        and {
            "profile": encoder.profile.as_json(),
            "profile_hash": encoder.profile.hash,
            "weights_sha256": encoder.weights_sha256.hex(),
            "classes": list(encoder.classes),
        },
        "columns": lists,
    }
    with export_file(folder / "manifest.json") as draft:
        draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with export_file(folder / "README.md") as draft:
        draft.write_text(_readme(document), encoding="utf-8")


def check_manifest(folder: Path, replacements: KeyedReplacements | None) -> bool | None:
    """Whether the earlier run into a folder has reached its end; None where there is no manifest.

    Raises UsageError where the manifest is damaged, not of an export, or of one under another key.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{path} is damaged; name a new folder") from None
    if not isinstance(manifest, dict) or manifest.get("export") != "radretrieval":
        raise UsageError(f"{path} is of something else; name a new folder")
    if manifest.get("key") != _fingerprint(replacements):
        kind = "is de-identified" if manifest.get("key") else "is not de-identified"
        raise UsageError(f"{folder} holds an export that {kind}, or is of another key; name a new folder")
    return bool(manifest.get("complete"))


def _fingerprint(replacements: KeyedReplacements | None) -> str | None:
    return replacements.fingerprint() if replacements else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _readme(document: dict[str, Any]) -> str:
    hidden = (
        "It is de-identified by the basic profile of DICOM PS3.15 (2026c): patients and UIDs are replaced, days are "
        "moved back by a number of days that is the same for all images of a patient. Nobody has looked at the pixels: "
        "the column burned_in of files.csv tells where text in them must be feared."
        if document["deidentified"]
        else "It is not de-identified."
    )
    lines = ["# Radiographs, exported by radretrieval\n", hidden, ""]
    for name, columns in document["columns"].items():
        lines += [f"## {name}\n", *(f"- `{column}`: {what}" for column, what in columns.items()), ""]
    lines.append("manifest.json has the encoder that the codes are of, and the SHA-256 of the two lists.\n")
    return "\n".join(lines)
