"""Syncline: Python functions on AWS primitives, live in the official Convex clients."""
