"""``python -m parsl_tl.cli``."""

import sys

from parsl_tl.cli.main import main

sys.exit(main())
