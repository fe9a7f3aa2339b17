from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "images": define_table({"title": v.string(), "file": v.id("_storage")}).index(
            "by_file", ["file"]
        )
    }
)
