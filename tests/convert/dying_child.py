"""A child that the kernel kills, as it does when memory runs out."""

import os
import signal

os.kill(os.getpid(), signal.SIGKILL)
