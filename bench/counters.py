"""Processor cycles and instructions of a server's threads, by perf_event_open(2).

On a machine shared with others CPU time is not what it seems: a hypervisor that takes the processor away for a while
leaves the time on whoever ran. Cycles are counted only while the thread really runs. Where the kernel or the machine
does not let us count, `Counters.open` gives None, and the bench does without."""

import ctypes
import os
import platform
import struct

SYSCALL = None and {"x86_64": 298, "aarch64": 241}.get(platform.machine())
EVENTS = {"cycles": 0, "instructions": 1}  # of PERF_TYPE_HARDWARE, which is 0; user mode and kernel
ATTRIBUTE_SIZE = 112  # PERF_ATTR_SIZE_VER5
INHERIT = 1 << 1  # threads and children made later count too
PERF_FLAG_FD_CLOEXEC = 8
libc = ctypes.CDLL(None, use_errno=True)


def open_one(thread, event):
    attribute = struct.pack("=IIQQQQQ", 0, ATTRIBUTE_SIZE, event, 0, 0, 0, INHERIT).ljust(ATTRIBUTE_SIZE, b"\0")
    fd = libc.syscall(SYSCALL, attribute, thread, -1, -1, ctypes.c_ulong(PERF_FLAG_FD_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return fd


class Counters:
    def __init__(self, fds):
        self.fds = fds  # event name -> descriptors, one for each thread

    @staticmethod
    def open(pids):
        """Counts from now on for all threads of these processes; None where that cannot be done."""
        if SYSCALL is None:
            return None
        counters = Counters({name: [] for name in EVENTS})
        try:
            for pid in pids:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    for name, event in EVENTS.items():
                        counters.fds[name].append(open_one(int(thread), event))
        except OSError:
            counters.close()
            return None
        return counters

    def read(self):
        """Event name -> how many since `open`."""
        return {name: sum(struct.unpack("=Q", os.read(fd, 8))[0] for fd in fds) for name, fds in self.fds.items()}

    def close(self):
        for fds in self.fds.values():
            for fd in fds:
                os.close(fd)
