"""What keeps queries and mutations repeatable: a result depends on its recorded inputs alone.

Layers, in order of evaluation (each catches what the one before can't see):

1. `source_check`: rules on the source, when a folder is loaded.
2. `import_gate`, `stand_in`, `facades`: user modules run with curated builtins, and what queries
   and mutations may not use (`refusals`) is bound to stand-ins that ask who is calling.
3. `call_state`: the clock, the seed, log lines and violations of the call being stepped.
4. `audit_guard`: a backstop for files, sockets and processes, also inside libraries.
5. `time_limit`: interrupts a call that keeps the processor for too long.
6. `rerun_check`: runs a call twice and compares, in development and tests.

This catches mistakes; it does not contain hostile code. What needs the network is an action.
"""
