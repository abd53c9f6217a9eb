"""`python -m gateway.cli`: the callboard command."""

import sys

from gateway.entry import main

sys.exit(main())
