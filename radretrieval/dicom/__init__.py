"""The neighbours: what comes from and goes to other DICOM nodes."""
