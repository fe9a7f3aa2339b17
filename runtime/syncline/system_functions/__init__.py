"""The functions that every deployment has, `_system/...`: for admins and for the server itself.

They are ordinary queries and mutations, except that they may write system tables and keep the
`_id` and `_creationTime` of documents that they insert. `cli/` answers the official command line
under the names that it asks for (convex-protocol.md 7.2); the rest is ours.
"""
