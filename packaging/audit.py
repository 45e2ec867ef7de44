"""Whether a known vulnerability is in what constraints.txt pins: pip-audit, which asks PyPI or OSV.

python packaging/audit.py [--service osv]   ends with 0: none; 1: those that it prints; 77: not every package could be
                                            looked up, which pip-audit itself ends with 0
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
VULNERABLE, NOT_RUN = 1, 77


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit code and the lines to print, of pip-audit's JSON."""
    found = [
        f"{one['name']} {one['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or '-'}"
        for one in report["dependencies"]
        for known in one.get("vulns", ())
    ]
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in report["dependencies"] if "skip_reason" in one]
    if found:
        return VULNERABLE, found + skipped
    if skipped or not report["dependencies"]:
        return NOT_RUN, [*skipped, f"{len(skipped)} of {len(report['dependencies'])} packages could not be looked up"]
    return 0, [f"{len(report['dependencies'])} packages, none with a known vulnerability"]


def main() -> None:
    """Run pip-audit on the pins."""
    parser = argparse.ArgumentParser(description="Known vulnerabilities of the versions in constraints.txt.")
    parser.add_argument("--service", default="pypi", choices=("pypi", "osv"), help="who is asked")
    service = parser.parse_args().service
    options = ["--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip", "--format", "json"]
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        *options,
        "--vulnerability-service",
        service,
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        code, lines = verdict(json.loads(done.stdout))
    except ValueError:
        code, lines = NOT_RUN, [done.stderr.strip().rpartition("\n")[2] or "pip-audit told nothing"]
    print("\n".join(lines))
    sys.exit(code)


if __name__ == "__main__":
    main()
