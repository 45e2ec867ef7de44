"""The CNN and its code (CNNC), the Radon barcode (RBC), and Hamming distances.

`network`, `training` and `cnnc` import torch; `radon` and `hamming` need numpy alone. Nothing is imported here, so
that a query by stored codes does not load torch.
"""
