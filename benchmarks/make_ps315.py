"""Makes radretrieval/privacy/ps315.csv from the table of an installed dicom-anonymizer.

    pip install dicom-anonymizer==2.1.0
    python benchmarks/make_ps315.py 2026c radretrieval/privacy/ps315.csv

dicom-anonymizer keeps DICOM PS3.15, table E.1-1, as a Python module an edition, one list of tags for each action and
the attribute's name behind each tag. Masks of several tags (curves, overlays) are left out: nothing of those groups
stays in an export.
"""

from __future__ import annotations

import csv
import importlib.metadata
import re
import sys
from pathlib import Path

PACKAGE = "dicom-anonymizer"
# The lists of the module, and the action codes of table E.1-1.
ACTIONS = {
    "D": "D",
    "Z_D": "Z/D",
    "X_D": "X/D",
    "X_Z_D": "X/Z/D",
    "Z": "Z",
    "X_Z": "X/Z",
    "X": "X",
    "U": "U",
    "X_Z_U_STAR": "X/Z/U*",
}
LIST = re.compile(r"^(\w+)_TAGS = \[\n(.*?)^\]", re.MULTILINE | re.DOTALL)
TAG = re.compile(r"\(\s*0x(\w{4}),\s*0x(\w{4}),?\s*\),  # (.+)")
MASK = re.compile(r"\((?:\s*0x\w{4},?){4}\s*\),  # ")


def main(edition: str, target: Path) -> None:
    """Write the table of this edition, in order of tags."""
    installed = importlib.metadata.distribution(PACKAGE)
    module = f"dicomanonymizer/dicom_anonymization_databases/dicomfields_{edition}.py"
    text = Path(str(installed.locate_file(module))).read_text(encoding="utf-8")
    licence = next(file for file in installed.files or () if file.name == "LICENSE").read_text()
    lists = [(name, body) for name, body in LIST.findall(text) if name != "ALL"]
    rows = [
        (f"{group}{element}".upper(), ACTIONS[name], attribute)
        for name, body in lists
        for group, element, attribute in TAG.findall(body)
    ]
    masks = sum(len(MASK.findall(body)) for _, body in lists)
    assert len(rows) + masks == sum(body.count("  # ") for _, body in lists), "an entry of another form"
    assert len({tag for tag, _, _ in rows}) == len(rows), "an attribute has two actions"
    head = [
        f"DICOM PS3.15, table E.1-1, edition {edition}, column Basic Prof., as {PACKAGE} {installed.version} has it:",
        "https://github.com/KitwareMedical/dicom-anonymizer, under this licence. Made by benchmarks/make_ps315.py.",
        "",
        *licence.strip().splitlines(),
    ]
    with target.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}".rstrip() + "\n" for line in head)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("tag", "action", "name"))
        writer.writerows(sorted(rows))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
