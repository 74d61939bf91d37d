"""The walls around an isolated tool, put up by its own process before any of its code runs. They cannot be taken down.

Needs nothing of the machine's owner: Landlock and system call filters are for every process. Only ctypes is used,
because the process that puts them up should depend on as little as possible.
"""

import ctypes
import os
import platform
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from activities.sandbox.syscalls import Unsupported, filter_program

__all__ = ["Unsupported", "put_up"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 1, 4, 38, 22, 2
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_MIN_ABI = 1
_NET_ABI, _SCOPE_ABI = 4, 6
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""What can be allowed on a file: execute, write, read, truncate, device control."""
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_EXECUTE, _MAKE_DEVICES = 1 << 0, 1 << 6 | 1 << 9 | 1 << 11
_NOBODY = 65_534
_CAPABILITIES_V3 = 0x20080522
_SYSTEM_FILES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache",
    "/dev/null", "/dev/urandom", "/dev/zero",
)  # fmt: skip
_MAX_FILE_BYTES = 16 * 1024 * 1024
_MAX_OPEN_FILES = 64
_libc = ctypes.CDLL(None, use_errno=True)


def put_up(readable: Sequence[Path], writable: Path, *, memory_bytes: int, cpu_s: int) -> None:
    """Contain this process for the rest of its life.

    Args:
        readable: folders with the code that it runs, beside Python's own.
        writable: its own folder.
        memory_bytes: address space, threads' stacks included.
        cpu_s: processor time; the kernel kills it a second later.

    Raises:
        Unsupported: the machine has no such walls.
    """
    if sys.platform != "linux":
        raise Unsupported(f"isolated tools need Linux; this is {sys.platform}")
    parent = os.getppid()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    places = [*(place for place in _python_folders()), *readable]
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    _give_up_rights(places, writable)
    # After the change of user, which resets both.
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise Unsupported("its worker is gone")
    _fence_files(places, writable)
    made = filter_program(os.getpid())
    if _libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(made.program), 0, 0):
        raise Unsupported(f"system calls cannot be filtered: {os.strerror(ctypes.get_errno())}")


def _python_folders() -> Iterator[Path]:
    """Python's own library and the installed packages; never the clone, which may hold `.env` and keys."""
    for name in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield from Path(name).glob("lib*/python3*")
        yield from Path(name).glob("lib*/*.so*")
    yield from (Path(name) for name in sys.path if name.endswith(("site-packages", "dist-packages")))


def _give_up_rights(places: Sequence[Path], writable: Path) -> None:
    """As root: become nobody where nobody can read Python, else keep the name and give up everything it may do."""
    if os.geteuid() != 0:
        return
    if _nobody_reads([place for place in places if place.is_dir()]):
        os.chown(writable, _NOBODY, _NOBODY)
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing):
        raise Unsupported(f"capabilities cannot be given up: {os.strerror(ctypes.get_errno())}")


def _nobody_reads(folders: Sequence[Path]) -> bool:
    """Whether the process can become nobody, and nobody may read these."""
    try:
        os.seteuid(_NOBODY)
    except PermissionError:
        return False  # root in a container that may not change users
    readable = all(os.access(folder, os.R_OK, effective_ids=True) for folder in folders)
    os.seteuid(0)
    return readable


def _fence_files(readable: Sequence[Path], writable: Path) -> None:
    """Landlock: these folders to read, that one to write, no other file; no TCP; no signals and sockets of others."""
    abi = int(_libc.syscall(_CREATE, None, 0, 1))
    if abi < _MIN_ABI:
        raise Unsupported("the kernel has no Landlock: files cannot be fenced")
    rights = next(held for since, held in sorted(_RIGHTS_BY_ABI.items(), reverse=True) if abi >= since)
    attributes = (ctypes.c_uint64 * 3)(rights, 3 if abi >= _NET_ABI else 0, 3 if abi >= _SCOPE_ABI else 0)
    size = 8 * (3 if abi >= _SCOPE_ABI else 2 if abi >= _NET_ABI else 1)
    fence = int(_libc.syscall(_CREATE, ctypes.byref(attributes), size, 0))
    if fence < 0:
        raise Unsupported(f"Landlock: {os.strerror(ctypes.get_errno())}")
    for place in (*readable, *map(Path, _SYSTEM_FILES)):
        _allow(fence, place, _READ_FILE | _READ_DIR)
    _allow(fence, Path("/dev/null"), _READ_FILE | 1 << 1)
    _allow(fence, writable, rights & ~_EXECUTE & ~_MAKE_DEVICES)
    if _libc.syscall(_RESTRICT, fence, 0):
        raise Unsupported(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(fence)


def _allow(fence: int, place: Path, rights: int) -> None:
    with suppress(FileNotFoundError, PermissionError):
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if place.is_dir() else rights & _FILE_ONLY
        # struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of the descriptor.
        rule = ctypes.create_string_buffer(allowed.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder), 12)
        failed = _libc.syscall(_ADD_RULE, fence, _PATH_BENEATH, rule, 0)
        os.close(opened)
        if failed:
            raise Unsupported(f"Landlock on {place}: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        raise Unsupported(f"prctl {option}: {os.strerror(ctypes.get_errno())} on {platform.release()}")
