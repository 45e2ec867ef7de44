"""DICOM network services: images in by C-STORE and by pulls from a PACS, results out by C-STORE and STOW-RS."""
