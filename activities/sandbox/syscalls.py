"""System calls that an isolated tool never needs, as a filter for the kernel: numbers by machine, and its program."""

import ctypes
import platform
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Unsupported", "filter_program"]

_COMMON = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435,
    "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip
_X86_64 = {
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "clone": 56,
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "rt_sigqueueinfo": 129, "personality": 135,
    "pivot_root": 155, "chroot": 161, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "tkill": 200, "clock_settime": 227, "tgkill": 234, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "unshare": 272, "accept4": 288, "rt_tgsigqueueinfo": 297,
    "perf_event_open": 298, "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304, "sendmmsg": 307,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "personality": 92, "unshare": 97,
    "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112, "ptrace": 117, "kill": 129,
    "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "reboot": 142, "sethostname": 161, "settimeofday": 170,
    "socket": 198, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211,
    "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "swapon": 224, "swapoff": 225,
    "rt_tgsigqueueinfo": 240, "perf_event_open": 241, "accept4": 242, "prlimit64": 261, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "setns": 268, "sendmmsg": 269, "process_vm_readv": 270, "process_vm_writev": 271,
    "kcmp": 272, "finit_module": 273, "bpf": 280, "execveat": 281, "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip
_MACHINES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _AARCH64),
}
_ONLY_NULL = ("sendto",)
"""Allowed with an empty address: on a connected pair, as the event loop wakes itself."""
_OWN_PID = ("kill", "tgkill")
"""Allowed on itself: that is how a program aborts."""
_NO_PID = ("prlimit64",)
"""Allowed with no process named: on itself."""

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050000 | 1, 0x00050000 | 38
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000


class Unsupported(RuntimeError):  # noqa: N818 - said of the machine
    """This machine cannot contain a tool; the message says what is missing."""


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


class FilterProgram(NamedTuple):
    """What `prctl(PR_SET_SECCOMP)` takes; `steps` must live as long as the call."""

    program: ctypes.Structure
    steps: object


def filter_program(pid: int) -> FilterProgram:
    """A filter that refuses (EPERM) what reaches out: sockets, other processes, other programs, the machine itself.

    Raises:
        Unsupported: the numbers of this machine's system calls are not known here.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise Unsupported(f"no system call filter for {machine}")
    architecture, numbers = _MACHINES[machine]
    known = {**numbers, **_COMMON}
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _EPERM),
    ]
    for name, number in sorted(known.items()):
        verdict = _verdict(name, pid)
        steps += [(_JUMP_EQUAL, 0, len(verdict), number), *verdict]
    steps.append((_RETURN, 0, 0, _ALLOW))
    array = (_Step * len(steps))(*(_Step(*step) for step in steps))
    return FilterProgram(_Program(len(steps), array), array)


def _verdict(name: str, pid: int) -> list[tuple[int, int, int, int]]:
    """The steps for one call, each path of which returns."""
    if name == "clone3":
        return [(_RETURN, 0, 0, _ENOSYS)]  # its flags lie in memory that a filter cannot read: libraries use clone then
    if name == "clone":
        return _if(_JUMP_SET, 0, _CLONE_THREAD)
    if name in _OWN_PID:
        return _if(_JUMP_EQUAL, 0, pid)
    if name in _NO_PID:
        return _if(_JUMP_EQUAL, 0, 0)
    if name in _ONLY_NULL:
        low, high = _ARGUMENTS + 8 * 4, _ARGUMENTS + 8 * 4 + 4
        return [
            (_LOAD, 0, 0, low), (_JUMP_EQUAL, 0, 3, 0), (_LOAD, 0, 0, high), (_JUMP_EQUAL, 0, 1, 0),
            (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM),
        ]  # fmt: skip
    return [(_RETURN, 0, 0, _EPERM)]


def _if(jump: int, argument: int, value: int) -> list[tuple[int, int, int, int]]:
    """Allow where the low half of an argument compares so."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (jump, 0, 1, value),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
