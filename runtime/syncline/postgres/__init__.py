"""The log on PostgreSQL: protocols.md rules 1 to 8 as tables, routines and a psycopg adapter.

`log.PostgresLog` is the adapter of `syncline.ports.Log`; `migrations/` has tables and routines, and
docs/log.md says why they are as they are and what they cost.
"""
