"""The paper's protocol: each query's first hit, scored by ImageCLEF's hierarchical error."""

from radretrieval.evaluation.encoder_runs import Party, Wanted
from radretrieval.evaluation.protocol import Evaluation, Scored, evaluate

__all__ = ["Evaluation", "Party", "Scored", "Wanted", "evaluate"]
