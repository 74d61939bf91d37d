"""`python -m benchmarks`, which `make bench` runs."""

import os
import sys

from benchmarks.agent_run import main

code = main()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # temporalio can abort at interpreter exit
