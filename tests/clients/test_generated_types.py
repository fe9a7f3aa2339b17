"""Generated types with the official package: what fits type-checks, what does not is an error."""

import subprocess
from pathlib import Path

import pytest

from scripts.node_toolchain import install_packages, node_toolchain
from syncline.codegen.files import typescript_files
from syncline.registration.loader import load_bundle
from tests.clients.server import PROJECT

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "quickstart-react"

FUNCTIONS = """
from typing import Annotated, Literal, NotRequired, TypedDict

from syncline import Id, Int64, PaginationOptions, PaginationResult
from syncline import internal_mutation, mutation, query, v

class Filter(TypedDict):
    kind: Literal["a", "b"]
    limit: NotRequired[int]

@query
async def every(
    ctx, filter: Filter, big: Int64, raw: bytes, tags: list[str] | None = None
) -> dict[str, float]:
    return {}

@query
async def untyped(ctx):
    return 1

@query
async def pages(
    ctx, paginationOpts: PaginationOptions, of: Annotated[Id, v.id("notes")]
) -> PaginationResult:
    return await ctx.db.query("notes").paginate(paginationOpts)

@mutation
async def change(ctx, id: Annotated[Id, v.id("notes")]) -> None:
    pass

@internal_mutation
async def hidden(ctx) -> None:
    pass
"""

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "notes": define_table({"text": v.string(), "meta": v.object({"n": v.int64()})})
        .index("by_text", ["text", "meta.n"]),
    "any": define_table(v.any()),
})
"""

USE = """
import { ConvexHttpClient } from "convex/browser";
import { useMutation, usePaginatedQuery, useQuery } from "convex/react";
import type { FunctionReturnType } from "convex/server";
import { api, internal } from "./convex/_generated/api";
import type { Doc, Id, TableNames } from "./convex/_generated/dataModel";

declare const id: Id<"notes">;
declare const otherId: Id<"any">;
declare const note: Doc<"notes">;

const good = { filter: { kind: "a" as const }, big: 1n, raw: new ArrayBuffer(1) };
const numbers: Record<string, number> | undefined = useQuery(api.dir.all.every, good);
useQuery(api.dir.all.every, { ...good, tags: null });
useQuery(api.dir.all.every, "skip");
useQuery(api.dir.all.untyped);
const anything: FunctionReturnType<typeof api.dir.all.untyped> = "whatever";
usePaginatedQuery(api.dir.all.pages, { of: id }, { initialNumItems: 5 });
useMutation(api.dir.all.change)({ id });
void new ConvexHttpClient("http://x").mutation(api.dir.all.change, { id });
const table: TableNames = "notes";
const size: bigint = note.meta.n;
void [numbers, anything, table, size, internal.dir.all.hidden];

// @ts-expect-error a literal that is not in the union
useQuery(api.dir.all.every, { ...good, filter: { kind: "c" } });
// @ts-expect-error a number is no bigint
useQuery(api.dir.all.every, { ...good, big: 1 });
// @ts-expect-error an argument is missing
useQuery(api.dir.all.every, { big: 1n });
// @ts-expect-error an argument too many
useMutation(api.dir.all.change)({ id, more: 1 });
// @ts-expect-error an id of another table
useMutation(api.dir.all.change)({ id: otherId });
// @ts-expect-error a mutation is no query
useQuery(api.dir.all.change, { id });
// @ts-expect-error internal functions are not in the public api
void api.dir.all.hidden;
// @ts-expect-error there is no such function
void api.dir.all.nothing;
// @ts-expect-error there is no such table
const missing: TableNames = "none";
// @ts-expect-error a field that is not in the schema
void note.title;
void missing;
"""

CONFIG = """{
  "compilerOptions": {
    "target": "ES2022", "lib": ["ES2022", "DOM"], "module": "ESNext", "strict": true,
    "moduleResolution": "bundler", "jsx": "react-jsx", "noEmit": true, "skipLibCheck": false,
    "types": []
  },
  "include": ["*.ts", "convex"]
}"""


def test_generated_types_accept_what_fits_and_refuse_what_does_not(tmp_path: Path):
    folder = tmp_path / "functions"
    (folder / "dir").mkdir(parents=True)
    (folder / "dir" / "all.py").write_text(FUNCTIONS)
    (folder / "schema.py").write_text(SCHEMA)
    generated = tmp_path / "convex" / "_generated"
    generated.mkdir(parents=True)
    for name, text in typescript_files(load_bundle(folder, "types").spec).items():
        (generated / name).write_text(text)
    (tmp_path / "use.ts").write_text(USE)
    (tmp_path / "tsconfig.json").write_text(CONFIG)
    install_packages(EXAMPLE)
    (tmp_path / "node_modules").symlink_to(EXAMPLE / "node_modules")
    toolchain = node_toolchain()
    answer = subprocess.run(
        toolchain.command("npx", "tsc", "--noEmit", "-p", "."),
        cwd=tmp_path,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("example", "functions"),
    [
        ("quickstart-react", "functions"),
        ("quickstart-expo", "functions"),
        ("auth-rules", "examples/auth-rules/functions"),
        ("chat", "examples/chat/functions"),
    ],
)
def test_an_example_s_generated_files_are_those_of_its_functions(example: str, functions: str):
    spec = load_bundle(PROJECT / functions, example).spec
    folder = PROJECT / "examples" / example / "convex" / "_generated"
    for name, text in typescript_files(spec).items():
        assert (folder / name).read_text() == text, (
            f"run: syncline codegen --no-stubs --functions {functions} --out {folder}"
        )
