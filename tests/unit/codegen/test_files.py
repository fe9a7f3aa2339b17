"""Generated text for every validator, for paths of every depth, for schemas of every kind."""

import ast

import pytest

from syncline.bundle_spec import BundleSpec, FunctionSpec, JsonValue
from syncline.codegen.files import python_file, typescript_files
from syncline.codegen.typescript import typescript_type
from syncline.schema.definition import define_schema, define_table
from syncline.schema.validators import v
from syncline.values.value import Int64

ANYTHING: JsonValue = {"type": "any"}


def function(
    path: str, kind: str = "query", visibility: str = "public", args: JsonValue = ANYTHING
) -> FunctionSpec:
    return FunctionSpec(path, kind, visibility, args, ANYTHING)  # type: ignore[arg-type] # literals


@pytest.mark.parametrize(
    ("validator", "expected"),
    [
        (v.null(), "null"),
        (v.number(), "number"),
        (v.int64(), "bigint"),
        (v.boolean(), "boolean"),
        (v.string(), "string"),
        (v.bytes(), "ArrayBuffer"),
        (v.any(), "any"),
        (v.id("tasks"), 'GenericId<"tasks">'),
        (v.literal('a"b'), '"a\\"b"'),
        (v.literal(1), "1"),
        (v.literal(1.5), "1.5"),
        (v.literal(True), "true"),
        (v.literal(Int64(-7)), "-7n"),
        (v.array(v.union(v.string(), v.null())), "Array<string | null>"),
        (v.record(v.string(), v.number()), "Record<string, number>"),
        (v.union(v.string(), v.string()), "string"),
        (v.union(), "never"),
        (v.object({}), "Record<string, never>"),
        (
            v.object({"b-c": v.optional(v.string()), "a": v.object({"x": v.null()})}),
            '{ a: { x: null }; "b-c"?: string }',
        ),
        (
            v.object({"numItems": v.number(), "cursor": v.union(v.string(), v.null())}),
            "PaginationOptions",
        ),
        (
            v.object(
                {
                    "page": v.array(v.string()),
                    "isDone": v.boolean(),
                    "continueCursor": v.string(),
                }
            ),
            "PaginationResult<string>",
        ),
    ],
)
def test_every_validator_has_a_typescript_type(validator: object, expected: str):
    assert typescript_type(validator.to_json()) == expected  # type: ignore[attr-defined] # a Validator


def test_the_api_is_one_nested_type_without_system_functions():
    spec = BundleSpec(
        (
            function("tasks:get"),
            function("admin/users:list"),
            function("admin/users:ban", "mutation", "internal"),
            function("_system/cli/tables:default"),
        ),
        {},
        None,
    )
    text = typescript_files(spec)["api.d.ts"]
    public, internal = text.split("export declare const internal")
    assert "    users: {\n      list: FunctionReference<" in public
    assert 'get: FunctionReference<"query", "public", any, any>' in public
    assert 'ban: FunctionReference<"mutation", "internal", any, any>' in internal
    assert "get:" not in internal
    assert "_system" not in text


def test_a_function_and_a_module_of_one_name_are_both_there():
    spec = BundleSpec((function("a:b"), function("a/b:c")), {}, None)
    text = typescript_files(spec)["api.d.ts"]
    assert 'b: FunctionReference<"query", "public", any, any> & {\n' in text


def test_generating_twice_gives_the_same_text_whatever_the_order():
    functions = (function("b:x"), function("a:y"))
    forward = typescript_files(BundleSpec(functions, {}, None))
    assert forward == typescript_files(BundleSpec(functions[::-1], {}, None))


def test_an_empty_project_has_an_empty_api():
    files = typescript_files(BundleSpec((), {}, None))
    assert set(files) == {"api.js", "api.d.ts", "dataModel.d.ts"}
    assert "export declare const api: {\n};" in files["api.d.ts"]
    assert "AnyDataModel" in files["dataModel.d.ts"]


SCHEMA = define_schema(
    {
        "tasks": define_table({"text": v.string(), "class": v.optional(v.int64())}),
        "people": define_table(
            v.union(
                v.object({"kind": v.literal("a"), "deep": v.object({"x": v.number()})}),
                v.object({"kind": v.literal("b"), "n": v.literal(1.5)}),
            )
        ).index("by_kind", ["kind", "deep.x"]),
        "anything": define_table(v.any()),
    }
).to_json()


def test_the_data_model_has_documents_paths_and_indexes_of_every_table():
    text = typescript_files(BundleSpec((), {}, SCHEMA))["dataModel.d.ts"]
    assert (
        '    document: { _creationTime: number; _id: GenericId<"tasks">; class?: bigint; '
        "text: string };\n" in text
    )
    assert '    fieldPaths: "_creationTime" | "_id" | "deep" | "deep.x" | "kind" | "n";\n' in text
    assert '      "by_kind": ["kind", "deep.x", "_creationTime"];\n' in text
    assert "  anything: {\n    document: any;\n" in text


def test_the_python_stub_is_valid_and_has_a_type_for_every_table():
    text = python_file(BundleSpec((), {}, SCHEMA))
    names = {
        node.target.id
        for node in ast.parse(text).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert names == {"TasksDocument", "PeopleDocument", "AnythingDocument"}
    assert "class PeopleDeep(TypedDict):\n    x: float" in text
    assert "PeopleDocument: TypeAlias = People | People2" in text
    assert "'class': NotRequired[Int64]," in text
    assert "n: float" in text


def test_without_a_schema_the_stub_has_no_tables():
    assert "TypeAlias =" not in python_file(BundleSpec((), {}, None))
