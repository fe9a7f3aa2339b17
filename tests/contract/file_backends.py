"""What the contract of files' bytes runs against."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from syncline.aws.file_bucket import FileBucket
from syncline.file_ports import FileStore
from syncline.local.file_folder import FileFolder
from syncline.local_cloud.moto_objects import make_objects_faithful
from syncline.simulated.memory_files import MemoryFiles
from tests.contract.exchange_backends import BUCKET, moto_bucket

WithFiles = Callable[[Path], AbstractContextManager[FileStore]]
"""No files while the block begins; the folder is the adapter's own."""


@contextmanager
def in_folder(folder: Path) -> Generator[FileStore]:
    files = FileFolder(folder / "files")
    files.open()
    yield files
    files.close()


@contextmanager
def in_bucket(folder: Path) -> Generator[FileStore]:
    make_objects_faithful()
    with moto_bucket() as client:
        yield FileBucket(client, BUCKET)


@contextmanager
def in_memory(folder: Path) -> Generator[FileStore]:
    yield MemoryFiles()


FILE_STORES: dict[str, WithFiles] = {
    "folder": in_folder,
    "bucket": in_bucket,
    "memory": in_memory,
}
"""Every adapter by name: a new one is added here."""
