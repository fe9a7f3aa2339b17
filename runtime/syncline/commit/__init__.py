"""The commit protocol: what a commit is, when it conflicts, and what the log's tail remembers.

The log is the database. A mutation runs at a snapshot (`begin_ts`) without asking anyone, and its
commit is one item of one call, `Log.append`:

1. If (session, request) is already in the log, the recorded outcome is the answer: exactly once.
2. Under the head lock, a write key in (begin_ts, head] inside the read ranges is a conflict. A run
   whose begin_ts lies below the write-key horizon can't be judged and is too old: it runs again.
3. Otherwise the commit gets its ts, `max(head + 1, now)` by the database's clock or the caller's
   own proposal if that fits, is chained to its predecessor by (ts, nonce), and becomes the head.
4. Everything is flushed before the reply, whatever the reply says.

What becomes of one item of a batch:

| state          | by                                                | answer                 |
|----------------|---------------------------------------------------|------------------------|
| known          | (session, request) recorded, same identity        | Duplicate              |
| known          | recorded under another identity                   | Refused                |
| forgotten      | request at or below the session's pruned floor    | Refused                |
| too old        | begin_ts below the write-key horizon              | TooOld, nothing stored |
| overtaken      | a write key in (begin_ts, head] in a read range   | Conflict, same         |
| failed, valid  | a developer error seen on a snapshot that holds   | Recorded, no ts        |
| committed      | none of the above                                 | Committed              |

What becomes of a batch:

| caller stands on          | exclusive | answer                                                   |
|---------------------------|-----------|----------------------------------------------------------|
| the head                  | either    | Appended                                                 |
| an older commit           | yes       | HeadMoved with the missing commits; nothing is appended  |
| an older commit           | no        | Appended with the missing commits                        |
| a commit that is not here | either    | Reset: drop everything in memory and load again          |
| (any) the view lags       | either    | SlowDown; nothing is appended                            |

This package is pure: `record` has the shapes, `conflict` the rule, `tail` the newest commits in
memory. `syncline.ports.Log` is the door to the adapters that hold the log itself.
Rules: protocols.md 1 to 8.
"""
