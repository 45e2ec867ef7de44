"""The database. No other room speaks SQL.

Statements stand by name in `statements.sql`; the tables in `schema`, the way they came about in migrations/.
"""
