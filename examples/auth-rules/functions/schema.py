from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "teams": define_table({"name": v.string()}),
        "members": define_table({"team": v.id("teams"), "user": v.string()})
        .index("by_team_user", ["team", "user"])
        .index("by_user", ["user"]),
        "notes": define_table(
            {"team": v.union(v.id("teams"), v.null()), "author": v.string(), "text": v.string()}
        ),
    }
)
