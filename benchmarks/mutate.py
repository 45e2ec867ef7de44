"""Do the tests see it? Edits of the modules that hurt most when they are wrong, one at a time, and the tests that must
fail with each.

Every edit is made in a copy of the tracked files, and the tests named beside it run there. An edit that the tests
survive, or whose text is not in the module any more, fails the run.

    python benchmarks/mutate.py             # all
    python benchmarks/mutate.py rerank      # those whose path or description contains the word
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _mutate_edits import EDITS

ROOT = Path(__file__).parents[1]
LONGEST = 600  # seconds for the tests of one edit


def copy_of_tree(folder: Path) -> Path:
    """The tracked files as they are now, with ../shared beside them where it is here."""
    tree = folder / "tree"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
    return tree


def passes(tree: Path, tests: str) -> tuple[bool, str]:
    """Whether these tests pass in the copy, and pytest's last line."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, timeout=LONGEST)
    lines = ran.stdout.strip().splitlines() or ran.stderr.strip().splitlines() or [""]
    if ran.returncode not in (0, 1):
        sys.exit(f"pytest {tests} ended with {ran.returncode}: {lines[-1]}")
    return ran.returncode == 0, lines[-1].strip("= ")


def note_objects(tree: Path) -> None:
    """Put the digest of archive/sql into revision.py: an edit of a function must be seen by what the function does."""
    code = "from radretrieval.archive.schema import objects; print(objects.digest())"
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, text=True)
    path = tree / "radretrieval" / "archive" / "schema" / "revision.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'OBJECTS = "\w+"', f'OBJECTS = "{ran.stdout.strip()}"', text), encoding="utf-8")


def main() -> None:
    chosen = [edit for edit in EDITS if all(word in f"{edit.module} {edit.what}" for word in sys.argv[1:])]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="rr-mutate-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root the embedded server runs as another user
        tree = copy_of_tree(folder)
        for tests in sorted({edit.tests for edit in chosen}):
            sound, line = passes(tree, tests)
            if not sound:
                sys.exit(f"the tests {tests} fail without an edit: {line}")
        for edit in chosen:
            path = tree / "radretrieval" / edit.module
            text = path.read_text(encoding="utf-8")
            if text.count(edit.right) != 1:
                sys.exit(f"{edit.module} has {text.count(edit.right)} times, and not once: {edit.right}")
            path.write_text(text.replace(edit.right, edit.wrong), encoding="utf-8")
            note_objects(tree)
            alive, line = passes(tree, edit.tests)
            path.write_text(text, encoding="utf-8")
            note_objects(tree)
            survived += alive
            print(f"{'SURVIVED' if alive else 'seen':9}{edit.what} ({edit.module}): {line}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} edits are seen")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
