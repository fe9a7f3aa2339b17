from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "rates": define_table(
            {
                "base": v.string(),
                "currency": v.string(),
                "rate": v.number(),
                "day": v.string(),
            }
        ).index("by_pair", ["base", "currency"]),
    }
)
