from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "emails": define_table(
            {
                "to": v.string(),
                "subject": v.string(),
                "body": v.string(),
                "job": v.union(v.id("_scheduled_functions"), v.null()),
                "outcome": v.union(v.literal("sent"), v.literal("refused"), v.null()),
            }
        )
    }
)
