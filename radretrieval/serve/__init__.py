"""The page and the HTTP API: one process that answers people and other systems over HTTP."""
