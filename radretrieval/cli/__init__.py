"""The command line: `radretrieval COMMAND`. One command a file; each parses, calls and prints.

Nothing heavy is imported here or at the top of a command's file: `radretrieval --help` must answer at once, and a
search of an indexed image must not wait for torch.
"""

from radretrieval.cli.app import app, main

__all__ = ["app", "main"]
