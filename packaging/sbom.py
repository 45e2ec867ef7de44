"""A software bill of materials: CycloneDX 1.6 as JSON, on stdout.

python packaging/sbom.py [WHEEL]         of the wheel: what it installs with all its extras, in the versions of
                                         constraints.txt; with a built wheel its SHA-256 too
python packaging/sbom.py --report FILE   with the SHA-256 of each package that `pip install --report FILE` names
python packaging/sbom.py --image         of what is installed here, Python and Debian packages; to be run inside a
                                         container of the image, where it needs nothing but Python

Names, licences and what needs what are those of licences.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from licences import DEVELOPMENT, PLATFORMS, ROOT, UNKNOWN, debian, dependencies, licence, normal, requires

CONSTRAINTS = ROOT / "constraints.txt"
OS_RELEASE = Path("/etc/os-release")
_NAME = re.compile(r"[A-Za-z0-9._-]+")

Component = dict[str, Any]


def pins(text: str) -> dict[str, str]:
    """The version of each package in the lines `name==version` of a file of constraints."""
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)}


def hashes_of(report: dict[str, Any]) -> dict[str, str]:
    """SHA-256 by package and version, of a report that pip has written."""
    found = {}
    for one in report.get("install", ()):
        told = one.get("download_info", {}).get("archive_info", {}).get("hashes", {}).get("sha256")
        if told:
            found[f"{normal(one['metadata']['name'])}=={one['metadata']['version']}"] = told
    return found


def python_component(name: str, version: str, sha256: str | None = None) -> Component:
    """A package of Python; its licence as it states it, where it is installed here."""
    purl = f"pkg:pypi/{name}@{quote(version, safe='')}"
    component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # of another platform
        distribution = None
    if distribution is not None and (expression := distribution.metadata.get("License-Expression")):
        component["licenses"] = [{"expression": expression}]
    elif distribution is not None and (told := licence(distribution)) != UNKNOWN:
        component["licenses"] = [{"license": {"name": told}}]
    if sha256 is not None:
        component["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return component


def graph(names: Iterable[str], refs: dict[str, str]) -> list[dict[str, Any]]:
    """What each of these packages needs of those in `refs`, without its extras."""
    return [{"ref": refs[name], "dependsOn": needed(requires(name), refs)} for name in names]


def needed(requirements: Iterable[str], refs: dict[str, str]) -> list[str]:
    """References of what requirements name, where it is there."""
    plain = [text for text in requirements if "extra ==" not in text.replace("extra==", "extra ==")]
    names = {normal(found[0]) for text in plain if (found := _NAME.match(text))}
    return sorted(refs[name] for name in names if name in refs)


def wheel(built: Path | None, hashes: dict[str, str]) -> dict[str, Any]:
    """The document of the wheel.

    Parameters
    ----------
    built : the wheel. hashes : as `hashes_of` gives them.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions, names = pins(CONSTRAINTS.read_text(encoding="utf-8")), sorted(dependencies([{}, *PLATFORMS]))
    own = python_component(project["name"], project["version"])
    own |= {"type": "application", "description": project["description"]}
    own["licenses"] = [{"expression": project["license"]}]
    if built is not None:
        own["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(built.read_bytes()).hexdigest()}]
    components = [
        python_component(name, versions[name], hashes.get(f"{name}=={versions[name]}"))
        for name in names
        if name in versions
    ]
    refs = {one["name"]: one["bom-ref"] for one in components}
    extras = project.get("optional-dependencies", {})
    optional = [text for name in sorted(extras.keys() - DEVELOPMENT) for text in extras[name]]
    always = reached(project["dependencies"])
    for one in components:
        one["scope"] = "required" if one["name"] in always else "optional"
    root = {"ref": own["bom-ref"], "dependsOn": needed([*project["dependencies"], *optional], refs)}
    return document(own, components, [root, *graph(refs, refs)])


def reached(requirements: Iterable[str]) -> set[str]:
    """Names of what requirements need, directly or not, without extras."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        text = waiting.pop()
        name = normal(_NAME.match(text)[0])  # type: ignore[index]
        if name not in found and "extra ==" not in text:
            found.add(name)
            waiting.extend(requires(name))
    return found


def image() -> dict[str, Any]:
    """The document of what is installed here."""
    found = {normal(one.name): one.version for one in metadata.distributions()}
    components = [python_component(name, version) for name, version in sorted(found.items())]
    refs = {one["name"]: one["bom-ref"] for one in components}
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', _text(OS_RELEASE), re.MULTILINE))
    distro = f"{system.get('ID', 'linux')}-{system.get('VERSION_ID', '')}".rstrip("-")
    for name, version, told in debian():
        purl = f"pkg:deb/{system.get('ID', 'debian')}/{quote(name, safe='')}@{quote(version, safe='')}?distro={distro}"
        one: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        if not told.startswith(UNKNOWN):
            one["licenses"] = [{"license": {"name": text}} for text in told.split(", ")]
        components.append(one)
    told = {"type": "operating-system", "bom-ref": distro, "name": system.get("NAME", "Linux")}
    components.append(told | ({"version": system["VERSION_ID"]} if "VERSION_ID" in system else {}))
    version = found.get("radretrieval", "0")
    own = {"type": "container", "bom-ref": f"radretrieval-image@{version}", "name": "radretrieval", "version": version}
    root = {"ref": own["bom-ref"], "dependsOn": sorted({one["bom-ref"] for one in components})}
    return document(own, components, [root, *graph(refs, refs)])


def document(own: Component, components: list[Component], graph: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole document; its serial number is of its content, its time is SOURCE_DATE_EPOCH where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    made = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    content = json.dumps([own, components, graph], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, content).urn,
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "packaging/sbom.py of radretrieval"}]},
            "component": own,
        },
        "components": components,
        "dependencies": graph,
    }


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def main() -> None:
    """Print the document that the arguments ask for."""
    parser = argparse.ArgumentParser(description="A software bill of materials (CycloneDX 1.6, JSON).")
    parser.add_argument("wheel", nargs="?", type=Path, help="a built wheel, whose SHA-256 it names")
    parser.add_argument("--report", type=Path, help="what `pip install --report FILE` has written")
    parser.add_argument("--image", action="store_true", help="of what is installed here")
    given = parser.parse_args()
    hashes = hashes_of(json.loads(given.report.read_bytes())) if given.report else {}
    json.dump(image() if given.image else wheel(given.wheel, hashes), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
