"""A function whose import does not end in time."""

import time

time.sleep(60)
