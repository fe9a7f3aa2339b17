"""One table, one index."""

from syncline import define_schema, define_table, v

schema = define_schema({
    "messages": define_table({"channel": v.string(), "body": v.string()}).index(
        "by_channel", ["channel"]
    )
})  # fmt: skip
