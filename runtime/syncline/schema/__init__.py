"""Shapes of data: validators, schema definitions, conformance, and the catalog of tables."""
