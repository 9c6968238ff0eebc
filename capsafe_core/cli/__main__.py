"""`python -m capsafe_core.cli`: the `capsafe` command."""

from capsafe_core.cli import main

main()
