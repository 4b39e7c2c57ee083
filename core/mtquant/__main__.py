"""``python -m mtquant``: the command, where no script is on the path."""

from mtquant.cli import main

main()
