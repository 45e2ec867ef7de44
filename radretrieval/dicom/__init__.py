"""The archive as a neighbour of the PACS: DICOM in, answers and de-identified files out."""
