"""Several receiving processes on one port: one that dies is replaced, and none outlives the command."""

from __future__ import annotations

from pathlib import Path

import psutil
from nodes import Receiving, a_file, storescu, until
from programs import needs_program


def members(node: Receiving) -> list[psutil.Process]:
    found = psutil.Process(node.process.pid).children(recursive=True)
    return [process for process in found if "--listen-fd" in process.cmdline()]


def test_a_crew(archive_url: str, tmp_path: Path) -> None:
    needs_program("storescu")
    paths = [tmp_path / f"{number}.dcm" for number in range(8)]
    for number, path in enumerate(paths):
        a_file(path, number)
    with Receiving(tmp_path / "home", archive_url, "--processes", 2, "--workers", 1) as node:
        for path in paths[:4]:
            storescu(node.port, path)
        first = members(node)
        assert len(first) == 2
        first[0].kill()
        node.logged(r"a receiving process ended \(exit status -9\); another one is started")
        until(lambda: len(members(node)) == 2, "no other one was started")
        for path in paths[4:]:
            storescu(node.port, path)
        node.settled()
        assert len(node.rows("SELECT FROM image")) == len(paths)
        left = members(node)
        assert node.stop() == 0, node.lines
        assert not any(process.is_running() for process in left)
    with Receiving(tmp_path / "home", archive_url, "--processes", 2, "--no-intake") as node:
        left = members(node)
        node.kill()
        _, alive = psutil.wait_procs(left, 30)
        assert alive == []
