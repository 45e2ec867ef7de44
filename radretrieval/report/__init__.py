"""Pictures and tables for people.

Nothing is imported here, so that a command that prints a table does not load what a picture needs.
"""
