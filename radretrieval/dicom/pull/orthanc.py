"""Orthanc's list of changes (its REST API, beside DICOMweb): which studies got instances since the last pull."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from radretrieval.dicom.pull.dicomweb import Web
from radretrieval.dicom.pull.source import Denied, NotListed, legal_uid

PAGE = 1000
SECONDS = 30.0
MOST = 2**25  # bytes of an answer


@dataclass(frozen=True)
class Changes:
    """A part of the list.

    instances : Orthanc's own ids of instances that are new. last : number of the last change that was looked at.
    done : nothing comes after it.
    """

    instances: tuple[str, ...]
    last: int
    done: bool


class Orthanc:
    """The REST API of the Orthanc whose DICOMweb plugin `web` is.

    A deletion leaves no entry, and takes those of its instance away; an instance that was overwritten gets a new one.
    """

    def __init__(self, web: Web, base: str) -> None:
        self._web, self._base = web, base

    def head(self) -> int:
        """The number of the last change so far. Raises NotListed."""
        return self._changes({"last": ""}).last

    def after(self, number: int) -> Changes:
        """What came after a change. Raises NotListed."""
        return self._changes({"since": str(number), "limit": str(PAGE)})

    def studies(self, ids: Sequence[str], pool: Executor) -> list[str]:
        """Study Instance UIDs of instances, each once; what was deleted meanwhile has none. Raises NotListed."""
        found = pool.map(self._study, ids)
        return list(dict.fromkeys(uid for uid in found if uid is not None))

    def _study(self, instance: str) -> str | None:
        study = self._get(f"instances/{quote(instance, safe='')}/study", {}, none=True)
        tags = study.get("MainDicomTags") if study else {}
        return legal_uid(tags.get("StudyInstanceUID")) if isinstance(tags, dict) else None

    def _changes(self, asked: dict[str, str]) -> Changes:
        said = self._get("changes", asked)
        try:
            new = (str(one["ID"]) for one in said["Changes"] if one["ChangeType"] == "NewInstance")
            return Changes(tuple(dict.fromkeys(new)), int(said["Last"]), bool(said["Done"]))
        except (KeyError, TypeError, ValueError):
            raise NotListed(f"{self._base}/changes is not the list of an Orthanc") from None

    def _get(self, path: str, asked: dict[str, str], *, none: bool = False) -> dict[str, Any]:
        """One answer; `none`: an empty one where there is no such thing."""
        answer = self._web.get(f"{self._base}/{path}", asked, "application/json", MOST, SECONDS)
        if none and answer.status == 404:
            return {}
        try:
            said = json.loads(answer.body) if answer.status == 200 else None
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise NotListed(f"{self._base}/{path} answers {answer}")
        return said


def orthanc(web: Web) -> Orthanc | None:
    """The API beside a DICOMweb root, if there is one: `…/dicom-web` has it at `…`."""
    base, _, name = web.origin.rpartition("/")
    if name != "dicom-web":
        return None
    found = Orthanc(web, base)
    try:
        found.head()
    except (NotListed, Denied):
        return None  # another server, or one whose API is not for us
    return found
