"""Pixels become codes: the CNN and its code (CNNC), the Radon barcode (RBC), and their distance.

`network`, `training` and `cnnc` import torch; `radon` and `hamming` need numpy alone. Nothing is imported here, so
that a query of an image that is already indexed never waits for torch.
"""
