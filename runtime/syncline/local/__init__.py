"""The embedded deployment: everything on one machine, in one data folder.

`dev_server.py` composes it; the other files are adapters, one per port.
"""
