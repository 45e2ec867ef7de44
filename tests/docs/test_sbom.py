"""The bills of materials are valid CycloneDX, and have what is pinned and installed; the audit is not clean unasked."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import audit
import pytest
import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from licences import ROOT, dependencies, normal


@pytest.fixture(scope="module")
def of_wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    built = tmp_path_factory.mktemp("wheel") / "radretrieval.whl"
    built.write_bytes(b"wheel")
    return sbom.wheel(built, {f"numpy=={metadata.version('numpy')}": "a" * 64})


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in document["components"] if one["name"] == name]
    return found


def test_both_are_valid(of_wheel: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for document in (of_wheel, sbom.image()):
        assert validator.validate_str(json.dumps(document)) is None
        assert validator.validate_str(json.dumps(document | {"version": "1"})) is not None
        refs = [one["bom-ref"] for one in (document["metadata"]["component"], *document["components"])]
        assert len(set(refs)) == len(refs)
        assert {ref for one in document["dependencies"] for ref in (one["ref"], *one["dependsOn"])} <= set(refs)


def test_that_of_the_wheel_has_what_it_needs_in_the_versions_that_are_pinned(of_wheel: dict[str, Any]) -> None:
    pinned = sbom.pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    told = {one["name"]: one["version"] for one in of_wheel["components"]}
    assert dependencies([{}]) - told.keys() == set()
    assert told == {name: pinned[name] for name in told}
    numpy, fastapi = component(of_wheel, "numpy"), component(of_wheel, "fastapi")
    assert numpy["purl"] == f"pkg:pypi/numpy@{pinned['numpy']}"
    assert numpy["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert (numpy["scope"], fastapi["scope"], component(of_wheel, "starlette")["scope"]) == (
        "required",
        *["optional"] * 2,
    )
    own = of_wheel["metadata"]["component"]
    assert own["licenses"] == [{"expression": "Apache-2.0"}]
    assert len(own["hashes"][0]["content"]) == 64
    needs = {one["ref"]: one["dependsOn"] for one in of_wheel["dependencies"]}
    assert numpy["purl"] in needs[own["bom-ref"]]
    assert component(of_wheel, "starlette")["purl"] in needs[fastapi["purl"]]
    assert all("licenses" in one for one in of_wheel["components"] if _installed(one["name"]))


def _installed(name: str) -> bool:
    return any(normal(one.name) == name for one in metadata.distributions())


def test_that_of_an_image_has_every_installed_package_and_needs_nothing_but_python() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import sbom; sys.argv[1:] = ['--image']; sbom.main()"
    code += "; sys.exit('packaging' in sys.modules)"
    command = [sys.executable, "-c", code, ROOT / "packaging"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = {one["name"]: one for one in json.loads(done.stdout)["components"]}
    assert all(told[normal(one.name)]["version"] for one in metadata.distributions())


def test_debian_packages_are_named_by_their_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n')
    monkeypatch.setattr(sbom, "OS_RELEASE", tmp_path / "os-release")
    listed = [("libstdc++6", "14.2.0-19+b1", "GPL-3+, LGPL-2.1"), ("odd", "1:2~rc1", f"{sbom.UNKNOWN}: no file")]
    monkeypatch.setattr(sbom, "debian", lambda: iter(listed))
    document = sbom.image()
    one = component(document, "libstdc++6")
    assert one["purl"] == "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?distro=debian-13"
    assert one["licenses"] == [{"license": {"name": "GPL-3+"}}, {"license": {"name": "LGPL-2.1"}}]
    assert "licenses" not in component(document, "odd")
    assert component(document, "Debian GNU/Linux")["version"] == "13"


def test_equal_contents_have_equal_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764288000")
    document = sbom.wheel(None, {})
    assert document == sbom.wheel(None, {})
    assert document["metadata"]["timestamp"] == "2025-11-28T00:00:00Z"


def test_the_report_of_pip_has_hashes() -> None:
    info = {"archive_info": {"hashes": {"sha256": "b" * 64}}}
    report = {"install": [{"metadata": {"name": "Py_Dicom", "version": "3"}, "download_info": info}]}
    assert sbom.hashes_of(report) == {"py-dicom==3": "b" * 64}


@pytest.mark.parametrize(
    ("listed", "code", "said"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages, none"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            1,
            "a 1: CVE-1, mended in 2",
        ),
        ([{"name": "a", "skip_reason": "not found"}], 77, "a: not found"),  # as where the service cannot be reached
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}], 77, "1 of 2 packages"),
        ([], 77, "0 of 0"),
    ],
)
def test_a_package_that_was_not_looked_up_is_not_clean(listed: list[dict[str, Any]], code: int, said: str) -> None:
    ended, lines = audit.verdict({"dependencies": listed})
    assert ended == code
    assert said in "\n".join(lines)
