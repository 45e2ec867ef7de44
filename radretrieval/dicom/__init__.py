"""DICOM on the network: files come in, are pulled, and answers go out."""
