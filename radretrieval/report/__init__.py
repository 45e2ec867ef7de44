"""Pictures and tables for people: `picture.search_picture`, `health.health_picture`, `table.table`.

Nothing is imported here, so that a command that prints a table does not wait for what a picture needs.
"""
