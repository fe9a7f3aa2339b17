"""Tables of the functions that the client tests call."""

from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "tasks": define_table({"room": v.string(), "text": v.string()}).index("by_room", ["room"]),
        "counters": define_table({"name": v.string(), "value": v.number()}).index(
            "by_name", ["name"]
        ),
        "messages": define_table({"room": v.string(), "number": v.number()}).index(
            "by_room", ["room", "number"]
        ),
        "books": define_table(
            {"room": v.string(), "text": v.string(), "vector": v.optional(v.array(v.number()))}
        ).search_index("search_text", search_field="text", filter_fields=["room"]),
        "kept": define_table({"room": v.string(), "value": v.any()}).index("by_room", ["room"]),
    }
)
