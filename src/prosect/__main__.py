"""`python -m prosect` is `prosect`."""

from __future__ import annotations

import sys

from prosect.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
