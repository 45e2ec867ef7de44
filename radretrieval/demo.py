"""The demo: ingest, train, encode, search and evaluate on synthetic radiographs, with a line for each step."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from radretrieval.archive import images
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import shared_server
from radretrieval.archive.opening import open_database
from radretrieval.config import Settings
from radretrieval.evaluation import evaluate
from radretrieval.files.uris import to_path
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.jobs.train import TrainOptions, train
from radretrieval.phantom import write_archive
from radretrieval.profile import PAPER, STRONG
from radretrieval.report.search_picture import write_search_picture
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

IMAGES, CLASSES = 480, 12
EPOCHS = {STRONG: 4, PAPER: 7}  # instead of the profile's: enough for phantoms
ROI = (40, 120, 120, 110)

Say = Callable[[str], None]


def run(folder: Path, say: Say) -> None:
    """Make a phantom archive in `folder`, fill it, search it, score it and write `folder`/answer.png.

    Images and archive of an earlier demo in the folder are used again. The embedded server is stopped at the end.

    Raises UsageError for a folder that holds something else, EmbeddedServerError when the server cannot start.
    """
    started = time.monotonic()
    settings = Settings(home=(folder / "home").absolute(), database_url=None)
    say(f"radretrieval demo in {folder}/")
    labels = write_archive(folder / "radiographs", IMAGES, CLASSES)
    say(f"1. made {IMAGES} synthetic radiographs of {CLASSES} classes: {folder}/radiographs")
    try:
        database = open_database(settings)
        say("2. started PostgreSQL with pgvector, for this demo alone")
        report = ingest(database, settings, [folder / "radiographs"], labels=read_labels(labels))
        say(
            f"3. ingested: {report.added} added, {report.unchanged} unchanged, {report.failed} failed "
            f"({report.seconds:.0f} s)"
        )
        _train_and_encode(database, settings, say)
        _search(database, settings, folder, say)
        _evaluate(database, settings, say)
    finally:
        shared_server.release(settings.home)
    say(f"done in {time.monotonic() - started:.0f} s")
    _what_next(folder, say)


def _train_and_encode(database: Database, settings: Settings, say: Say) -> None:
    from radretrieval.coding.backbone import backbone_weights

    profile = STRONG if backbone_weights() else PAPER
    epochs = EPOCHS[profile]
    say(f"4. training the profile {profile.name}, {epochs} epochs instead of {profile.training.epochs} …")
    trained = train(database, settings, TrainOptions(profile, epochs=epochs))
    say(f"   encoder {trained.encoder_id}: loss {trained.train_loss:.2f}, {trained.seconds:.0f} s on {trained.device}")
    with database.connection() as connection:
        from radretrieval.archive import encoders

        encoders.activate(connection, trained.encoder_id)
    done = encode(database, settings, EncodeOptions(encoder_id=trained.encoder_id))
    say(f"5. encoded {done.encoded} images ({done.images_per_second:.0f} a second): CNN codes and Radon barcodes")


def _search(database: Database, settings: Settings, folder: Path, say: Say) -> None:
    with database.connection() as connection:
        query = images.training(connection, "test")[0]
    path = to_path(query["uri"], settings.path_key_file)
    request = Request(query=path, roi=ROI)
    with Searcher(database, settings) as searcher:
        answer = searcher.search(request)
        picture = folder / "answer.png"
        write_search_picture(picture, searcher, answer)
    say(f"6. searched for the images most like {path.name}, {query['irma_code']}:")
    for hit in answer.hits:
        there = f"ROI at {hit.roi.x},{hit.roi.y}" if hit.roi and hit.roi.found else "no ROI"
        say(
            f"   {hit.rank:2}. image {hit.image_id:3}  {hit.irma_code}  CNNC {hit.cnnc_distance:3}  "
            f"RBC {hit.rbc_distance:4}  {there}"
        )
    say(f"   with its region x,y,width,height = {','.join(map(str, ROI))} found in each hit; the picture: {picture}")


def _evaluate(database: Database, settings: Settings, say: Say) -> None:
    result = evaluate(database, settings)
    first, *others = result.rows
    say(
        f"7. scored {len(result.queries.image_ids)} test images against {len(result.searched.image_ids)}: "
        f"first hit right in {first.score.first_hit_accuracy:.1%},"
    )
    say(
        f"   ImageCLEF error {first.score.error_score:.2f}; "
        + ", ".join(f"{row.ranking.name} {row.score.error_score:.2f}" for row in others)
    )


def _what_next(folder: Path, say: Say) -> None:
    home = shlex.quote(str((folder / "home").absolute()))
    say("Try next (in this demo's archive):")
    say(f"   export RADRETRIEVAL_HOME={home}")
    say("   radretrieval search id:7 --picture seven.png")
    say("   radretrieval search id:7 --where laterality=L")
    say("   radretrieval status")
    say(
        "Then your own: unset RADRETRIEVAL_HOME; radretrieval ingest FOLDER --labels labels.csv; "
        "radretrieval train; radretrieval work --once"
    )
    say(f"See it in a browser: RADRETRIEVAL_HOME={home} radretrieval serve, then open http://127.0.0.1:8000/")
