"""Writing generated types where editors and clients look for them."""

from pathlib import Path

from syncline.bundle_spec import BundleSpec
from syncline.codegen.files import PYTHON_FILE, python_file, typescript_files


def write_generated(
    spec: BundleSpec, typescript: Path | None, functions: Path | None
) -> list[Path]:
    """Write the generated files; returns those that changed.

    Args:
        spec: what a bundle declares.
        typescript: the folder for `api.js` and its types, "convex/_generated" of an app.
        functions: the functions folder, which gets `_generated/data_model.pyi`.
    """
    wanted: dict[Path, str] = {}
    if typescript is not None:
        wanted |= {typescript / name: text for name, text in typescript_files(spec).items()}
    if functions is not None:
        wanted[functions / "_generated" / PYTHON_FILE] = python_file(spec)
    changed = [path for path, text in wanted.items() if _write(path, text)]
    return sorted(changed)


def refresh_generated(spec: BundleSpec, functions: Path) -> list[Path]:
    """Bring generated files up to date where there are some; returns those that changed.

    `syncline codegen` makes them first: `convex/_generated` beside the functions folder and
    `_generated` inside it.
    """
    typescript = functions.resolve().parent / "convex" / "_generated"
    stubs = (functions / "_generated").is_dir()
    return write_generated(
        spec, typescript if typescript.is_dir() else None, functions if stubs else None
    )


def _write(path: Path, text: str) -> bool:
    """Unchanged files are left alone, so that watchers and bundlers stay quiet."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
