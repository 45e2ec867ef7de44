"""DICOM between this archive and its neighbours: what comes over the network, and answers that go out."""
