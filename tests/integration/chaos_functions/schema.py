"""Tables of the functions that the chaos test calls."""

from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "entries": define_table({"client": v.string(), "number": v.number()}),
        "tallies": define_table(
            {"client": v.string(), "count": v.number(), "sum": v.number()}
        ).index("by_client", ["client"]),
        "phases": define_table({"name": v.string()}),
    }
)
