"""Read whole collections of test data: `python campaigns/collections.py FOLDER...`; see `reading_collections`."""

import sys

if __name__ == "collections":
    # A script of this folder asked for Python's own module of this name and found this file first: give it that one.
    del sys.modules["collections"]
    folder = sys.path.pop(0)
    import collections  # noqa: F401

    sys.path.insert(0, folder)
else:
    from reading_collections import main

    if __name__ == "__main__":
        sys.exit(main())
