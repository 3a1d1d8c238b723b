"""``python -m phylotools`` is the console script ``phylotools``."""

from phylotools.cli.main import main

if __name__ == "__main__":
    main()
