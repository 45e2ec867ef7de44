"""The paper's protocol: each query's first hit, scored by ImageCLEF's hierarchical error."""

from radretrieval.evaluation.protocol import Evaluation, Scored, Wanted, evaluate

__all__ = ["Evaluation", "Scored", "Wanted", "evaluate"]
