"""The part of a processor that goes with a function's memory on Lambda, by Linux's control groups; needs root."""

import os
import signal
import tempfile
import time
from pathlib import Path

# With so many MB a function has a processor to itself.
FULL_CPU_MB = 1769
PERIOD = 20_000  # microseconds
CGROUP_ROOT = Path("/sys/fs/cgroup")


class CpuQuota:
    """A control group whose members together get what `memory` MB give, up to one processor."""

    def __init__(self, memory):
        quota = PERIOD * min(memory, FULL_CPU_MB) // FULL_CPU_MB
        is_unified = (CGROUP_ROOT / "cgroup.controllers").exists()
        if is_unified:
            (CGROUP_ROOT / "cgroup.subtree_control").write_text("+cpu")
        self.cgroup = Path(tempfile.mkdtemp(prefix="gatehouse-", dir=CGROUP_ROOT if is_unified else CGROUP_ROOT / "cpu"))
        if is_unified:
            (self.cgroup / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (self.cgroup / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.cgroup / "cpu.cfs_quota_us").write_text(str(quota))

    def command(self, program):
        """What starts the program in the group, as the same process."""
        join = 'echo $$ > "$0/cgroup.procs" && exec "$1"'
        return ["/bin/sh", "-c", join, self.cgroup, program]

    def close(self):
        """Ends what is left in it."""
        members = self.cgroup / "cgroup.procs"
        while left := members.read_text().split():
            for process in left:
                os.kill(int(process), signal.SIGKILL)
            time.sleep(0.01)
        self.cgroup.rmdir()
