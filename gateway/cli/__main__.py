"""`python -m gateway.cli`: the callboard command."""

import sys

from gateway.cli import main

sys.exit(main())
