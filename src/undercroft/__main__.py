"""`python -m undercroft` is the `undercroft` command."""

import sys

from undercroft.cli.main import main

sys.exit(main())
