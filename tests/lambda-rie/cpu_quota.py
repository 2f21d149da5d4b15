"""Limits a process to the CPU share that Lambda gives for a memory size, with Linux control groups; needs root."""

import os
import signal
import tempfile
import time
from pathlib import Path

# With this memory size in MB a function has one full vCPU.
FULL_CPU_MB = 1769
PERIOD = 20_000  # microseconds
CGROUP_ROOT = Path("/sys/fs/cgroup")


class CpuQuota:
    """A control group with the CPU share for `memory` MB, at most one vCPU."""

    def __init__(self, memory):
        quota = PERIOD * min(memory, FULL_CPU_MB) // FULL_CPU_MB
        is_unified = (CGROUP_ROOT / "cgroup.controllers").exists()
        if is_unified:
            (CGROUP_ROOT / "cgroup.subtree_control").write_text("+cpu")
        self.cgroup = Path(
            tempfile.mkdtemp(prefix="gatehouse-", dir=CGROUP_ROOT if is_unified else CGROUP_ROOT / "cpu")
        )
        if is_unified:
            (self.cgroup / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (self.cgroup / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.cgroup / "cpu.cfs_quota_us").write_text(str(quota))

    def command(self, program):
        """Returns a command that joins the group and then replaces itself by the program."""
        join = 'echo $$ > "$0/cgroup.procs" && exec "$1"'
        return ["/bin/sh", "-c", join, self.cgroup, program]

    def close(self):
        """Kills the processes in the group and removes it."""
        members = self.cgroup / "cgroup.procs"
        while pids := members.read_text().split():
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        self.cgroup.rmdir()
