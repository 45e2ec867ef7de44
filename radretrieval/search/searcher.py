"""Search: the codes of a query, candidates by SQL, re-ranking by the profile, and the ROI in each hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import codes, connections, encoders, images
from radretrieval.archive.coder import Coders
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.search import nearest, stored
from radretrieval.archive.search.nearest import Candidate, FilterEffect
from radretrieval.archive.search.stored import StoredQuery
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.config import Settings
from radretrieval.errors import NotInArchive, UsageError
from radretrieval.logs import Log
from radretrieval.search.film_cells import FilmCells, FoundRegion, compared_as
from radretrieval.search.judge import considered, judge
from radretrieval.search.query import QueryFile, SearchQuery
from radretrieval.search.request import Answer, Hit, Request, Similarity, StageTimer, check_request
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile, SourceReader
from radretrieval.storage.worker_pool import Run, WorkerPool, call

if TYPE_CHECKING:
    from radretrieval.coding.cnnc import Coder

log = Log(__name__)


class Searcher:
    """An archive ready to be searched: one connection, one encoder, the network loaded when first needed.

    A context manager. An image that is in the archive already, by id or as a file with the same content, is queried by
    its stored codes, without torch. The query image itself is never among its hits.

    Parameters
    ----------
    device : where new files are encoded: `auto`, `cpu`, `cuda`, …
    encoder_id : None for the active encoder.
    coders : loaded networks that this searcher shares with others; None for its own on `device`.
    films : films that were read for a region, likewise.
    run : runs what decodes, as a pool of decoding processes does; None: what the archive has decoded before is decoded
        in this process, a new file in one decoding process, which starts with the first.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        device: str = "auto",
        encoder_id: int | None = None,
        *,
        coders: Coders | None = None,
        films: FilmCells | None = None,
        run: Run | None = None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.device = device
        self.encoder_id = encoder_id
        self.coders = coders or Coders(settings, device)
        self.films = films or FilmCells()
        self.reader: Searcher | None = None  # the same on a standby, once one was read from (`search.reading`)
        self._stack = ExitStack()
        new: WorkerPool[Callable[[], Any], Any] = WorkerPool.of(settings, call, 1)
        self._stack.callback(new.close)
        self.source = SourceReader(Reading.of(settings), run or call, run or new.run)

    def __enter__(self) -> Searcher:
        from radretrieval.coding.radon import geometry

        with self._stack as stack:
            self.connection: Connection = stack.enter_context(self.database.connection())
            self.connection.autocommit = True
            self.encoder = encoders.get(self.connection, self.encoder_id)
            if self.encoder.bypassed:
                log.warning("index_bypassed", "%(reason)s", reason=self.encoder.bypass_message)
            self.geometry = codes.geometry_id(self.connection, *geometry(self.encoder.profile.barcode))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        if self.reader is not None:
            self.reader.__exit__(*problem)
        self._stack.__exit__(*problem)

    def refresh(self) -> bool:
        """Read the encoder anew; False where another one is active now, and a new searcher is needed.

        Raises DatabaseUnavailable where the connection was lost.
        """
        with connections.database_errors(self.database.url):
            found = encoders.get(self.connection, self.encoder_id)
        same = found.id == self.encoder.id
        self.encoder = found if same else self.encoder
        return same

    @cached_property
    def coder(self) -> Coder:
        """The network on its device."""
        return self.coders.of(self.connection, self.encoder)

    def search(self, request: Request) -> Answer:
        """Answer one request.

        Raises
        ------
        UsageError : a number, filter, ROI or id that is not possible; an unreadable query; an archive without codes.
        DatabaseUnavailable : the database went away.
        """
        check_request(request)
        timer = StageTimer()
        with connections.database_errors(self.database.url):
            with timer.stage("read"):
                query = self._load(request)
                if request.roi is not None:
                    self.films.own(query, request, self.source)
            self._encode(query, timer)
            found, path, effect = self._candidates_and_barcode(query, request, timer)
            self._remember(query, request)
            pending = self.pending(found, request)
            if not found and effect is None:
                self.raise_no_codes(pending)
        with timer.stage("rerank"):
            found, hits, similarity = self._rank(query, found, request)
        if request.roi is not None:
            with timer.stage("roi"):
                hits = self._find_roi(query, request, hits)
        answer = Answer(
            request=request,
            encoder_id=self.encoder.id,
            candidates=sum(candidate.barcode is not None for candidate in found),
            hits=hits,
            path=path,
            recall=self.encoder.recall if path == "hnsw" else None,
            effect=effect,
            pending=pending,
            query_image_id=query.image_id,
            query_irma_code=query.irma_code,
            query_sha256=query.sha256,
            similarity=similarity,
            query_flat=query.flat,
            query_problems=query.problems,
            timings_ms=timer.milliseconds(),
        )
        if request.explain and query.rbc is not None:
            from radretrieval.search.explain import explain

            explain(answer, found, query.rbc, self.encoder.profile)
        return answer

    def query_pixels(self, request: Request) -> NDArray[np.float32]:
        """The query's pixels, float32 (rows, columns), 0…1. Raises UsageError when its file cannot be read."""
        pixels: NDArray[np.float32] = self._open(request).make(self.source, attrgetter("pixels"))
        return pixels

    def pending(self, found: Sequence[Candidate], request: Request) -> int:
        """How many images have no code; counted, which reads every image, only where it explains a short answer."""
        return codes.pending_count(self.connection, self.encoder.id) if len(found) < request.candidates else 0

    def raise_no_codes(self, pending: int) -> None:
        """Raise UsageError for an archive without codes; `pending` images have none yet."""
        if pending:
            raise UsageError(
                f"no image has a code of encoder {self.encoder.id} yet ({pending} wait); run: "
                f"{self.encoder.work_command}"
            )
        raise UsageError(
            "the archive has no image to compare with; run: radretrieval ingest FOLDER, then: radretrieval work --once"
        )

    def stored_query(self, image_id: int) -> StoredQuery:
        """An image of the archive with its codes; raises NotInArchive for one that it does not have or hides."""
        found = stored.by_ids(*self._where, [image_id]).get(image_id)
        if found is None:
            raise NotInArchive(f"{images.absent(self.connection, image_id)}; give the id of another, or a file")
        return found

    def regions(self, request: Request, image_ids: Sequence[int]) -> list[FoundRegion]:
        """The place of the request's region in images of the archive, by the way of `context`.

        Raises
        ------
        UsageError : a region that does not lie inside the query, an id or a file that cannot be read.
        """
        check_request(request)
        with connections.database_errors(self.database.url):
            query = self._open(request)
            facts = stored.hit_facts(self.connection, image_ids)
        known = [one for one in image_ids if one in facts]
        files = [facts[one].file for one in known]
        found = dict(zip(known, self._regions(query, request, files), strict=True))
        gone = FoundRegion(None, "is withdrawn from searches, or not in the archive any more")
        return [found.get(one, gone) for one in image_ids]

    def _open(self, request: Request) -> SearchQuery:
        """The query, with what the archive has of its very file."""
        if isinstance(request.query, int):
            image = self.stored_query(request.query)
            return SearchQuery(image.uri, image.sha256, known=True).use(image)
        query = SearchQuery.of(request.query, self.settings)
        known = stored.by_contents(*self._where, [query.sha256]).get(query.sha256)
        query.known = known is not None
        return query.use(known)

    def _load(self, request: Request) -> SearchQuery:
        """The query with its codes where they are known, else with what they are made of."""
        query = self._open(request)
        if query.cnnc is not None:
            return query
        kept = request.query.codes.get(self.encoder.id) if isinstance(request.query, QueryFile) else None
        compare = None if request.roi is None else compared_as(request)
        read = query.read(self.source, None if kept else self._sizes, compare)
        if not query.known:
            query.use(stored.same_film(*self._where, read.sop_instance_uid, read.pixels_sha256))
        if kept and (query.cnnc is None or query.rbc is None):
            query.cnnc, query.rbc = kept
        return query

    @property
    def _where(self) -> tuple[Connection, int, int]:
        return self.connection, self.encoder.id, self.geometry

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.encoder.profile.network.input_size, self.encoder.profile.barcode.size

    def _inputs(self, query: SearchQuery) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The query as network and barcode take it."""
        inputs = query.read(self.source, self._sizes).inputs
        assert inputs is not None, "codes are missing, and were not when it was read"
        return inputs

    def patient_key(self, patient_id: str, issuer: str | None) -> str:
        """The pseudonym of a patient's identifier. Raises WrongPatientKey where the key here is not the archive's."""
        from radretrieval.privacy.archive_key import archive_key

        with connections.database_errors(self.database.url):
            return archive_key(self.connection, self.settings).pseudonym(patient_id, issuer)

    def _encode(self, query: SearchQuery, timer: StageTimer) -> None:
        if query.cnnc is not None:
            return
        with timer.stage("encode"):
            query.cnnc = self.coder.codes(self._inputs(query)[0][None])[0]

    def _candidates_and_barcode(
        self, query: SearchQuery, request: Request, timer: StageTimer
    ) -> tuple[list[Candidate], str, FilterEffect | None]:
        """The candidates; a new file's barcode is computed while the database looks for them."""

        def add_barcode() -> None:
            if query.rbc is None:
                from radretrieval.coding.radon import barcode

                shape = self.encoder.profile.barcode
                with timer.stage("barcode"):
                    query.rbc = barcode(self._inputs(query)[1][None], shape.size, shape.angles)[0]

        with timer.stage("candidates"):
            return self._candidates(query, request, add_barcode)

    def _remember(self, query: SearchQuery, request: Request) -> None:
        """Keep the codes of a file in memory for its next search."""
        if isinstance(request.query, QueryFile) and query.cnnc is not None and query.rbc is not None:
            request.query.codes[self.encoder.id] = query.cnnc, query.rbc

    def _candidates(
        self, query: SearchQuery, request: Request, meanwhile: Callable[[], None]
    ) -> tuple[list[Candidate], str, FilterEffect | None]:
        """The candidates, `meanwhile` as `nearest.candidates` takes it."""
        if request.exclude_same_patient:
            query.know_patient(self.patient_key)
        wanted = request.filter(query.image_id, query.patient_key)
        assert query.cnnc is not None
        asked = self.encoder, self.geometry, query.cnnc, max(request.candidates, request.top), wanted
        found, path = nearest.candidates(self.connection, *asked, meanwhile)
        if not wanted.narrows:
            return found, path, None
        return found, path, nearest.filter_effect(self.connection, self.encoder, query.cnnc, wanted, found)

    def _rank(
        self, query: SearchQuery, found: list[Candidate], request: Request
    ) -> tuple[list[Candidate], list[Hit], Similarity | None]:
        """The candidates, those of a refined search with more; the hits, best first; how similar the nearest are."""
        able = [candidate for candidate in found if candidate.barcode is not None]
        hits, similarity = self._reranked(query, able, request)
        if request.refined:
            from radretrieval.search.refine import Codes, refine

            with connections.database_errors(self.database.url):
                found, hits = refine(Codes(self.connection, self.encoder, self.geometry), query, request, able)
        return found, hits, similarity

    def _reranked(
        self, query: SearchQuery, able: Sequence[Candidate], request: Request
    ) -> tuple[list[Hit], Similarity | None]:
        """The hits from candidates that have a barcode, in the order of the profile."""
        if not able:
            return judge([], [], request, self.encoder)
        assert query.rbc is not None
        barcodes = np.frombuffer(b"".join(c.barcode for c in able if c.barcode), np.uint8).reshape(len(able), -1)
        near, ids = [c.cnnc_distance for c in able], [c.image_id for c in able]
        order, rbc = rerank(query.rbc, barcodes, near, ids, Weights.of(self.encoder.profile))
        hits = []
        for rank, place in enumerate(order[: considered(request.top)].tolist(), start=1):
            best = able[place]
            distances = {"cnnc_distance": best.cnnc_distance, "rbc_distance": int(rbc[place])}
            hits.append(Hit(**vars(best.facts), rank=rank, image_id=best.image_id, **distances))
        return judge(hits, near, request, self.encoder)

    def _find_roi(self, query: SearchQuery, request: Request, hits: list[Hit]) -> list[Hit]:
        """Find the region in each hit whose file can be read."""
        found = self._regions(query, request, [hit.file for hit in hits])
        return [
            replace(hit, roi=one.region, roi_error=one.error, reduced=one.reduced)
            for hit, one in zip(hits, found, strict=True)
        ]

    def _regions(self, query: SearchQuery, request: Request, files: list[SourceFile]) -> list[FoundRegion]:
        return self.films.find(query, request, files, self.source, self.encoder.profile.query.roi_longest_side)
