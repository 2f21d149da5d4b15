"""The part of a processor that goes with a function's memory on Lambda, by Linux's control groups; needs root."""

import os
import signal
import tempfile
import time
from pathlib import Path

# With so many MB a function has a processor to itself.
WHOLE = 1769
PERIOD = 20_000  # microseconds
GROUPS = Path("/sys/fs/cgroup")


class Share:
    """A control group whose members together get what `memory` MB give, up to one processor."""

    def __init__(self, memory):
        quota = PERIOD * min(memory, WHOLE) // WHOLE
        is_unified = (GROUPS / "cgroup.controllers").exists()
        if is_unified:
            (GROUPS / "cgroup.subtree_control").write_text("+cpu")
        self.group = Path(tempfile.mkdtemp(prefix="share-", dir=GROUPS if is_unified else GROUPS / "cpu"))
        if is_unified:
            (self.group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (self.group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.group / "cpu.cfs_quota_us").write_text(str(quota))

    def command(self, program):
        """What starts the program in the group, as the same process."""
        join = 'echo $$ > "$0/cgroup.procs" && exec "$1"'
        return ["/bin/sh", "-c", join, self.group, program]

    def close(self):
        """Ends what is left in it."""
        members = self.group / "cgroup.procs"
        while left := members.read_text().split():
            for process in left:
                os.kill(int(process), signal.SIGKILL)
            time.sleep(0.01)
        self.group.rmdir()
