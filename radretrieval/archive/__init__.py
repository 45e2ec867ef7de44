"""The database. No other room speaks SQL.

Statements stand by name in `queries.sql`; functions, views, triggers and comments in `sql`, one file an object; the
tables in `schema`, the way they came about in migrations/.
"""
