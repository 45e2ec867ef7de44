"""A file becomes pixels.

`read_image` is the one door: whatever the file is, what comes back is a radiograph, or an `ImageError` that
says in one line why not.
"""

from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import read_image

__all__ = ["Radiograph", "read_image"]
