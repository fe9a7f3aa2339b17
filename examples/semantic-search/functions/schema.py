"""Notes, found by what they mean."""

from syncline import define_schema, define_table, v

from ._embedding import DIMENSIONS

schema = define_schema(
    {
        "notes": define_table(
            {"notebook": v.string(), "text": v.string(), "embedding": v.array(v.number())}
        ).vector_index(
            "by_meaning",
            vector_field="embedding",
            dimensions=DIMENSIONS,
            filter_fields=["notebook"],
        )
    }
)
