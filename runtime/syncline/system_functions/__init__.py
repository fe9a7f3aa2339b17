"""The built-in `_system/...` functions: ordinary decorated functions that only admins may call.

A module `cli/tables.py` here serves `_system/cli/tables:...`; every bundle has all of them
(`registration/system_functions.py`).
"""
