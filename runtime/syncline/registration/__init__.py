"""What users declare: decorators, signatures as validators, and loading a folder of functions.

Start with `registry.py` (the data), then `decorators.py`, `signature.py` and `loader.py`. The
package may import `values`, `schema` and `errors`, and the determinism layers of `execution`, which
decide what a loaded module sees of the world.
"""
