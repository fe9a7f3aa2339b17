"""`python -m benchmarks.serve FUNCTIONS DATA PORT`: a dev server that prints failed calls only."""

import sys
from pathlib import Path

from syncline.local.dev_server import DevOptions, run_dev_server

if __name__ == "__main__":
    functions, data, port = sys.argv[1:4]
    options = DevOptions(
        functions=Path(functions), data=Path(data), port=int(port), watch=False, shows_calls=False
    )
    sys.exit(run_dev_server(options))
