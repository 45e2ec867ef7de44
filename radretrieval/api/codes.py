"""Encoders, codes and their indexes."""

from __future__ import annotations

import os
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.api.base import ArchiveBase, Progress, counted
from radretrieval.api.noting import operator
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.logs import Log

if TYPE_CHECKING:
    from radretrieval.archive.encoder_deletion import DeletedEncoder
    from radretrieval.jobs.code_report import CodeReport
    from radretrieval.jobs.encode import EncodeReport
    from radretrieval.jobs.exchange import ExchangedEncoder
    from radretrieval.jobs.train import TrainReport
    from radretrieval.profile import Profile


log = Log(__name__)


class ArchiveCodes(ArchiveBase):
    """The part of `Archive` that makes codes and indexes of them."""

    def train(
        self,
        *,
        profile: str | Profile | None = None,
        split: str = "train",
        epochs: int | None = None,
        device: str = "auto",
        seed: int = 0,
        weights: str | os.PathLike[str] | None = None,
        restart: bool = False,
        progress: Progress | None = None,
    ) -> TrainReport:
        """Train an encoder on the labelled images and store it; the first one becomes active.

        Parameters
        ----------
        profile : the numbers of the method; None for the active encoder's, or `strong` without one.
        split : its images with an IRMA code are learnt.
        epochs : passes over the images; None for the profile's.
        device : `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        seed : of weights, order and shifts.
        weights : safetensors file that the backbone of `strong` starts from; None for the extra `strong`.
        restart : begin anew; otherwise the same training goes on where it was interrupted.

        Raises
        ------
        UsageError : no labelled image, or one class only. EnvironmentUnusable : the device is not there.
        """
        from radretrieval.jobs.train import TrainOptions, default_profile, train
        from radretrieval.profile import by_name

        chosen = by_name(profile) if isinstance(profile, str) else profile or default_profile(self._database)
        options = TrainOptions(chosen, split, epochs, device, seed, Path(weights) if weights else None, restart)
        with self._noted("train", profile=chosen.name, split=split) as noted:
            report = train(self._database, self.settings, options, advance=progress)
            noted["encoder_id"] = report.encoder_id
        return report

    def encode(
        self,
        *,
        encoder: int | None = None,
        once: bool = True,
        device: str = "auto",
        batch: int = 64,
        workers: int | None = None,
        rate: float | None = None,
        stop: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> EncodeReport:
        """Compute the codes of the images that have none; with `once`, build the exact index afterwards where due.

        Parameters
        ----------
        encoder : id; None for the active one.
        once : end when nothing is left; otherwise wait for more images until `stop` is set.
        device : as in `train`. batch : images of one transaction. workers : decoding processes; None for one a core.
        rate : images a second at most, a transaction a second or more; None for as many as can be.

        Raises
        ------
        NoEncoder : there is no encoder (with `once`). EnvironmentUnusable : the device is not there.
        SchemaOutdated : another version has upgraded the archive meanwhile (without `once`).
        """
        from radretrieval.jobs.encode import EncodeOptions, encode, pending
        from radretrieval.jobs.heartbeat import Heartbeat

        options = EncodeOptions(once, device, batch, workers, encoder, rate)
        total = pending(self._database, encoder) if once and progress else None
        stop = stop or threading.Event()
        with nullcontext() if once else Heartbeat(self._database, "work", stop.set):
            report = encode(self._database, self.settings, options, advance=counted(progress, total), stop=stop)
        report.index_built = once and report.encoded > 0 and not stop.is_set() and self._built_where_due(encoder)
        return report

    def _built_where_due(self, encoder: int | None) -> bool:
        """Build the exact index where `status` would advise it and this role may; whether it was built."""
        from radretrieval.archive import codes, encoders
        from radretrieval.archive.search import exact_index

        with self._database.connection() as connection:
            chosen = encoders.get(connection, encoder)
            facts = exact_index.facts(connection, chosen, codes.count(connection, chosen.id))
            due = facts["kind"] != "hnsw" and facts["advice"] is not None and encoders.may_create(connection)
        if not due:
            return False
        try:
            self.build_index(encoder=chosen.id)
        except (UsageError, EnvironmentUnusable) as error:  # another process builds it, or there is no session
            log.warning("index_not_built", "the codes are written, their index is not: %(reason)s", reason=str(error))
            return False
        return True

    def encoders(self) -> list[dict[str, Any]]:
        """Every encoder: encoder_id, profile, active, codes (how many) and created_at."""
        from radretrieval.archive import encoders

        with self._database.connection() as connection:
            return encoders.listed(connection)

    def activate(self, encoder: int, *, force: bool = False) -> None:
        """Search with another encoder from now on; the same call switches back.

        Parameters
        ----------
        encoder : id. force : although images have no code of it yet, which then cannot be found.
        """
        from radretrieval.archive import audit, codes, encoders

        with self._database.connection() as connection:
            encoders.get(connection, encoder)
            missing = codes.pending_count(connection, encoder)
            if missing and not force:
                raise UsageError(
                    f"{missing} images have no code of encoder {encoder} and could not be found; run: radretrieval "
                    f"work --once --encoder {encoder} (or switch all the same with --force)"
                )
            encoders.activate(connection, encoder)
            audit.record(connection, operator(), "encoder activate", {"encoder_id": encoder, "without_code": missing})

    def export_encoder(self, file: str | Path, *, encoder: int | None = None) -> ExchangedEncoder:
        """Write an encoder with its profile, classes and metrics to one file, for another archive to import.

        Parameters
        ----------
        file : its name ends in .safetensors; replaced if it exists. encoder : id; None for the active one.
        """
        from radretrieval.jobs.exchange import export_encoder

        with self._noted("encoder export") as noted:
            done = export_encoder(self._database, self.settings, Path(file), encoder)
            noted["encoder_id"] = done.encoder_id
        return done

    def import_encoder(self, file: str | Path) -> ExchangedEncoder:
        """Add the encoder of a file that `export_encoder` wrote; active if it is the first.

        Raises
        ------
        InputMissing : the file cannot be opened. UsageError : it is damaged, or no encoder of this version.
        """
        from radretrieval.jobs.exchange import import_encoder

        with self._noted("encoder import") as noted:
            done = import_encoder(self._database, Path(file))
            noted["encoder_id"] = done.encoder_id
        return done

    def delete_encoder(self, encoder: int) -> DeletedEncoder:
        """Delete an encoder that is not active, with its codes, indexes and this host's cached weights, for ever.

        Parameters
        ----------
        encoder : id.

        Raises
        ------
        UsageError : there is no such encoder, it is active, or its index is being built.
        """
        from radretrieval.archive.encoder_deletion import delete

        with self._noted("encoder delete", encoder_id=encoder) as noted:
            done = delete(self._database, encoder, self.settings.weights_folder)
            noted |= asdict(done)
        return done

    def code_report(self, encoder: int | None = None, *, progress: Progress | None = None) -> CodeReport:
        """Tell whether an encoder's codes are healthy: densities, dead and duplicate bits, collisions, distances."""
        from radretrieval.jobs.code_report import code_report

        return code_report(self._database, encoder, advance=counted(progress))

    def build_index(
        self,
        kind: str = "exact",
        *,
        anchors: int | None = None,
        encoder: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Build the index of an encoder's codes, or build it anew; searches go on meanwhile.

        Parameters
        ----------
        kind : `exact` (the true nearest, by anchors) or `hnsw` (pgvector's graph, approximate).
        anchors : of the exact index; None for as many as serve these codes best.

        Returns
        -------
        kind, codes, anchors (exact) and seconds.
        """
        from radretrieval.archive.search import exact_index, hnsw

        if kind == "hnsw" and anchors is not None:
            raise UsageError("--anchors is of the exact index; leave it out with --kind hnsw")
        started, chosen = time.monotonic(), self.encoder(encoder)
        with self._noted("index build", kind=_kind(kind), encoder_id=chosen.id) as noted:
            if kind == "hnsw":
                with self._database.connection() as connection:
                    made: dict[str, Any] = {"codes": hnsw.build(connection, chosen)}
            else:
                built = exact_index.build(self._database, chosen, anchors, counted(progress))
                made = {"codes": built.codes, "anchors": built.anchors}
            noted |= made
        return {"kind": kind, **made, "seconds": _since(started)}

    def check_index(self, *, sample: int = 60, encoder: int | None = None) -> dict[str, Any]:
        """Prove the exact index: every code in it, every bound true, and answers equal to a plain scan's.

        Parameters
        ----------
        sample : answers that are compared.

        Returns
        -------
        What was found; `sound` is its verdict.
        """
        from radretrieval.archive.search import exact_check

        started, chosen = time.monotonic(), self.encoder(encoder)
        found = exact_check.check(self._database, chosen, sample, chosen.profile.query.candidates)
        counts = asdict(found)
        counts.pop("bypassed")  # part of the verdict
        return {"kind": "exact", **counts, "sound": found.sound, "seconds": _since(started)}

    def audit_index(self, *, sample: int = 200, encoder: int | None = None) -> dict[str, Any]:
        """Measure which share of the true nearest the HNSW index finds; every answer through it names the figures.

        Returns
        -------
        kind, codes, seconds, recall (the mean) and recall_worst.
        """
        from radretrieval.archive.search import hnsw

        started, chosen = time.monotonic(), self.encoder(encoder)
        with self._database.connection() as connection:
            number, mean, worst = hnsw.audit(connection, chosen, chosen.profile.query.candidates, sample)
        recalls = {"recall": round(mean, 5), "recall_worst": round(worst, 5)}
        return {"kind": "hnsw", "codes": number, "seconds": _since(started), **recalls}

    def drop_index(self, kind: str | None = None, *, encoder: int | None = None) -> dict[str, Any]:
        """Drop the indexes of an encoder's codes, or those of one kind, and what an interrupted build has left."""
        from radretrieval.archive.search import exact_index, hnsw

        started, chosen = time.monotonic(), self.encoder(encoder)
        with self._noted("index drop", kind=kind and _kind(kind), encoder_id=chosen.id):
            if kind in (None, "hnsw"):
                with self._database.connection() as connection:
                    hnsw.drop(connection, chosen)
            if kind != "hnsw":
                exact_index.drop(self._database, chosen)
        return {"kind": kind or "all", "seconds": _since(started)}


def _kind(kind: str) -> str:
    if kind not in ("exact", "hnsw"):
        raise UsageError(f"{kind!r} is no kind of index; there are: exact, hnsw")
    return kind


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
