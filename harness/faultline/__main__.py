"""`python3 -m faultline`."""

import sys

from .cli import main

sys.exit(main())
