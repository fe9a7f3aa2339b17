"""The WebSocket sync protocol as pure values: messages, frames and the session machine.

Read `session.py` first, then docs/sessions.md; the wire is convex-protocol.md section 1, the order
rules are protocols.md 19 and 20. Nothing here does I/O, knows a clock or runs a function.
"""
