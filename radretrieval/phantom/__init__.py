"""Synthetic radiographs for demo, tests and scale runs: no download, no patient, any number."""

from radretrieval.phantom.archive import archive_size, write_archive
from radretrieval.phantom.radiographs import CODES, PhantomClass, phantom_class, radiograph

__all__ = ["CODES", "PhantomClass", "archive_size", "phantom_class", "radiograph", "write_archive"]
