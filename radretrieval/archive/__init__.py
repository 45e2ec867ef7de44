"""The database. No other room speaks SQL.

Statements stand by name in `queries.sql`; the tables in `schema`, the way they came about in migrations/.
"""
