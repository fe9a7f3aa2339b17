"""The `syncline` command. Start with `app.py`; commands lie by topic in `*_commands.py`.

What it tells a person goes to standard error or is formatted for reading; with `--json`, standard
output is JSON and nothing else.
"""
