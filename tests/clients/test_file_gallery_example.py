"""examples/file-gallery: its program with the official PyPI client, and plain HTTP."""

import hashlib
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.clients.conftest import ServeExample
from tests.clients.server import PROJECT, DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "file-gallery"
PROGRAM = [sys.executable, str(EXAMPLE / "gallery.py")]


@pytest.fixture(scope="module")
def gallery(example: ServeExample) -> DevServer:
    return example("file-gallery")


def run(server: DevServer, *arguments: str) -> str:
    environment = {**os.environ, "SYNCLINE_URL": server.url}
    command = [*PROGRAM, *arguments]
    return subprocess.run(
        command, env=environment, check=True, timeout=40, capture_output=True, text=True
    ).stdout.strip()


def got(url: str) -> tuple[str, str]:
    """Content type and SHA-256 of what is served there."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.headers["Content-Type"], hashlib.sha256(answer.read()).hexdigest()


def shown(program: "subprocess.Popen[str]") -> list[list[str]]:
    """The images of the next result: title, size, address."""
    assert program.stdout is not None
    lines: list[list[str]] = []
    for line in program.stdout:
        if not line.strip():
            return lines
        lines.append(re.split(r"  +", line.strip()))
    raise AssertionError("the program has ended")


def refusal(request: urllib.request.Request | str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()
    return caught.value.code


def test_images_come_both_ways_and_are_followed_served_and_removed(
    gallery: DevServer, tmp_path: Path
):
    cat, dog = tmp_path / "cat.png", tmp_path / "dog.jpg"
    cat.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(200_000))
    dog.write_bytes(os.urandom(300_000))
    digests = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (cat, dog)}
    follower = subprocess.Popen(
        PROGRAM,
        env={**os.environ, "SYNCLINE_URL": gallery.url},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert shown(follower) == []
        run(gallery, "--add", str(cat))
        [[title, size, url]] = shown(follower)
        assert (title, size) == ("cat", "200008 bytes")
        assert got(url) == ("image/png", digests["cat"])
        file = run(gallery, "--post", str(dog))
        assert [image[0] for image in shown(follower)] == ["dog", "cat"]
        address = f"{gallery.site}/image?file={file}"
        assert got(address) == ("image/jpeg", digests["dog"])
        newest = gallery.query("images:newest")[0]
        gallery.mutation("images:remove", image=newest["_id"])
        assert [image[0] for image in shown(follower)] == ["cat"]
        assert refusal(address) == 404
    finally:
        follower.kill()
        follower.communicate()


def test_what_is_no_image_or_too_large_is_refused_by_both_ways(gallery: DevServer):
    before = gallery.query("images:newest")
    for url in (f"{gallery.site}/upload", gallery.mutation("images:upload_url")):
        page = urllib.request.Request(url, b"<p>", {"Content-Type": "text/html"})
        assert refusal(page) == 415
        large = urllib.request.Request(url, bytes(4_000_001), {"Content-Type": "image/png"})
        assert refusal(large) == 413
    assert refusal(f"{gallery.site}/image?file=nonsense") == 404
    assert gallery.query("images:newest") == before


def test_a_snapshot_has_the_files_by_both_command_lines(gallery: DevServer, tmp_path: Path):
    cat = tmp_path / "cat.png"
    cat.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(50_000))
    run(gallery, "--add", str(cat))
    digest = hashlib.sha256(cat.read_bytes()).hexdigest()
    before = [(image["_id"], image["file"]) for image in gallery.query("images:newest")]
    project = DeployedProject(gallery, tmp_path)
    project.convex("export", "--include-file-storage", "--path", "official.zip")
    project.syncline("export", "--include-file-storage", "--path", "own.zip")
    for command, snapshot in ((project.syncline, "official.zip"), (project.convex, "own.zip")):
        command("import", "--replace", "--yes", snapshot)
        images = gallery.query("images:newest")
        assert [(image["_id"], image["file"]) for image in images] == before
        assert got(images[0]["url"]) == ("image/png", digest)
