"""Files of images that a DICOMweb server keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from small_web import SmallWeb, serving

from radretrieval.config import Reading
from radretrieval.errors import EnvironmentUnusable, ImageError, NotThere
from radretrieval.storage.wado import authorization, fetch_instance

PATH = "/studies/1.2/series/1.2.1/instances/1.2.3"
READING = Reading(max_pixels=10**6)


@dataclass
class Restarting(SmallWeb):
    """Answers 503 a few times."""

    unavailable: int = 0
    studies: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"1.2": {"1.2.3": b"DICM"}})

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        if self.unavailable:
            self.unavailable -= 1
            return 503, "text/html", b"starting"
        return super().answer(path, query)


def test_a_server_that_restarts_is_asked_again() -> None:
    with serving(Restarting(unavailable=2)) as web:
        assert fetch_instance(web.root + PATH, READING) == b"DICM"


def test_a_server_that_cannot_be_used_fails_the_image_alone() -> None:
    with serving(Restarting(unavailable=3)) as web:
        with pytest.raises(ImageError, match=rf"{web.root} cannot be reached \(it answers 503"):
            fetch_instance(web.root + PATH, READING)
        with pytest.raises(NotThere, match="404"):
            fetch_instance(web.root + PATH + "4", READING)


def test_credentials_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("me:secret\n")
    assert authorization(file) == {"Authorization": "Basic bWU6c2VjcmV0"}
    file.write_text("Bearer abc\n")
    assert authorization(file) == {"Authorization": "Bearer abc"}
    for text in ("secret", "me:secret\nyou:secret"):
        file.write_text(text)
        with pytest.raises(EnvironmentUnusable, match="one line"):
            authorization(file)
    with pytest.raises(EnvironmentUnusable, match="cannot be read"):
        authorization(tmp_path / "absent")
    assert authorization(None) == {}
