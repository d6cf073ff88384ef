"""python -m instagan COMMAND; see --help."""

import sys

from instagan.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
