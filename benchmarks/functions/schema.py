"""The benchmark's tables: the same documents as in the peers' measurements."""

from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "messages": define_table(
            {"channel": v.string(), "n": v.number(), "seq": v.number(), "body": v.string()}
        ).index("by_channel", ["channel", "n"]),
        "inserts": define_table({"author": v.string(), "body": v.string()}),
    }
)
