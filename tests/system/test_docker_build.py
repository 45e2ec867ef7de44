"""docker/, really built and run: the image, and the services of compose.yaml, beside a server of a password.

It takes the package registries, some gigabytes of disk and many minutes, so it runs on request only:
RADRETRIEVAL_TEST_IMAGE=1, or `make test-image`. What needs no engine of docker/ is in test_docker.py, always.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from conftest import COMMAND, clean_environment
from containers import PASSWORD, PROGRAMS, ROOT, Done, Engine, Services, called, free_port, password_server
from databases import with_database
from programs import needs_program

BASE, IMAGE = "localhost/python:3-debian", "localhost/radretrieval:tested"
IMAGES, CLASSES = 48, 6
ASKED = "RADRETRIEVAL_TEST_IMAGE"
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")

if not os.environ.get(ASKED):
    pytest.skip(
        f"the image takes the registries, 8 GB of disk and 15 minutes of busy cores: {ASKED}=1 or `make test-image`",
        allow_module_level=True,
    )
if os.geteuid() != 0:
    pytest.skip("the image is built by root only (chroot isolation, runc)", allow_module_level=True)
needs_program(*PROGRAMS)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(Path(tempfile.mkdtemp(prefix="rr-image-")))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    engine.base(BASE)
    engine.build(IMAGE, f"--build-arg=BASE={BASE}", "--build-arg=DEVICE=cpu", "--build-arg=REVISION=abc123")
    return IMAGE


@dataclass
class Site:
    """A site that was set up as docker/README.md says, and what its first commands told."""

    services: Services
    url: str
    images: Path
    told: dict[str, Done]

    def json(self, *command: object) -> Any:
        return json.loads(self.services.run("cli", *command, "--json").stdout)


@pytest.fixture(scope="module")
def site(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("docker")
    (folder / "secrets").mkdir(mode=0o700)
    for name, text in {"database_password": PASSWORD, "patient_key": "0123456789abcdef" * 4}.items():
        (folder / "secrets" / name).write_text(text)
        (folder / "secrets" / name).chmod(0o444)
    (folder / "peers").write_text("STORESCU@127.0.0.1  # storescu's own title\n")
    phantom = [COMMAND, "phantom", "images", "--images", IMAGES, "--classes", CLASSES]
    called(phantom, cwd=folder, env=clean_environment(folder / "home", None))
    with password_server(folder) as (port, server):
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE radretrieval")
        services = Services(
            engine,
            image,
            folder,
            {"RADRETRIEVAL_IMAGES": str(folder / "images"), "RADRETRIEVAL_IMAGES_GROUP": "10001"},
            {"db:5432": f"127.0.0.1:{port}", "11112": str(free_port())},
        )
        told = {
            "early": services.run("cli", "db", "check", check=False),
            "migrate": services.run("migrate"),
            "check": services.run("cli", "db", "check", "--json"),
            "ingest": services.run("cli", "ingest", "/images", "--labels", "/images/labels.csv", "--json"),
            "train": services.run("cli", "train", "--profile", "paper-96", "--epochs", "1", "--json"),
            "work": services.run("cli", "work", "--once", "--json"),
        }
        yield Site(services, with_database(server, "radretrieval"), folder / "images", told)


# The image, as hospital IT looks at it


def test_what_the_image_says_of_itself(engine: Engine, image: str) -> None:
    import radretrieval

    (facts,) = json.loads(engine.podman("inspect", image).stdout)
    config = facts["Config"]
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["radretrieval"], ["--help"])
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert facts["Healthcheck"]["Test"] == ["CMD", "radretrieval", "db", "check"]
    named = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert named["title"] == "radretrieval"
    assert (named["version"], named["revision"]) == (radretrieval.__version__, "abc123")
    assert (named["licenses"], named["base.name"]) == ("Apache-2.0", BASE)
    assert facts["Size"] < 1.7e9
    version = engine.podman("run", "--rm", "--network=none", "--no-healthcheck", *LIMITS, image, "--version")
    assert version.stdout.strip() == radretrieval.__version__


def inside(engine: Engine, image: str, program: str, *arguments: str) -> str:
    flags = ("--rm", "--network=none", "--no-healthcheck", *LIMITS, f"--entrypoint={program}")
    return engine.podman("run", *flags, image, *arguments).stdout


def test_every_package_is_the_one_that_the_tests_pass_with(engine: Engine, image: str) -> None:
    code = (
        "import json, importlib.metadata as m\n"
        "print(json.dumps({d.name: d.version.partition('+')[0] for d in m.distributions()}))"
    )
    normal = re.compile(r"[-_.]+")
    found = {normal.sub("-", k).lower(): v for k, v in json.loads(inside(engine, image, "python", "-c", code)).items()}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert "radretrieval" in found
    assert "pip" not in found
    del found["radretrieval"]
    assert found.items() <= {normal.sub("-", name).lower(): version for name, version in pinned.items()}.items()


def test_nothing_is_left_of_the_build(engine: Engine, image: str) -> None:
    assert inside(engine, image, "id", "-u").strip() == "10001"
    script = r"""
        for name in gcc cc c++ ld make git curl wget nvcc protoc pip; do command -v $name; done
        find / -xdev \( -name pip.conf -o -name '*.whl' -not -path '/usr/share/python-wheels/*' \) 2>/dev/null
        find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /dev \) -prune \
            -o -writable -not -type l -print 2>/dev/null
        ls -d /src /wheels 2>/dev/null
        ls /var/lib/apt/lists /var/cache/apt/archives /root 2>/dev/null | grep -v -e : -e '^$' -e partial -e lock
        :"""
    left = inside(engine, image, "sh", "-c", script).split()
    everybodys = {"/run/lock", "/var/lock", "/var/tmp"}  # by Debian
    assert set(left) - everybodys == {"/store", "/var/lib/radretrieval"}


def test_the_other_build_of_torch_stops_the_build(engine: Engine, image: str) -> None:
    done = engine.build("localhost/never", f"--build-arg=BASE={BASE}", "--build-arg=DEVICE=cuda", check=False)
    assert done.returncode != 0
    assert "torch is not the build for DEVICE=cuda: give --build-arg TORCH_INDEX" in done.stdout + done.stderr


# The services


def test_the_first_commands(site: Site) -> None:
    early = site.told["early"]
    assert early.returncode == 3
    assert "radretrieval db upgrade" in early.stderr
    checked = json.loads(site.told["check"].stdout)
    assert checked["revision"] == checked["head"]
    assert json.loads(site.told["ingest"].stdout)["added"] == IMAGES
    assert json.loads(site.told["train"].stdout)["images"] > 0
    assert json.loads(site.told["work"].stdout)["encoded"] == IMAGES
    for done in site.told.values():
        assert PASSWORD not in done.stdout + done.stderr


def test_search_and_status(site: Site) -> None:
    film = sorted(path.relative_to(site.images) for path in site.images.rglob("*.png"))[0]
    answer = site.json("search", f"/images/{film}")
    assert answer["returned"] == 10
    status = site.json("status")
    assert (status["images"], status["coded"], status["pending"]) == (IMAGES, IMAGES, 0)


def test_a_worker_is_healthy_encodes_and_ends_on_sigterm(site: Site) -> None:
    services = site.services
    worker = services.start("worker")
    try:
        services.logged(worker, "encoding what has no code")
        healthy = services.healthy(worker)
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        # As process 1, without an init: nobody else would take the signal, or the children
        assert services.engine.podman("exec", worker, "cat", "/proc/1/comm").stdout.strip() == "radretrieval"
        with psycopg.connect(site.url) as connection:
            connection.execute("DELETE FROM radretrieval.cnnc WHERE image_id <= 5")
            connection.execute("NOTIFY radretrieval_pending")
        encoded = "SELECT count(*) FROM radretrieval.cnnc WHERE image_id <= 5"
        services.until(lambda: _one(site.url, encoded) == 5)
        states = services.engine.podman("exec", worker, "sh", "-c", "cat /proc/[0-9]*/stat").stdout
        assert not re.search(r"\) Z ", states), states
    finally:
        code, said = services.stopped(worker)
    assert code == 0, said


def _one(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_a_file_is_received_stored_and_found(site: Site, tmp_path: Path) -> None:
    needs_program("storescu")
    services = site.services
    film = write_radiograph(tmp_path / "film.dcm")
    node = services.start("receive")
    try:
        services.logged(node, "listens on")
        healthy = services.healthy(node)
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        send = ["storescu", "--call", "RADRETRIEVAL"]
        there = ["127.0.0.1", services.places["11112"], film]
        called([*send, *there])
        assert called([*send, "--aetitle", "STRANGER", *there], check=False).returncode != 0
        services.until(lambda: _one(site.url, "SELECT count(*) FROM radretrieval.image") == IMAGES + 1)
    finally:
        code, said = services.stopped(node)
    assert code == 0, said
    assert site.json("work", "--once")["encoded"] == 1
    # from the store, in a new container: the volume keeps it
    assert site.json("search", f"id:{_one(site.url, 'SELECT max(id) FROM radretrieval.image')}")["returned"] == 10


def write_radiograph(path: Path) -> Path:
    """A CR image of 96 by 80 pixels."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    pixels = (np.add.outer(np.arange(96) ** 2, np.arange(80) * 40) % 4096).astype("<u2")
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.Modality, made.BodyPartExamined = "42", "Nobody^At All", "CR", "CHEST"
    made.Rows, made.Columns = pixels.shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.PixelData = pixels.tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
    return path


def test_an_archive_of_the_previous_revision_is_upgraded(site: Site) -> None:
    from alembic.script import ScriptDirectory

    from radretrieval.archive import migrations
    from radretrieval.archive.schema.revision import REVISION

    before = ScriptDirectory.from_config(migrations.config(None)).get_revision(REVISION).down_revision
    assert isinstance(before, str)
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE previous")
    url = with_database(site.url, "previous")
    migrations.upgrade(url, before)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric) "
            "SELECT sha256(n::text::bytea), 'file:///' || n, 'png', 4, 5, 8, 'MONOCHROME2' "
            "FROM generate_series(1, 300) n"
        )
    services = site.services
    there = f"--env=RADRETRIEVAL_DATABASE_URL=postgresql://radretrieval@{services.places['db:5432']}/previous"
    old = services.run("cli", "db", "check", check=False, more=[there])
    assert (old.returncode, "radretrieval db upgrade" in old.stderr) == (3, True), old.stderr
    services.run("migrate", more=[there])
    checked = json.loads(services.run("cli", "db", "check", "--json", more=[there]).stdout)
    assert checked["revision"] == checked["head"] == REVISION
    assert json.loads(services.run("cli", "status", "--json", more=[there]).stdout)["images"] == 300


def test_a_backup_is_restored(site: Site) -> None:
    """Dump as docker/README.md says; its tools are the server's, which stands here for the image of the database."""
    from radretrieval.archive.embedded import account

    programs = account.binaries(None)
    dump = site.images.parent / "archive.dump"
    called([programs / "pg_dump", f"--file={dump}", "--format=custom", site.url])
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
    url = with_database(site.url, "restored")
    called([programs / "pg_restore", "--exit-on-error", f"--dbname={url}", dump])
    services = site.services
    there = f"--env=RADRETRIEVAL_DATABASE_URL=postgresql://radretrieval@{services.places['db:5432']}/restored"
    answer = json.loads(services.run("cli", "search", "id:3", "--json", more=[there]).stdout)
    assert answer["hits"] == site.json("search", "id:3")["hits"]
