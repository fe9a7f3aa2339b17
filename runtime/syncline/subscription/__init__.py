"""Which queries a commit touches: interest in key ranges, kept by equality prefix.

Pure. Read `interest.py` first; the rules are protocols.md 17 and 18.
"""
