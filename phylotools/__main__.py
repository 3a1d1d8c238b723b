"""``python -m phylotools`` is the console script ``phylotools``: where both begin.

Nothing is imported here that takes time: a signal is heeded from the first moment.
"""

import os
import signal
import sys


def main() -> None:
    """Run the command line, which ends the process."""
    # Whoever starts us may want interruptions ignored, as `nohup` and shells do.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)
    from phylotools.cli.main import main as command_line

    command_line()


def end_at_once(number: int, frame: object) -> None:
    """End where nothing has been begun yet, and raise nothing through what is being imported."""
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, as -m has it: no module comes from there
    main()
