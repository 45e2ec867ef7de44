"""What a label means and how wrong an answer is: the IRMA code, its tree and the ImageCLEF error."""

from radretrieval.irma.code import axes, normalise
from radretrieval.irma.error import axis_errors, irma_error, paper_error
from radretrieval.irma.tree import describe

__all__ = ["axes", "axis_errors", "describe", "irma_error", "normalise", "paper_error"]
