"""The paper's table on a stand-in for ImageCLEF 2009: phantoms of its 193 codes in its class sizes.

    python benchmarks/stand_in.py [--epochs N] [--epochs-128 N] [--home DIR] [--csv FILE] [--picture PNG]

By the commands that people run. Phantoms are no radiographs: what the table shows is that the protocol works from one
end to the other, how the ways of ranking compare, and nothing about IRMA. Training both networks takes hours on two
cores: this is no part of `make bench`, but `make bench-stand_in` runs it. With --home the archive stays there, and what
it has already is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from _common import database, machine, radretrieval, told

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.config import Settings

IMAGES = 12_677 + 1_733


def main() -> None:
    """Make, ingest, train, encode, evaluate; print what `evaluate` and `encoder report` print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50, help="passes over the images at 96 pixels (default: 50)")
    parser.add_argument("--epochs-128", type=int, default=50, help="passes at 128 pixels; 0: no such network")
    parser.add_argument("--home", type=Path, metavar="DIR", help="keep the archive in this folder")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every query with its hits there")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="write confusions and examples there")
    arguments = parser.parse_args()
    with database(arguments.home) as (where, settings):
        made = fill(settings)
        for profile, epochs in (("paper-96", arguments.epochs), ("paper", arguments.epochs_128)):
            if epochs:
                train(where, settings, profile, epochs)
        print("a stand-in for ImageCLEF 2009: synthetic radiographs of its 193 codes in its numbers, not its images;")
        print("nothing here is a claim about IRMA, and the published rows were not measured on these images")
        print(machine("torch", "numpy"))
        for line in made:
            print(line)
        for line in trained(where):
            print(line)
        files = [("--csv", arguments.csv), ("--picture", arguments.picture)]
        print(told(settings, "evaluate", *(str(word) for pair in files if pair[1] for word in pair), *compared(where)))
        print(told(settings, "encoder", "report"), end="")


def fill(settings: Settings) -> list[str]:
    """Write the stand-in and ingest it; how long that took, if it had to be done."""
    folder = settings.home / "stand-in"
    if radretrieval(settings, "status")["images"] == IMAGES:
        return []
    radretrieval(settings, "phantom", str(folder), "--layout", "imageclef")
    done = radretrieval(settings, "ingest", str(folder))
    print(json.dumps({**done, "failures": done["failures"][:3]}), file=sys.stderr)
    return [f"{done['recognised']}; ingested in {done['seconds']:.0f} s"]


def train(where: Database, settings: Settings, profile: str, epochs: int) -> None:
    """Train a network of this profile, unless the archive has one, and encode the images that lack its code."""
    found = [row["encoder_id"] for row in listed(where) if row["profile"] == profile]
    if not found:
        found = [radretrieval(settings, "train", "--profile", profile, "--epochs", str(epochs))["encoder_id"]]
    radretrieval(settings, "work", "--once", "--encoder", str(found[-1]))


def listed(where: Database) -> list[dict[str, Any]]:
    """The encoders of the archive."""
    with where.connection() as connection:
        return encoders.listed(connection)


def trained(where: Database) -> list[str]:
    """What each encoder was trained on, in words."""
    with where.connection() as connection:
        found = connection.execute("SELECT id, profile ->> 'name' AS profile, metrics FROM encoder ORDER BY id")
        rows = found.fetchall()
    lines = []
    for row in rows:
        facts = row["metrics"]
        lines.append(
            f"encoder {row['id']}: {row['profile']}, {facts['epochs']} epochs of {facts['images']} images in "
            f"{facts['seconds'] / 60:.0f} min on {facts['device']}, {facts['precision']}; "
            f"last loss {facts['losses'][-1]:.3f}"
        )
    return lines


def compared(where: Database) -> list[str]:
    """The two networks pair by pair, or the only one with and without re-ranking."""
    ids = [str(row["encoder_id"]) for row in listed(where)]
    return ["--compare", *(ids[-2:] if len(ids) > 1 else ["cnnc+rbc", "cnnc"])]


if __name__ == "__main__":
    main()
