"""Types for clients and for editors, generated from what a bundle declares.

`files.py` says which files there are; `typescript.py` and `python_types.py` spell validators in the
two languages. Text in, text out; who calls it writes the files.
"""
