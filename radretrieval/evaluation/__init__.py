"""The paper's protocol: each query's first hit, scored by ImageCLEF's hierarchical error."""

from radretrieval.evaluation.encoder_runs import EncoderRun, EvaluationOptions
from radretrieval.evaluation.protocol import Evaluation, ScoredRanking, evaluate

__all__ = ["EncoderRun", "Evaluation", "EvaluationOptions", "ScoredRanking", "evaluate"]
