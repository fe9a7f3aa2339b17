"""The browser for the browser tests: Chromium from PATH, or from Debian's packages.

`python -m scripts.chromium` prints its path; as root on Debian it is installed first if need be.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "apt-get update && apt-get install -y --no-install-recommends chromium"


def find_chromium() -> str | None:
    """Path of the first Chromium or Chrome on PATH."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def ensure_chromium() -> str:
    """Path of a Chromium; root on a Debian-like system gets it installed.

    Raises:
        RuntimeError: there is none and it can't be installed here; names the command to run.
    """
    if found := find_chromium():
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"the browser tests need Chromium on PATH; as root: {INSTALL}")
    for command in INSTALL.split(" && "):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = subprocess.run(
            command.split(), env=environment, capture_output=True, text=True, check=False
        )
        if quiet.returncode != 0:
            raise RuntimeError(f"`{command}` failed:\n{quiet.stderr[-2000:]}")
    if found := find_chromium():
        return found
    raise RuntimeError(f"no Chromium on PATH although this succeeded: {INSTALL}")


if __name__ == "__main__":
    try:
        print(ensure_chromium())
    except RuntimeError as error:
        sys.exit(f"error: {error}")
