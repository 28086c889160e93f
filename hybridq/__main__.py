"""``python -m hybridq``: the same as the command ``hybridq``."""

from hybridq.cli.main import main

main()
