"""Drivers interpret the pure parts' wishes through ports; they own retries, batching and order.

Read `engine.py` first: it composes the others. No driver imports an adapter.
"""
