"""Validators that everything fits, and the indexes of the second bundle."""

from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "counters": define_table({"name": v.string(), "value": v.number()}).index(
            "by_name", ["name"]
        ),
        "messages": define_table(
            {
                "channel": v.string(),
                "text": v.string(),
                "author": v.union(v.string(), v.null()),
            }
        ).index("by_channel", ["channel"]),
    }
)
