"""Orthanc's list of changes (its REST API, beside DICOMweb): which studies got instances since the last pull."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.source import NotListed, valid_uid
from radretrieval.storage.wado import CredentialsRejected

PAGE = 1000
LONGEST_RESPONSE = 2**25  # bytes


@dataclass(frozen=True)
class Changes:
    """A part of the list.

    instances : Orthanc's own ids of new instances. last : number of the last change of this part.
    done : no change follows it.
    """

    instances: tuple[str, ...]
    last: int
    done: bool


class OrthancApi:
    """The REST API, at the URL `base`, of the Orthanc whose DICOMweb plugin `source` is.

    A deletion leaves no entry, and takes those of its instance away; an instance that was overwritten gets a new one.
    """

    def __init__(self, source: DicomWebSource, base: str) -> None:
        self._source, self._base = source, base

    def last_change(self) -> int:
        """The number of the last change so far. Raises NotListed."""
        return self._changes({"last": ""}).last

    def changes_after(self, number: int) -> Changes:
        """The changes that follow one. Raises NotListed."""
        return self._changes({"since": str(number), "limit": str(PAGE)})

    def studies(self, ids: Sequence[str], pool: Executor) -> dict[str, set[str]]:
        """Study Instance UIDs of instances, with their SOP Instance UIDs; deleted ones have none. Raises NotListed."""
        found: dict[str, set[str]] = {}
        for study, uid in pool.map(self._uids, ids):
            if study is not None:
                found.setdefault(study, set()).update(filter(None, [uid]))
        return found

    def _uids(self, instance: str) -> tuple[str | None, str | None]:
        """UIDs of the study and of the instance of one of Orthanc's own ids."""
        path = f"instances/{quote(instance, safe='')}"
        return self._tag(f"{path}/study", "StudyInstanceUID"), self._tag(path, "SOPInstanceUID")

    def _tag(self, path: str, name: str) -> str | None:
        document = self._get(path, {}, may_be_missing=True)
        tags = document.get("MainDicomTags") if document else {}
        return valid_uid(tags.get(name)) if isinstance(tags, dict) else None

    def _changes(self, parameters: dict[str, str]) -> Changes:
        document = self._get("changes", parameters)
        try:
            new = (str(one["ID"]) for one in document["Changes"] if one["ChangeType"] == "NewInstance")
            return Changes(tuple(dict.fromkeys(new)), int(document["Last"]), bool(document["Done"]))
        except (KeyError, TypeError, ValueError):
            raise NotListed(f"{self._base}/changes is not the list of an Orthanc") from None

    def _get(self, path: str, parameters: dict[str, str], *, may_be_missing: bool = False) -> dict[str, Any]:
        """One JSON object; with `may_be_missing` an empty one after a 404."""
        response = self._source.query(f"{self._base}/{path}", parameters, "application/json", LONGEST_RESPONSE)
        if may_be_missing and response.status == 404:
            return {}
        try:
            document = json.loads(response.body) if response.status == 200 else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise NotListed(f"{self._base}/{path} answers {response}")
        return document


def orthanc_api(source: DicomWebSource) -> OrthancApi | None:
    """The REST API beside a DICOMweb root, if there is one: `…/dicom-web` has it at `…`."""
    base, _, name = source.origin.rpartition("/")
    if name != "dicom-web":
        return None
    found = OrthancApi(source, base)
    try:
        found.last_change()
    except (NotListed, CredentialsRejected):
        return None  # another server, or one whose API these credentials do not open
    return found
