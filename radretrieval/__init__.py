"""radretrieval: a persistent index of a hospital's radiographs that finds the images most like a given one."""

__version__ = "0.1.0"
