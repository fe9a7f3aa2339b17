"""Engines of search: what finds candidates among many documents. They know no log and no ts."""
