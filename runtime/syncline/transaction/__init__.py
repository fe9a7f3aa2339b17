"""A run's view of the data: what it read and would write, its own writes laid over reads.

Read `transaction.py` first.
"""
