"""ImageCLEF 2009's medical annotation task: its classes and their sizes, its files, and what its labels look like.

The 193 classes stand in `imageclef2009.csv`, made by `benchmarks/make_irma_terms.py`. No image of the release is here:
its agreement forbids it.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

ID_COLUMN = "image_id"
LABEL_COLUMN = "08_irma_code"  # the year that the 2009 task is scored with; read by name, never by position
NO_LABEL = r"\N"

# Codes that the organisers took back: their images are radiographs like others, but no answer to them is right.
WITHDRAWN = ("1121-120-450-700", "1121-120-700-400", "1121-490-913-700")


class Part(NamedTuple):
    """One half of the release: its split, its folder of PNG files, its codes and the columns of those."""

    split: str
    folder: str
    codes: str
    columns: tuple[str, ...]


PARTS = (
    Part(
        "train",
        "ImageCLEFmed2009_train.02",
        "ImageCLEFmed2009_train_codes.02.csv",
        (ID_COLUMN, "irma_code", "05_class", "05_irma_code_submask", "06_class", "06_irma_code", "07_irma_code",
         LABEL_COLUMN),
    ),
    Part(
        "test",
        "ImageCLEFmed2009_test.03",
        "ImageCLEFmed2009_test_codes.03.csv",
        (ID_COLUMN, "irma_code", "05_class", "05_irma_code_submask", "05_irma_code", "06_class",
         "06_irma_code_submask", "06_irma_code", "07_irma_code_submask", "07_irma_code", "08_irma_code_submask",
         LABEL_COLUMN),
    ),
)  # fmt: skip


class ReleaseClass(NamedTuple):
    """One of the 193 classes, and how many images of it train and test have."""

    irma_code: str
    train: int
    test: int


@lru_cache(maxsize=1)
def classes() -> tuple[ReleaseClass, ...]:
    """The 193 classes, the largest first: 12,671 images of train, 1,732 of test.

    The release has six more images in train, of the codes `WITHDRAWN`, and one more in test, without a code.
    """
    with resources.files(__package__).joinpath("imageclef2009.csv").open(encoding="utf-8") as file:
        return tuple(
            ReleaseClass(row["irma_code"], int(row["train"]), int(row["test"])) for row in csv.DictReader(file)
        )
