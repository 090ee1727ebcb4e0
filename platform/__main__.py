"""``python -m calsweep.platform``: the command line, also from a checkout that is not installed."""

from calsweep.platform.command import main

if __name__ == "__main__":
    main()
