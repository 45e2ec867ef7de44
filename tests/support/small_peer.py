"""A small DICOM node that answers C-FIND, C-GET and C-MOVE, with the habits of bad ones."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from orthanc import uid_of
from pydicom import DataElement, Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from small_web import CR

from radretrieval.dicom.pull.dimse import STUDY_ROOT

LEVELS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


class Peer:
    """What it has, and how it behaves; may be changed while it runs.

    habits : SOP Instance UID → what it does instead of sending it: aborts, aborts after, fails, sends nothing.
    limit : studies that it lists at most, without a word; refuses : with 0xA700 where there are more.
    odd : keyword → text that it lists, whatever it has and whether that is valid. roles : whether it answers to roles.
    associations : that it accepts at a time. asked : SOP Instance UIDs that it was asked for.
    """

    def __init__(self, *films: bytes) -> None:
        self.films = {uid_of(data): dcmread(io.BytesIO(data)) for data in films}
        self.habits: dict[str, str] = {}
        self.limit: int | None = None
        self.refuses = False
        self.odd: dict[str, str] = {}
        self.roles = True
        self.associations = 10
        self.asked: list[str] = []

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """Answers to C-FIND."""
        keys, found = event.identifier, {}
        for ds in self.films.values():
            if all(self._matches(ds, one) for one in keys):
                found.setdefault(ds[LEVELS[keys.QueryRetrieveLevel]].value, self._row(ds, keys))
        rows = list(found.values())
        if self.limit is not None and len(rows) > self.limit:
            if self.refuses:
                yield 0xA700, None
                return
            rows = rows[: self.limit]
        for row in rows:
            yield 0xFF00, row

    @staticmethod
    def _matches(ds: Dataset, key: DataElement) -> bool:
        wanted = str(key.value or "")
        if not wanted or key.keyword == "QueryRetrieveLevel":
            return True
        have = str(ds.get(key.keyword, ""))
        if key.keyword == "StudyDate" and "-" in wanted:
            first, _, last = wanted.partition("-")
            return first <= have <= (last or "99999999")
        return have == wanted

    def _row(self, ds: Dataset, keys: Dataset) -> Dataset:
        row = Dataset()
        for key in keys:
            if key.keyword in self.odd:  # as text: in implicit VR nobody sees that it is of another kind
                row.add(DataElement(key.tag, "LO", self.odd[key.keyword]))
            else:
                setattr(row, key.keyword, ds.get(key.keyword, ""))
        return row

    def get(self, event: Any) -> Iterator[Any]:
        """Answers to C-GET."""
        uid = str(event.identifier.SOPInstanceUID)
        self.asked.append(uid)
        habit = self.habits.get(uid, "")
        if habit == "aborts":
            event.assoc.abort()
            return
        yield 0 if habit == "sends nothing" else 1
        if habit == "fails":
            yield 0xA702, None
        elif habit != "sends nothing":
            yield 0xFF00, self.films[uid]
        if habit == "aborts after":
            event.assoc.abort()

    def move(self, event: Any) -> Iterator[Any]:
        """Answers to C-MOVE: with success, though it sends nothing."""
        yield "127.0.0.1", event.assoc.requestor.port
        yield 0

    def _accepted(self, event: Any) -> None:
        for context in event.assoc.accepted_contexts:
            context._as_scu = True

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """It answers at this AET@host:port."""
        ae = AE(ae_title="PEER")
        ae.maximum_associations = self.associations
        for service in "123":
            ae.add_supported_context(STUDY_ROOT + service, ImplicitVRLittleEndian)
        roles = {"scu_role": True, "scp_role": True} if self.roles else {}
        ae.add_supported_context(CR, **roles)
        handlers = [(evt.EVT_C_FIND, self.find), (evt.EVT_C_GET, self.get), (evt.EVT_C_MOVE, self.move)]
        handlers += [] if self.roles else [(evt.EVT_ACCEPTED, self._accepted)]
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield f"PEER@127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
