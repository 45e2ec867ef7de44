"""radretrieval: a persistent index of a hospital's radiographs that finds the images most like a given one.

    import radretrieval as rr

The names of the public API are imported when they are first used: `import radretrieval` loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radretrieval.api.archive import Archive as Archive
    from radretrieval.api.archive import evaluate as evaluate
    from radretrieval.api.archive import open_archive as open_archive
    from radretrieval.api.archive import train as train
    from radretrieval.api.client import RemoteArchive as RemoteArchive
    from radretrieval.api.queries import BatchSearch as BatchSearch
    from radretrieval.archive.encoder_deletion import DeletedEncoder as DeletedEncoder
    from radretrieval.archive.encoders import Encoder as Encoder
    from radretrieval.coding import hamming, radon
    from radretrieval.config import Settings as Settings
    from radretrieval.dicom.pull.report import PullReport as PullReport
    from radretrieval.dicom.scp.server import ScpConfig as ScpConfig
    from radretrieval.errors import DatabaseUnavailable as DatabaseUnavailable
    from radretrieval.errors import EmbeddedServerError as EmbeddedServerError
    from radretrieval.errors import EnvironmentUnusable as EnvironmentUnusable
    from radretrieval.errors import ImageError as ImageError
    from radretrieval.errors import InputMissing as InputMissing
    from radretrieval.errors import LabelsError as LabelsError
    from radretrieval.errors import NoEncoder as NoEncoder
    from radretrieval.errors import RadretrievalError as RadretrievalError
    from radretrieval.errors import SchemaOutdated as SchemaOutdated
    from radretrieval.errors import SitesMissing as SitesMissing
    from radretrieval.errors import UsageError as UsageError
    from radretrieval.evaluation import Evaluation as Evaluation
    from radretrieval.export.run import ExportReport as ExportReport
    from radretrieval.imaging import Radiograph as Radiograph
    from radretrieval.imaging import read_image as read_image
    from radretrieval.ingest.report import InboxReport as InboxReport
    from radretrieval.ingest.report import IngestReport as IngestReport
    from radretrieval.irma.error import irma_error as irma_error
    from radretrieval.jobs.code_report import CodeReport as CodeReport
    from radretrieval.jobs.encode import EncodeReport as EncodeReport
    from radretrieval.jobs.exchange import ExchangedEncoder as ExchangedEncoder
    from radretrieval.jobs.health import Health as Health
    from radretrieval.jobs.train import TrainReport as TrainReport
    from radretrieval.jobs.verify import VerifyReport as VerifyReport
    from radretrieval.privacy.archive_key import AcceptedKey as AcceptedKey
    from radretrieval.privacy.key_rotation import Rotation as Rotation
    from radretrieval.results.outputs import AnswerOutputs as AnswerOutputs
    from radretrieval.search.batch.execute import HitRow as HitRow
    from radretrieval.search.batch.run import BatchReport as BatchReport
    from radretrieval.search.federated import FederatedAnswer as FederatedAnswer
    from radretrieval.search.region import find_region as find_region
    from radretrieval.search.request import Answer as Answer
    from radretrieval.search.request import Hit as Hit
    from radretrieval.search.roi import Region as Region

    hamming_distances = hamming.distances
    radon_barcode = radon.barcode

__version__ = "0.1.0"

_PLACES = {
    "api.archive": "Archive evaluate open_archive train",
    "api.client": "RemoteArchive",
    "api.queries": "BatchSearch",
    "archive.encoder_deletion": "DeletedEncoder",
    "archive.encoders": "Encoder",
    "coding.hamming": "hamming_distances:distances",
    "coding.radon": "radon_barcode:barcode",
    "config": "Settings",
    "dicom.pull.report": "PullReport",
    "dicom.scp.server": "ScpConfig",
    "errors": "DatabaseUnavailable EmbeddedServerError EnvironmentUnusable ImageError InputMissing LabelsError "
    "NoEncoder RadretrievalError SchemaOutdated SitesMissing UsageError",
    "evaluation": "Evaluation",
    "export.run": "ExportReport",
    "imaging": "Radiograph read_image",
    "ingest.report": "InboxReport IngestReport",
    "irma.error": "irma_error",
    "jobs.code_report": "CodeReport",
    "jobs.encode": "EncodeReport",
    "jobs.exchange": "ExchangedEncoder",
    "jobs.train": "TrainReport",
    "jobs.health": "Health",
    "jobs.verify": "VerifyReport",
    "privacy.archive_key": "AcceptedKey",
    "privacy.key_rotation": "Rotation",
    "results.outputs": "AnswerOutputs",
    "search.batch.execute": "HitRow",
    "search.batch.run": "BatchReport",
    "search.federated": "FederatedAnswer",
    "search.region": "find_region",
    "search.roi": "Region",
    "search.request": "Answer Hit",
}
_FOUND = {
    name: (f"radretrieval.{module}", there or name)
    for module, names in _PLACES.items()
    for name, _, there in (text.partition(":") for text in names.split())
}
__all__ = ["__version__", *sorted(_FOUND)]


def __getattr__(name: str) -> Any:
    if name not in _FOUND:
        raise AttributeError(f"module 'radretrieval' has no attribute {name!r}")
    module, there = _FOUND[name]
    found = globals()[name] = getattr(import_module(module), there)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
