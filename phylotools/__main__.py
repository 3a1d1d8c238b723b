"""``python -m phylotools`` is the console script ``phylotools``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, as -m has it: no module comes from there
    from phylotools.cli.main import main

    main()
