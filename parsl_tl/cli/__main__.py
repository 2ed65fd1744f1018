"""``python -m parsl_tl.cli``."""

import sys

from parsl_tl.cli.program import main

sys.exit(main())
