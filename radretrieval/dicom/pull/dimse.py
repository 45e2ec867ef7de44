"""A DICOM node as a source of images: listed by C-FIND (PS3.4 C.4.1), retrieved by C-GET (C.4.3) or C-MOVE (C.4.2)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from radretrieval.dicom.address import Address
from radretrieval.dicom.association import DIMSE_SECONDS, NodeBusy, associate
from radretrieval.dicom.pull.identifiers import identifier, row_value, texts
from radretrieval.dicom.pull.source import (
    Instance,
    NotListed,
    Refused,
    Study,
    date_range,
    no_uid,
    parse_date,
    valid_uid,
)
from radretrieval.dicom.sop_classes import storage_classes
from radretrieval.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT, LOSSLESS, TRANSFER_SYNTAXES
from radretrieval.errors import EnvironmentUnusable, NotFetched, NotThere, RadretrievalError
from radretrieval.files.uris import store_uri

T = TypeVar("T")

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2."  # + 1 FIND, 2 MOVE, 3 GET (PS3.4, C.6.2)
FIND, MOVE, GET = "1", "2", "3"
PENDING = (0xFF00, 0xFF01)  # PS3.4, C.4.1.1.4
OUT_OF_RESOURCES, UNABLE_TO_PROCESS = 0xA700, 0xC000  # with those that begin as they do
UNKNOWN_DESTINATION = 0xA801  # PS3.4, C.4.2.1.5
NOTHING_SENT = "success without a file"
BUSY_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # while the node accepts no further association
RETRY_SECONDS = (0.3, 1.0)  # before the second and third request of what ended the association
MOST_CONTEXTS = 127  # of an association, beside the one of the service (PS3.8, 9.3.2.2)
RECENT_CONTEXTS = 4


class AssociationEnded(EnvironmentUnusable):
    """The node ended the association, or was silent for too long, before it had answered."""

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"{origin} ended the association, or took too long to answer; check its log, then run this again: it goes "
            "on where it was"
        )


class DimseSource:
    """A node that answers C-FIND, and C-GET or C-MOVE, as a `PullSource`.

    Parameters
    ----------
    own_title : the calling AE title.
    move_to : AE title of our own `receive`, the destination of C-MOVE; None retrieves by C-GET.
    every_class : propose all storage classes for instances that the node lists without their class.
    """

    window_days, pages = 7, False

    def __init__(self, node: Address, own_title: str, move_to: str | None = None, *, every_class: bool = False) -> None:
        # an IPv6 address without brackets: the origin of images, and the key of the marks, of earlier pulls
        self.origin = f"{node.title}@{node.host}:{node.port}"
        self.moves = move_to is not None
        self._node, self._own_title, self._move_to = node, own_title, move_to
        self._classes = storage_classes(every_class)
        self._lock = threading.Lock()
        self._idle: dict[str, list[Any]] = {FIND: [], MOVE: []}  # associations for the next requests
        self._busy = False  # the node accepts few associations: none is kept
        self._recent: list[tuple[str, str]] = []  # SOP class and transfer syntax of the last files

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """See `PullSource`."""
        keys = {"StudyInstanceUID": "", "StudyDate": "", "ModalitiesInStudy": "", "NumberOfStudyRelatedInstances": ""}
        if (days := date_range(first, last)) is not None:
            keys["StudyDate"] = days
        seen = set()
        for row in self._find("STUDY", {**keys, **filters}):
            uid = valid_uid(row_value(row, "StudyInstanceUID")) or ""
            if uid not in seen:
                seen.add(uid)
                count = str(row_value(row, "NumberOfStudyRelatedInstances") or "")
                modalities = texts(row_value(row, "ModalitiesInStudy"))
                day = parse_date(row_value(row, "StudyDate"))
                yield Study(uid, day, modalities, int(count) if count.isdecimal() else None)

    def instances(self, study: Study) -> list[Instance]:
        """See `PullSource`."""
        if not study.uid:
            raise no_uid(self.origin, "studies")
        return self._again(NotListed, lambda: self._instances(study))

    def _instances(self, study: Study) -> list[Instance]:
        found: dict[str, Instance] = {}
        for one in self._find("SERIES", {"StudyInstanceUID": study.uid, "SeriesInstanceUID": "", "Modality": ""}):
            series = valid_uid(row_value(one, "SeriesInstanceUID"))
            if series is None:
                raise no_uid(self.origin, f"series of the study {study.uid}")
            modality = str(row_value(one, "Modality") or "") or None
            keys = {"StudyInstanceUID": study.uid, "SeriesInstanceUID": series, "SOPInstanceUID": "", "SOPClassUID": ""}
            for row in self._find("IMAGE", keys):
                uid = valid_uid(row_value(row, "SOPInstanceUID")) or ""
                # a node that ignores the key lists those of other series too
                own = valid_uid(row_value(row, "SeriesInstanceUID")) in (None, series)
                if own or uid not in found:
                    found[uid] = Instance(study.uid, series, uid, valid_uid(row_value(row, "SOPClassUID")), modality)
        return list(found.values())

    def find(self, uid: str, study: str | None) -> Instance | None:
        """See `PullSource`. The query is hierarchical: an instance is looked for in its study."""
        if study is None:
            raise NotListed(f"{self.origin} can be queried for an instance only with its study")
        return next((one for one in self.instances(Study(study)) if one.uid == uid), None)

    def retrieve(self, instance: Instance) -> bytes | None:
        """See `PullSource`: by C-MOVE to `move_to`, else by C-GET."""
        move_to = self._move_to
        if move_to is not None:
            return self._again(NotFetched, lambda: self._move(instance, move_to))
        return self._again(NotFetched, lambda: self._retrieve(instance))

    def _again(self, kind: type[RadretrievalError], request: Callable[[], T]) -> T:
        """Make a request, again where it ends its association, then raise an error of this kind.

        Raises EnvironmentUnusable where the node accepts no association any more.
        """
        for pause in (*RETRY_SECONDS, None):
            started = time.monotonic()
            try:
                return request()
            except AssociationEnded as error:
                self._associate(FIND).release()
                if pause is None or time.monotonic() - started >= DIMSE_SECONDS:  # it was silent for so long
                    raise kind(
                        f"{self.origin} ended the association, or took too long to answer, though it accepts others; "
                        "the next pull tries it again"
                    ) from error
                time.sleep(pause)
        raise AssertionError

    def _retrieve(self, instance: Instance) -> bytes:
        """Retrieve an instance by C-GET."""
        outcome = "it accepts no presentation context to send it in"
        for classes, syntaxes in self._proposals(instance):
            data, answer = self._get(instance, classes, syntaxes)
            if data is not None:
                return data
            outcome = answer or outcome
        if outcome == NOTHING_SENT:
            raise NotThere("the node lists it, and sends nothing when it is retrieved")
        raise NotFetched(
            f"the node does not send it by C-GET ({outcome}); where it cannot, use C-MOVE: --move-to AE_TITLE of a "
            "radretrieval receive that it knows"
        )

    def location(self, instance: Instance) -> str:
        """See `PullSource`."""
        return f"{self.origin}/{instance.study}/{instance.series}/{instance.uid}"

    def image_uri(self, instance: Instance, sha256: bytes) -> str:
        """See `PullSource`: in the archive's own store, which keeps the file."""
        return store_uri(sha256)

    def close(self) -> None:
        """See `PullSource`: those that are not in use."""
        with self._lock:
            idle = [association for service in (FIND, MOVE) for association in self._idle[service]]
            self._idle = {FIND: [], MOVE: []}
        for association in idle:
            if association.is_established:
                association.release()

    def _proposals(self, instance: Instance) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """SOP classes and transfer syntaxes to propose, one association after the other, until the file comes.

        Each syntax stands in a presentation context of its own, so that a node can choose the one in which the file is
        stored. Some (DCMTK's) use the first context of a class all the same, and fail where the file has another
        syntax: to them each syntax is proposed alone.
        """
        classes = [instance.sop_class] if instance.sop_class else list(self._classes)
        for recent in list(self._recent):
            if recent[0] in classes:
                yield recent[:1], recent[1:]
        for group in _groups(classes, MOST_CONTEXTS // len(TRANSFER_SYNTAXES)):
            yield group, TRANSFER_SYNTAXES
        for group in _groups(classes, MOST_CONTEXTS):
            for syntax in TRANSFER_SYNTAXES:
                yield group, (syntax,)

    def _get(
        self, instance: Instance, classes: Sequence[str], syntaxes: Sequence[str]
    ) -> tuple[bytes | None, str | None]:
        """Retrieve one instance by C-GET: its file if it came, and the outcome; None, None: no context was accepted."""
        from pynetdicom import build_context, build_role, evt

        received: list[bytes] = []

        def store(event: Any) -> int:
            if event.request.AffectedSOPInstanceUID == instance.uid:
                received.append(event.encoded_dataset())
                self._remember(str(event.context.abstract_syntax), str(event.context.transfer_syntax))
            return 0x0000

        contexts = [build_context(one, [syntax]) for one in classes for syntax in syntaxes]
        roles = [build_role(one, scp_role=True) for one in classes]
        association = self._associate(GET, contexts, roles, [(evt.EVT_C_STORE, store)])
        try:
            if not any(context.abstract_syntax in classes for context in association.accepted_contexts):
                return None, None
            for context in association.accepted_contexts:
                context._as_scp = True  # some nodes send the file without having answered to the role
            statuses = [status for status, _ in self._responses(association, GET, "IMAGE", _unique_keys(instance))]
        except AssociationEnded:
            if not received:  # else the file came before
                raise
            statuses = []
        finally:
            association.release()
        status = statuses[-1] if statuses else 0x0000
        return (received[0] if received else None), f"status 0x{status:04X}" if status else NOTHING_SENT

    def _remember(self, sop_class: str, syntax: str) -> None:
        """Have a context proposed first from now on; none that is lossy: a node would compress other files into it."""
        if syntax in LOSSLESS:
            context = (sop_class, syntax)
            self._recent = [context, *(one for one in self._recent if one != context)][:RECENT_CONTEXTS]

    def _move(self, instance: Instance, to: str) -> None:
        """Have one instance sent to our own `receive`, which answers after it has stored and committed it."""
        with self._used(MOVE) as association:
            statuses = [status for status, _ in self._responses(association, MOVE, "IMAGE", _unique_keys(instance), to)]
        status = statuses[-1] if statuses else 0x0000
        if status == UNKNOWN_DESTINATION:
            raise EnvironmentUnusable(
                f"{self.origin} does not know the AE title {to}; configure it there, with the host and port of "
                "radretrieval receive"
            )
        if status != 0x0000:
            raise NotFetched(f"the node could not send it to {to} (status 0x{status:04X}); check that receive runs")

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Any]:
        """The data sets of one C-FIND, after its last response; an empty one for each that cannot be read.

        Raises NotListed for a status of failure.
        """
        from pydicom.dataset import Dataset

        rows = []
        with self._used(FIND) as association:
            responses = list(self._responses(association, FIND, level, keys))
        for status, row in responses:
            if status in PENDING:
                rows.append(Dataset() if row is None else row)
            elif status & 0xFF00 == OUT_OF_RESOURCES or status & 0xF000 == UNABLE_TO_PROCESS:
                raise Refused(f"{self.origin} answers a C-FIND of level {level} with the status 0x{status:04X}")
            elif status not in (0x0000, *PENDING):
                raise NotListed(f"{self.origin} answers a C-FIND of level {level} with the status 0x{status:04X}")
        return rows

    def _responses(
        self, association: Any, service: str, level: str, keys: Mapping[str, str], *more: str
    ) -> Iterator[tuple[int, Any]]:
        """Statuses and data sets of one request; raises EnvironmentUnusable where the association ends."""
        send = {FIND: association.send_c_find, MOVE: association.send_c_move, GET: association.send_c_get}[service]
        try:
            responses = send(identifier(level, keys), *more, STUDY_ROOT + service)
        except RuntimeError as error:  # it has ended meanwhile
            raise AssociationEnded(self.origin) from error
        for status, row in responses:
            if status is None or "Status" not in status:
                raise AssociationEnded(self.origin)
            yield int(status.Status), row

    @contextlib.contextmanager
    def _used(self, service: str) -> Iterator[Any]:
        """An association for a service, which is kept for the next request unless the node accepts few."""
        with self._lock:
            association = self._idle[service].pop() if self._idle[service] else None
        if association is None or not association.is_established:
            association = self._associate(service)
        try:
            yield association
        finally:
            if self._busy and association.is_established:
                association.release()
            else:
                with self._lock:
                    self._idle[service].append(association)

    def _associate(
        self, service: str, contexts: Sequence[Any] = (), roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Any:
        """A new association for a service, and for the files that it sends."""
        from pynetdicom import build_context

        uid = STUDY_ROOT + service
        proposed = [build_context(uid, [EXPLICIT, IMPLICIT]), *contexts]
        for pause in (*BUSY_SECONDS, None):
            try:
                association = associate(self._node, self._own_title, proposed, roles, handlers)
                break
            except NodeBusy as error:
                if pause is None:
                    raise NodeBusy(f"{error}; or pull with --workers 1") from error
                self._busy = True
                self.close()  # those that are idle: one of them may be all that the node accepts
                time.sleep(pause)
        if uid not in [context.abstract_syntax for context in association.accepted_contexts]:
            association.release()
            name = {FIND: "C-FIND", MOVE: "C-MOVE", GET: "C-GET"}[service]
            advice = "; use C-MOVE instead: --move-to AE_TITLE of a radretrieval receive" if service == GET else ""
            raise EnvironmentUnusable(f"{self.origin} does not offer {name} of the study root{advice}")
        return association


def _unique_keys(instance: Instance) -> dict[str, str]:
    return {
        "StudyInstanceUID": instance.study,
        "SeriesInstanceUID": instance.series,
        "SOPInstanceUID": instance.uid,
    }


def _groups(classes: Sequence[str], size: int) -> list[Sequence[str]]:
    return [classes[start : start + size] for start in range(0, len(classes), size)]
