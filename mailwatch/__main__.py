"""`python -m mailwatch` is the `mailwatch` command."""

from mailwatch.cli import main

main()
