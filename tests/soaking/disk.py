"""A small disk that can be filled and made read-only while a run writes to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_SIZE = 64 * 2**20
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2


class Disk:
    """A tmpfs of 64 MiB that only this process and those that it starts see.

    Mounting needs root, or a kernel that lets users have namespaces of their own, and no thread
    besides this one.

    Args:
        root: An empty folder, where it is mounted.

    Raises:
        OSError: This process may not mount anything.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"
        _enter_namespace()
        # Else what is mounted below would be seen by everybody.
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _call("mount", b"tmpfs", bytes(root), b"tmpfs", 0, b"size=%d,mode=0755" % _SIZE)

    def fill(self, leave: int) -> None:
        """Leave `leave` bytes free, or less, since the run writes at the same time."""
        space = os.statvfs(self.root)
        with contextlib.suppress(OSError):
            self._ballast.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - leave)))

    def empty(self) -> None:
        """Undo `fill`."""
        self._ballast.unlink(missing_ok=True)

    def protect(self, folder: Path) -> None:
        """Make `folder` read-only.

        It is mounted over itself: a disk with files that are open for writing cannot be made
        read-only otherwise. Those files stay writable.
        """
        _call("mount", bytes(folder), bytes(folder), None, _MS_BIND, None)
        _call("mount", None, bytes(folder), None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None)

    def release(self, folder: Path) -> None:
        """Undo `protect`."""
        _call("umount2", bytes(folder), _MNT_DETACH)

    def close(self) -> None:
        """Unmount it; what it holds is gone."""
        _call("umount2", bytes(self.root), _MNT_DETACH)


def _enter_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _call("unshare", _CLONE_NEWNS)
        return
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    # Inside, the user is root; outside, files are still this user's.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _call(name: str, *arguments: bytes | int | None) -> None:
    """Call a function of the C library, which Python has no name for."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
