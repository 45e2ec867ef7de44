"""Images into an archive: from files, watched folders, DICOM senders and PACS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.api.base import ArchiveBase, Progress, StrPath, counted, make_settings, optional_path, path_list
from radretrieval.api.noting import figures
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    from radretrieval.config import Settings
    from radretrieval.dicom.pull.query import PullQuery
    from radretrieval.dicom.pull.report import PullReport
    from radretrieval.dicom.pull.source import PullSource
    from radretrieval.dicom.scp.server import ScpConfig
    from radretrieval.ingest.labels_csv import Labels
    from radretrieval.ingest.report import InboxReport, IngestReport


class ArchiveInput(ArchiveBase):
    """The part of `Archive` by which images come in."""

    def ingest(
        self,
        paths: StrPath | Iterable[StrPath] = (),
        *,
        labels: StrPath | None = None,
        split: str | None = None,
        keep: str | None = None,
        frames: str | None = None,
        issuer: str | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
        on_release: Callable[[str], None] | None = None,
    ) -> IngestReport:
        """Bring radiographs into the archive; every file ends as added, unchanged, updated or failed.

        Parameters
        ----------
        paths : files and folders (with all that is below them); none for the files that `labels` names.
        labels : CSV with a column `file` and `irma_code`, `split`, …. Without it the ImageCLEF 2009 release is
            recognised by its folders and labelled by its own CSVs.
        split : of files whose labels name none.
        keep, frames, issuer : for this call, instead of the settings of these names.
        workers : decoding processes; None for one a core.
        on_release : called with a description of the release that was recognised, before its images are read.

        Raises
        ------
        InputMissing : a path does not exist. LabelsError : the labels do not have the form that is needed.
        DatabaseUnavailable : the database went away; what was committed stays, the next call goes on from there.
        """
        from radretrieval.files.walk import FoundPaths, walk
        from radretrieval.ingest.run import ingest

        given = _labels(labels)
        found: Sequence[Path] = path_list(paths)
        if not found and given is not None:
            found = FoundPaths(Path(file) for file in sorted(given.rows) if Path(file).exists())
        settings = make_settings(self.settings, keep=keep, frames=frames, issuer=issuer)
        database = self._database
        advance = counted(progress, sum(1 for _ in walk(found)) if progress else None)
        with self._noted("ingest", labels=given is not None) as noted:
            report = ingest(
                database, settings, found, labels=given, split=split, workers=workers, advance=advance, tell=on_release
            )
            noted |= figures(report)
        return report

    def ingest_failed(self, workers: int | None = None) -> IngestReport:
        """Read again what was received or pulled and failed; the report is of these files.

        Of files of folders, `ingest` of the folder does it.

        Parameters
        ----------
        workers : decoding processes; None for one a core.

        Raises
        ------
        DatabaseUnavailable, EnvironmentUnusable. WrongPatientKey : the key of the pseudonyms is not the archive's.
        """
        from radretrieval.ingest.failed import ingest_failed

        with self._noted("ingest", failed=True) as noted:
            report = ingest_failed(self._database, self.settings, workers)
            noted |= figures(report)
        return report

    def watch(
        self,
        folders: StrPath | Iterable[StrPath],
        *,
        settle: float = 5.0,
        move_to: StrPath | None = None,
        labels: StrPath | None = None,
        split: str | None = None,
        keep: str | None = None,
        frames: str | None = None,
        issuer: str | None = None,
        workers: int | None = None,
        stop: threading.Event | None = None,
        on_round: Callable[[IngestReport], None] | None = None,
    ) -> IngestReport:
        """Ingest what comes into folders, until `stop` is set or KeyboardInterrupt.

        Parameters
        ----------
        settle : seconds for which a file must not have changed.
        move_to : folder to which files are moved once they are in the archive.
        labels, split, keep, frames, issuer, workers : as in `ingest`.
        on_round : called with the report of each round that found files.

        Returns
        -------
        The sum of the rounds.

        Raises
        ------
        SchemaOutdated : another version has upgraded the archive meanwhile.
        """
        from radretrieval.ingest.watch_folder import WatchOptions, watch
        from radretrieval.jobs.heartbeat import Heartbeat

        settings = make_settings(self.settings, keep=keep, frames=frames, issuer=issuer)
        options = WatchOptions(settle, None, optional_path(move_to), _labels(labels), split, workers)

        def ended(report: IngestReport) -> None:
            self._note("ingest", {"watch": True, "labels": options.labels is not None, **figures(report)})
            if on_round is not None:
                on_round(report)

        stop = stop or threading.Event()
        with Heartbeat(self._database, "ingest --watch", stop.set):
            return watch(self._database, settings, path_list(folders), options, stop, ended)

    def receive(
        self,
        *,
        ae_title: str = "RADRETRIEVAL",
        port: int = 11112,
        host: str = "",
        peers: Iterable[str] = (),
        peers_file: StrPath | None = None,
        any_called: bool = False,
        tls_cert: StrPath | None = None,
        tls_key: StrPath | None = None,
        tls_ca: StrPath | None = None,
        max_associations: int = 50,
        idle_seconds: float = 60.0,
        all_classes: bool = False,
        intake: bool = True,
        issuer: str | None = None,
        workers: int | None = None,
        stop: threading.Event | None = None,
        on_ready: Callable[[ScpConfig, int], None] | None = None,
    ) -> InboxReport:
        """Be a DICOM node: take what is sent by C-STORE, and make images of it, until `stop` is set.

        Parameters
        ----------
        ae_title, port, host : of this node; port 0 takes any free port, an empty host every address.
        peers, peers_file : who may send, as `AET` or `AET@HOST`, and a file with one of them a line; empty for all.
        any_called : let callers in that call this node by another AE title.
        tls_cert, tls_key, tls_ca : PEM files: certificate and key of this node, and of who signs the callers'.
        max_associations, idle_seconds : at one time; and of silence after which one is ended.
        all_classes : take every storage class, instead of those of projection radiography.
        intake : make images of what arrives; without, another process does. issuer, workers : as in `ingest`.
        on_ready : called with the configuration and the port once it listens.

        Raises
        ------
        EnvironmentUnusable : it cannot listen there. UsageError : a name, peer or certificate that cannot be used.
        SchemaOutdated : another version has upgraded the archive meanwhile.
        """
        from radretrieval.dicom.address import check_host, check_title
        from radretrieval.dicom.scp.access import read_peers
        from radretrieval.dicom.scp.server import ScpConfig
        from radretrieval.dicom.scp.service import receive
        from radretrieval.dicom.scp.tls import server_context
        from radretrieval.dicom.sop_classes import storage_classes
        from radretrieval.jobs.heartbeat import Heartbeat

        cert, key, ca = map(optional_path, (tls_cert, tls_key, tls_ca))
        if cert is None and (key or ca):
            raise UsageError("--tls-key and --tls-ca go with --tls-cert, the certificate of this node")
        config = ScpConfig(
            title=check_title(ae_title, "--ae-title"),
            host=check_host(host, "--host", "the port is that of --port") if host else "",
            port=port,
            sop_classes=storage_classes(all_classes),
            peers=read_peers(list(peers), optional_path(peers_file)),
            any_title=any_called,
            tls=server_context(cert, key, ca) if cert else None,
            max_associations=max_associations,
            idle_seconds=idle_seconds,
        )

        def ready(listens: int) -> None:
            if on_ready is not None:
                on_ready(config, listens)

        stop = stop or threading.Event()
        settings = make_settings(self.settings, issuer=issuer)
        with Heartbeat(self._database, "receive", stop.set):
            return receive(self._database, settings, config, stop, intake=intake, workers=workers, ready=ready)

    def pull(
        self,
        source: str,
        *,
        since: str | None = None,
        until: str | None = None,
        query: Iterable[str] = (),
        all_classes: bool = False,
        again: bool = False,
        changes: bool = True,
        reconcile: bool | None = None,
        workers: int = 4,
        credentials: StrPath | None = None,
        ae_title: str = "RADRETRIEVAL",
        move_to: str | None = None,
        issuer: str | None = None,
        progress: Progress | None = None,
    ) -> PullReport:
        """Bring the radiographs of a PACS into the archive; again: what is new there.

        Parameters
        ----------
        source : root URL of a DICOMweb server, or a node `AET@host:port` that answers C-FIND and C-GET.
        since, until : study dates, each a date (2026-01-31) or a time before today (12h, 30d, 2w, 6m, 1y).
        query : `KEY=VALUE` with a DICOM keyword of studies, as `ModalitiesInStudy=CR`; all hold.
        all_classes : also what is no projection radiography.
        again : list everything since `since`, not only what is new.
        changes : follow Orthanc's list of changes, where there is one.
        reconcile : look for images that the source has no more; None: once a day.
        workers : files that are asked for at a time.
        credentials : file with user:password or a bearer token; None for that of the settings.
        ae_title : our AE title (DIMSE). move_to : AE title of the receiver that the node sends to (C-MOVE).
        issuer : as in `ingest`.

        Raises
        ------
        EnvironmentUnusable : the source cannot be used, or went away. UsageError : an argument has another form.
        """
        from radretrieval.dicom.pull.dicomweb import DicomWebSource
        from radretrieval.dicom.pull.orthanc import orthanc_api
        from radretrieval.dicom.pull.run import pull

        chosen = _pull_query(since, until, list(query), all_classes, again)
        settings = make_settings(self.settings, credentials=credentials)
        opened = _pull_source(source, settings, ae_title, move_to, all_classes)
        # the keys of the filters, and not their values: one may be a patient's identifier
        asked = {"from": opened.origin, "since": since, "until": until, "query": sorted(chosen.filters), "again": again}
        try:
            with self._noted("pull", **asked) as noted:
                report = pull(
                    self._database,
                    make_settings(self.settings, issuer=issuer),
                    opened,
                    chosen,
                    workers=workers,
                    orthanc=orthanc_api(opened) if changes and isinstance(opened, DicomWebSource) else None,
                    deletions=reconcile,
                    advance=counted(progress),
                )
                noted |= figures(report)
            return report
        finally:
            opened.close()


def _labels(path: StrPath | None) -> Labels | None:
    if path is None:
        return None
    from radretrieval.ingest.labels_csv import read_labels

    return read_labels(Path(path))


def _pull_query(since: str | None, until: str | None, query: list[str], all_classes: bool, again: bool) -> PullQuery:
    from radretrieval.dicom.pull.query import PullQuery, parse_date_or_duration, parse_filters

    today = date.today()
    first, rolling = parse_date_or_duration(since, today, "--since") if since is not None else (None, False)
    last = parse_date_or_duration(until, today, "--until")[0] if until is not None else None
    if first is not None and last is not None and last < first:
        raise UsageError(f"--until {last} is before --since {first}; there is no day between them")
    return PullQuery(parse_filters(query), first, last, rolling, again, all_classes)


def _pull_source(source: str, settings: Settings, ae_title: str, move_to: str | None, all_classes: bool) -> PullSource:
    from radretrieval.dicom.address import Address, check_title
    from radretrieval.dicom.pull.dicomweb import DicomWebSource
    from radretrieval.dicom.pull.dimse import DimseSource

    source = source.strip()
    if source.lower().startswith(("http:", "https:")):
        if move_to is not None:
            raise UsageError("--move-to is for a node AET@host:port; a DICOMweb server gives its files itself")
        return DicomWebSource(source, settings.credentials, settings.max_pixels)
    if "@" not in source:
        raise UsageError(
            f"{source} is neither a DICOMweb root (https://pacs.example.org/dicom-web) nor a node (AE_TITLE@host:port)"
        )
    node, own_title = Address.parse(source, "pull"), check_title(ae_title, "--ae-title")
    to = None if move_to is None else check_title(move_to, "--move-to")
    return DimseSource(node, own_title, to, every_class=all_classes)
