"""Pictures and tables for people."""

from radretrieval.report.picture import HitView, QueryView, search_picture
from radretrieval.report.table import key_values, table

__all__ = ["HitView", "QueryView", "key_values", "search_picture", "table"]
