"""docker/ without an engine: hadolint, the Compose schema, and this project's own rules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
BIN = Path(sys.executable).parent

# repository:version…, with a version of three numbers: `:latest`, `postgres:18` and `python:3.13-slim` float.
FULL_TAG = re.compile(r"^[a-z0-9./-]+:\d+\.\d+\.\d+(-[\w.-]+)?$")


@pytest.fixture(scope="module")
def compose() -> Document:
    document: Document = YAML(typ="safe").load(COMPOSE.read_text())
    return document


@pytest.fixture(scope="module")
def services(compose: Document) -> Document:
    found: Document = compose["services"]
    return found


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return DOCKERFILE.read_text()


def passes(*command: object) -> None:
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_hadolint() -> None:
    passes(BIN / "hadolint", DOCKERFILE)


def test_compose_schema() -> None:
    passes(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_every_base_image_is_a_full_version(dockerfile: str) -> None:
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.MULTILINE))
    stages = set(re.findall(r"^FROM .* AS (\w+)$", dockerfile, re.MULTILINE))
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert bases
    for base in bases:
        image = re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], base)
        assert image in stages or FULL_TAG.match(image), image


def test_every_service_image_is_a_full_version(services: Document) -> None:
    for name, service in services.items():
        image = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["image"])
        assert FULL_TAG.match(image), (name, image)


def test_image_carries_the_package_version(services: Document, dockerfile: str) -> None:
    import radretrieval

    assert f"ARG VERSION={radretrieval.__version__}\n" in dockerfile
    assert services["worker"]["image"].startswith(f"radretrieval:{radretrieval.__version__}-")


def test_nobody_is_root(services: Document, dockerfile: str) -> None:
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    for name, service in services.items():
        user, group = service["user"].split(":")
        assert int(user) > 0, name
        assert int(group) > 0, name


def test_every_service_is_hardened(services: Document) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_secrets_come_from_files(compose: Document, services: Document) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "KEY" in key:
                assert key.endswith("_FILE"), (name, key)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, key)
            assert not re.search(r"://[^@/]*:[^@/]+@", value), f"{name}: {key} has a password in it"


def test_no_secret_reaches_a_layer(dockerfile: str) -> None:
    assert not re.search(r"^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET|KEY)", dockerfile, re.MULTILINE | re.IGNORECASE)
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in ignored, ".dockerignore names what the build may see, and nothing else"
    admitted = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
    assert admitted == {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "radretrieval",
        "alembic",
        "migrations",
    }


def test_no_package_index_is_written_down(dockerfile: str) -> None:
    files = [COMPOSE, ROOT / "docker" / "README.md", ROOT / "Makefile", ROOT / "constraints.txt"]
    for text in (dockerfile, *(file.read_text() for file in files)):
        assert not re.search(r"(https?|file)://", text)


def test_settings_of_the_services_exist(services: Document) -> None:
    from radretrieval.config import ServeSettings, Settings

    known = {f"RADRETRIEVAL_{name.upper()}" for name in Settings.model_fields}
    for name in ("migrate", "worker", "worker-gpu", "receive", "cli"):
        assert set(services[name]["environment"]) <= known, name
    served = {f"RADRETRIEVAL_SERVE_{name.upper()}" for name in ServeSettings.model_fields}
    assert set(services["serve"]["environment"]) <= known | served
    assert set(services["worker"]["environment"]) < set(services["serve"]["environment"])


def test_long_running_services_have_healthchecks_and_come_back(services: Document, dockerfile: str) -> None:
    assert 'CMD ["radretrieval", "db", "check"]' in dockerfile
    assert "\nSTOPSIGNAL SIGTERM\n" in dockerfile
    for name in ("db", "worker", "worker-gpu", "receive", "serve"):
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
        assert services[name]["restart"] == "unless-stopped", name
        assert services[name]["stop_grace_period"] == "2m", name


def test_work_starts_on_a_healthy_migrated_database(services: Document) -> None:
    healthy = {"condition": "service_healthy"}
    assert services["migrate"]["depends_on"] == {"db": healthy}
    for name in ("worker", "worker-gpu", "receive", "serve", "cli"):
        migrated = {"condition": "service_completed_successfully"}
        assert services[name]["depends_on"] == {"db": healthy, "migrate": migrated}, name


def test_images_are_read_only_and_data_is_in_volumes(compose: Document, services: Document) -> None:
    assert services["db"]["image"].split("-")[1] == "pg18"
    assert services["db"]["volumes"] == ["database:/var/lib/postgresql"], "the layout since PostgreSQL 18"
    assert {"database", "store", "cache"} == set(compose["volumes"])
    for name in ("worker", "worker-gpu", "receive", "serve", "cli"):
        mounts = [mount for mount in services[name]["volumes"] if isinstance(mount, dict)]
        assert [mount["target"] for mount in mounts] == ["/images"], name
        assert all(mount["read_only"] for mount in mounts), name
        assert "${RADRETRIEVAL_STORE:-store}:/store" in services[name]["volumes"], name
        assert services[name]["environment"]["RADRETRIEVAL_STORE"] == "/store", name


def test_only_the_dicom_node_to_named_peers_and_the_page_are_published(compose: Document, services: Document) -> None:
    assert compose["networks"] == {"archive": {"internal": True}, "hospital": None}
    receive = services["receive"]
    assert receive["profiles"] == ["dicom"]
    assert receive["networks"] == ["archive", "hospital"]
    assert [port.rpartition(":")[2] for port in receive["ports"]] == ["11112"]
    assert f"--peers={receive['configs'][0]['target']}" in receive["command"]
    page = services["serve"]
    assert page["profiles"] == ["page"]
    assert page["networks"] == ["archive", "hospital"]
    assert page["ports"] == ["${RADRETRIEVAL_PAGE_ADDRESS:-127.0.0.1}:${RADRETRIEVAL_PAGE_PORT:-8000}:8000"]
    assert page["environment"]["RADRETRIEVAL_SERVE_USERS_FILE"].removeprefix("/run/secrets/") in page["secrets"]
    for name, service in services.items():
        if name not in ("receive", "serve"):
            assert "ports" not in service, name
            assert service["networks"] == ["archive"], name


def test_only_the_gpu_worker_asks_for_a_gpu(services: Document) -> None:
    assert [name for name, service in services.items() if "deploy" in service] == ["worker-gpu"]
    assert services["worker-gpu"]["profiles"] == ["gpu"]
