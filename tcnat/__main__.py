"""``python -m tcnat``: the same as the command ``tcnat``."""

from tcnat.cli import main

main()
