"""Backups of an archive: made of one snapshot, verified on a scratch server, restored into another database."""
