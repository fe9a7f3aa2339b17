from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "payments": define_table(
            {
                "event": v.string(),
                "order": v.string(),
                "amount": v.number(),
                "currency": v.string(),
            }
        )
        .index("by_event", ["event"])
        .index("by_order", ["order"]),
    }
)
