"""The licences of what is installed with radretrieval, as their packages state them.

python packaging/licences.py             prints the table of the wheel's dependencies
python packaging/licences.py --write     puts it into docs/licences.md
python packaging/licences.py --image     prints every Python and Debian package that is installed here, with versions;
                                         to be run inside a container of the image

A package that states no licence is shown as **unknown**, and ends the command with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from generated import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
UNKNOWN = "**unknown**"
# Extras that no running radretrieval needs.
DEVELOPMENT = {"test", "docs"}
# What the CUDA build of torch brings: not there with the CPU build, so not in the table.
CUDA = re.compile(r"(nvidia|cuda)-|triton$")
# What dependencies may ask for elsewhere than here.
PLATFORMS = [
    {"python_version": version, "python_full_version": f"{version}.0", "platform_machine": machine, **system}
    for version in ("3.11", "3.12", "3.13", "3.14")
    for machine in ("x86_64", "aarch64", "arm64")
    for system in (
        {"sys_platform": "linux", "platform_system": "Linux"},
        {"sys_platform": "darwin", "platform_system": "Darwin"},
    )
]
# Names of licences that are no SPDX expression.
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache Software License 2.0": "Apache-2.0",
    "BSD": "BSD",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# A declared licence of Debian's machine-readable copyright files, and a common text that others refer to.
DECLARED = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
COMMON = re.compile(r"/usr/share/common-licenses/([\w.+-]*\w)")


def normal(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies(platforms: Sequence[dict[str, str]]) -> set[str]:
    """Names of the packages that radretrieval with all its extras needs on any of some platforms.

    Parameters
    ----------
    platforms : values of environment markers that differ from those of this Python; `[{}]` is this platform.
    """
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project.get("optional-dependencies", {})
    wanted = [*project["dependencies"], *(one for name in optional.keys() - DEVELOPMENT for one in optional[name])]
    waiting = [(Requirement(text), "") for text in wanted]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({**platform, "extra": extra}) for platform in platforms):
            continue
        for part in ("", *requirement.extras):
            node = (normal(requirement.name), part)
            if node not in seen and not CUDA.match(node[0]) and node[0] != project["name"]:
                seen.add(node)
                waiting.extend((Requirement(text), part) for text in requires(node[0]))
    return {name for name, _ in seen}


def requires(name: str) -> list[str]:
    """What a package needs; nothing is known of one that is not installed."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def licence(distribution: metadata.Distribution) -> str:
    """The licence that a package states: its expression, short name, classifiers, or the name of its text."""
    about = distribution.metadata
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    named = (about.get("License") or "").strip()
    if named and len(named) < 40 and "\n" not in named and named.upper() not in ("UNKNOWN", "LICENSE"):
        return SPDX.get(named, named)
    classifiers = [one.split(" :: ")[-1] for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    if not classifiers:  # the first line of its licence, where that is a licence's name
        texts = [file.read_text() for file in distribution.files or [] if file.name.startswith("LICENSE")]
        classifiers = [name for text in texts if (name := text.partition("\n")[0].strip()) in SPDX]
    return " AND ".join(SPDX.get(one, one) for one in classifiers) or UNKNOWN


def wheel() -> str:
    """The table of the wheel's dependencies, and which of them are copyleft; the versions are in constraints.txt."""
    rows = ["| package | licence |", "| --- | --- |"]
    for name in sorted(dependencies([{}, *PLATFORMS])):
        try:
            rows.append(f"| {name} | {licence(metadata.distribution(name))} |")
        except metadata.PackageNotFoundError:
            continue  # of another platform, and not installed here
    weak = [row.replace(" | ", " (").strip("| ") + ")" for row in rows if re.search("GPL|MPL|EPL|CDDL", row)]
    return "\n".join([*rows, "", f"Copyleft: {', '.join(weak)}."])


def image() -> str:
    """The tables of every Python and every Debian package that is installed here."""
    rows = ["| Python package | version | licence |", "| --- | --- | --- |"]
    found = {normal(one.name): one for one in metadata.distributions()}
    rows += [f"| {name} | {one.version} | {licence(one)} |" for name, one in sorted(found.items())]
    rows += ["", "| Debian package | version | licence |", "| --- | --- | --- |"]
    rows += [f"| {name} | {version} | {told} |" for name, version, told in debian()]
    return "\n".join(rows)


def debian() -> Iterator[tuple[str, str, str]]:
    """Name, version and licences of each installed Debian package; none where this is no Debian."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return
    for line in sorted(set(listed.splitlines())):
        status, name, version = line.split()
        if status == "installed":
            yield name, version, debian_licence(Path("/usr/share/doc") / name / "copyright")


def debian_licence(file: Path) -> str:
    """The licences that a Debian copyright file declares, or the common ones that it refers to."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{UNKNOWN}: no {file}"
    names = set(DECLARED.findall(text)) if "Format:" in text[:500] else set()
    names = names or set(COMMON.findall(text))
    return ", ".join(sorted(" ".join(name.split()) for name in names)) or f"{UNKNOWN}: read {file}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--image"]:
        told = image()
        print(told)
    else:
        told = wheel()
        main(PAGE, told)
    sys.exit(1 if UNKNOWN in told else 0)
