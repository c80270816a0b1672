"""Peak resident memory of a command, for the table of README.md.

    python experiments/speed/memory.py diffig-evaluate method=gradient_x_input limit=16 ...

Prints one line: the largest resident set of the child in GB, its processor and wall seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

if __name__ == "__main__":
    start = time.perf_counter()
    code = subprocess.run(sys.argv[1:], check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter() - start
    gigabytes = used.ru_maxrss / 2**20  # kilobytes on Linux
    print(f"peak {gigabytes:.2f} GB, processor {used.ru_utime + used.ru_stime:.0f} s, wall {wall:.0f} s, exit {code}")
    raise SystemExit(code)
