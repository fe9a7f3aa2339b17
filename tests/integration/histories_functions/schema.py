"""Tables of the functions whose histories are judged."""

from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "counters": define_table({"name": v.string(), "value": v.number()}).index(
            "by_name", ["name"]
        ),
        "accounts": define_table(
            {"pair": v.string(), "side": v.number(), "money": v.number()}
        ).index("by_pair", ["pair", "side"]),
        "lists": define_table({"key": v.string(), "values": v.array(v.number())}).index(
            "by_key", ["key"]
        ),
        "entries": define_table(
            {"key": v.string(), "position": v.number(), "value": v.number()}
        ).index("by_key", ["key", "position"]),
    }
)
