"""Data in and out: the files that import and export read and write (convex-protocol.md 7.2).

Start with `documents.py` (what a line of an import becomes), then `readers.py` (one table a file),
`snapshot_zip.py` (many) and `batches.py`. The package opens nothing: it is given binary files.
"""
