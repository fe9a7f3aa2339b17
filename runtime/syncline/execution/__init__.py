"""Running user code without I/O: contexts, the stepper of coroutines, and determinism.

Read `function_call.py` first, then `context.py`; `determinism/` says what a query or mutation may
not do. May import everything below it and `registration`; never a driver or an adapter.
"""
