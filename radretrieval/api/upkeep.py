"""Evaluation, verification and export of an archive, and the key of its pseudonyms."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.api.base import ArchiveBase, Progress, StrPath, counted, make_settings, optional_path
from radretrieval.api.noting import figures, operator
from radretrieval.api.queries import Where, conditions
from radretrieval.errors import EnvironmentUnusable, UsageError

if TYPE_CHECKING:
    from radretrieval.evaluation import Evaluation
    from radretrieval.export.run import ExportReport
    from radretrieval.jobs.health import Health
    from radretrieval.jobs.label_audit import LabelAudit
    from radretrieval.jobs.verify import VerifyReport
    from radretrieval.privacy.archive_key import AcceptedKey
    from radretrieval.privacy.key_rotation import Rotation

MOST_IDS = 10_000_000  # of one range


class ArchiveUpkeep(ArchiveBase):
    """The part of `Archive` that measures, checks and exports what is in it."""

    def evaluate(
        self,
        *,
        split: str = "test",
        against: Iterable[str] = ("train",),
        encoders: Iterable[int] = (),
        rule: str = "imageclef",
        compare: tuple[str, str] | None = None,
        withdrawn: bool = False,
        network: bool = True,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> Evaluation:
        """Score the first hit of every labelled image of a split, by every way of ranking.

        Parameters
        ----------
        split : the queries. against : the splits that are searched; `all` is everything.
        encoders : ids; none for the active one, and the newest of each other profile.
        rule : `imageclef` (hierarchical, 0 to 1 an image) or `paper` (Eq. 1, literally).
        compare : two rankings, as `2`, `cnnc` or `2:cnnc`, that are tested pair by pair.
        withdrawn : also images whose label was withdrawn.
        network : also the rankings that need the network; they read every file again. device : as in `train`.

        Raises
        ------
        UsageError, NoEncoder : no encoder, no labelled images with codes, or a ranking that does not exist.
        """
        from radretrieval.archive.readers import read_whole
        from radretrieval.evaluation import EvaluationOptions, evaluate

        chosen = tuple(against) or ("train",)
        options = EvaluationOptions(split, chosen, tuple(encoders), rule, withdrawn, network, compare, device)
        advance = None if progress is None else lambda count, step: progress(count, None, step)
        return read_whole(self._database, lambda where: evaluate(where, self.settings, options, advance=advance))

    def audit_labels(
        self,
        *,
        top: int = 100,
        where: Where = (),
        encoder: int | None = None,
        progress: Progress | None = None,
    ) -> LabelAudit:
        """List images whose nearest neighbours have another IRMA code, body part, view or laterality, worst first.

        Parameters
        ----------
        top : images that are listed at most.
        where : which images are judged, as in `search`; all of them vote.
        encoder : whose codes; None for the active one.

        Raises
        ------
        NoEncoder : there is none. UsageError : fewer than two images with codes, or a filter that names no column.
        """
        from radretrieval.archive.filters import Filter
        from radretrieval.jobs.label_audit import audit_labels

        return audit_labels(
            self._database,
            encoder_id=encoder,
            where=Filter(where=conditions(where)),
            top=top,
            path_key=self.settings.path_key_file,
            advance=progress,
        )

    def dismiss_reports(self, ids: Iterable[int]) -> None:
        """Delete reports of labels that are right, by their numbers in `audit_labels`.

        Raises
        ------
        UsageError : a number that no report has; nothing is deleted then.
        """
        from radretrieval.archive import label_reports

        with self._database.connection() as connection:
            label_reports.dismiss(connection, operator(), sorted(set(ids)))

    def export_feedback(self, out: StrPath) -> int:
        """Write what users say of hits to a file, a row an opinion; returns how many there are.

        Parameters
        ----------
        out : a .csv, or a .parquet (which needs pyarrow).

        Raises
        ------
        UsageError : the file cannot be written.
        """
        from radretrieval.results.feedback import write_feedback

        with self._noted("feedback export") as noted:
            noted["opinions"] = write_feedback(self._database, Path(out))
        return int(noted["opinions"])

    def health(
        self, *, waiting: timedelta = timedelta(minutes=15), expect: Iterable[str] = (), only: Iterable[str] = ()
    ) -> Health:
        """Check whether the archive does its work: database, disks, what waits, services, a search, index, key, clocks.

        A database that cannot be used is a finding, too, and no error.

        Parameters
        ----------
        waiting : that an image may wait for its code, or a file that came for being an image.
        expect : services that must be alive, as `work` or `work@host`; none for each that has not ended in order.
        only : names of checks; none for all.

        Raises
        ------
        UsageError : `only` has no name of a check.
        """
        from radretrieval.jobs.health import Health, HealthOptions

        options = HealthOptions(waiting, tuple(expect), tuple(only))
        try:
            database = self._database
        except EnvironmentUnusable as error:
            return Health.without_database(error)
        return Health.of(database, self.settings, options)

    def metrics(self) -> tuple[str, bool]:
        """The state of the archive as Prometheus text, and whether the database can be used."""
        from radretrieval.results.archive_metrics import archive_metrics, without_database

        try:
            return archive_metrics(self._database, self.settings), True
        except EnvironmentUnusable as error:
            return without_database(error), False

    def verify(
        self, *, tidy: bool = False, workers: int | None = None, progress: Progress | None = None
    ) -> VerifyReport:
        """Read the file of every image: is it there, and is it still the one that was ingested?

        Parameters
        ----------
        tidy : remove files older than an hour from the store that nothing in the archive names, and what is left of
            forgotten images there and in the caches of this host.
        workers : files read at a time; None for two a core.
        """
        from radretrieval.archive import images
        from radretrieval.jobs.verify import verify

        total = None
        if progress is not None:
            with self._database.connection() as connection:
                total = images.counts(connection)["images"]
        advance = counted(progress, total)
        with self._noted("verify", tidy=tidy) as noted:
            report = verify(self._database, self.settings, tidy=tidy, workers=workers, advance=advance)
            noted |= figures(report)
        return report

    def export(
        self,
        folder: StrPath,
        *,
        where: Where = (),
        ids: Iterable[int] | str | None = None,
        images: bool = True,
        index: bool = True,
        form: str = "csv",
        deidentify: bool = False,
        key: StrPath | None = None,
        accept_burned_in: bool = False,
        encoder: int | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write images and what the archive knows of them into a folder; a second call goes on from there.

        Parameters
        ----------
        folder : a new one, or that of an earlier export.
        where : as in `search`. ids : only these images; numbers, or a text as 7,9,20-29.
        images, index : their files; and what the archive knows of each, its codes and barcodes. form : csv or parquet.
        deidentify : PS3.15's basic profile. key : file of the secret of the replacements; None for the archive's own.
        accept_burned_in : take along, and flag, images whose pixels may show names.
        encoder : whose codes; None for the active one. workers : writing processes; None for one a core.
        """
        from radretrieval.archive.filters import Filter
        from radretrieval.export.run import ExportOptions, export
        from radretrieval.search.recorded import recorded_where

        if (key or accept_burned_in) and not deidentify:
            raise UsageError("--key and --accept-burned-in are about --deidentify; say that too, or leave them out")
        options = ExportOptions(
            where=Filter(where=conditions(where)),
            ids=parse_ids(ids) if isinstance(ids, str) else None if ids is None else tuple(sorted(set(ids))),
            images=images,
            index=index,
            deidentify=deidentify,
            key=optional_path(key),
            accept_burned_in=accept_burned_in,
            form=form,
            encoder=encoder,
            workers=workers,
        )
        expect = None if progress is None else lambda total: progress(0, total)
        chosen = {
            "where": recorded_where(options.where.where),
            "deidentify": deidentify,
            "images": images,
            "index": index and form,
        }
        self._note("export", chosen | {"begun": True})  # files of a run that is killed have left
        with self._noted("export", **chosen) as noted:
            report = export(self._database, self.settings, Path(folder), options, counted(progress), expect)
            noted |= figures(report)
        return report

    def rotate_patient_key(self, *, issuer: str | None = None) -> Rotation:
        """Give every patient a new pseudonym under a new key; each stays the same patient. Or finish a rotation.

        Parameters
        ----------
        issuer : of the patients so far, in an archive of an older version: pseudonyms take the issuer from then on.
        """
        from radretrieval.privacy.key_rotation import rotate

        with self._noted("patient-key rotate") as noted:
            done = rotate(self._database, make_settings(self.settings, issuer=issuer))
            noted |= figures(done)
        return done

    def patient_key_of(self, patient: str, *, issuer: str | None = None) -> str:
        """The pseudonym of a patient's identifier; the key of this host must be the archive's. The audit has no name.

        Parameters
        ----------
        issuer : who gave the identifier; None for `Settings.issuer`.
        """
        from radretrieval.privacy.archive_key import archive_key

        if not patient.strip():
            raise UsageError("the identifier is empty; name the Patient ID as the header has it")
        with self._noted("patient-key of"), self._database.connection() as connection:
            return archive_key(connection, self.settings).pseudonym(patient, issuer)

    def accept_patient_key(self) -> AcceptedKey:
        """Record the key of this host as the archive's, whatever key its pseudonyms were made with."""
        from radretrieval.privacy.archive_key import accept

        with self._noted("patient-key accept") as noted:
            done = accept(self._database, self.settings)
            noted |= figures(done)
        return done


def parse_ids(text: str) -> tuple[int, ...]:
    """Numbers of images, as 7,9,20-29. Raises UsageError for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not all(piece.isascii() and piece.isdecimal() and len(piece) < 19 for piece in (first, last)):
            raise UsageError(
                f"--ids {text!r} is not of the form 7,9,20-29: whole numbers, as `search` and SQL show them"
            )
        if int(last) - int(first) > MOST_IDS:
            raise UsageError(f"--ids {part.strip()} are more than ten million images; --where asks for many")
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))
