"""Follow the gallery, or add an image to it.

python gallery.py                      every image, each time that something changes
python gallery.py --add cat.png        by an upload URL and a mutation
python gallery.py --post cat.png       by the HTTP action
"""

import json
import mimetypes
import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from convex import ConvexClient

URL = os.environ.get("SYNCLINE_URL", "http://127.0.0.1:3210")


def post(url: str, image: Path) -> dict[str, Any]:
    kind = mimetypes.guess_type(image.name)[0] or "application/octet-stream"
    headers = {"Content-Type": kind}
    request = urllib.request.Request(url, image.read_bytes(), headers)  # noqa: S310 - the deployment
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return json.load(answer)


def add(image: Path) -> None:
    client = ConvexClient(URL)
    stored = post(client.mutation("images:upload_url"), image)
    client.mutation("images:add", {"title": image.stem, "file": stored["storageId"]})


def follow() -> None:
    for images in ConvexClient(URL).subscribe("images:newest"):
        for image in images:
            print(f"{image['title']}  {image['size']:.0f} bytes  {image['url']}")
        print(flush=True)


match sys.argv[1:]:
    case []:
        follow()
    case ["--add", name]:
        add(Path(name))
    case ["--post", name]:
        title = urllib.parse.quote(Path(name).stem)
        print(post(f"{URL}/http/upload?title={title}", Path(name))["file"])
    case _:
        sys.exit(__doc__)
