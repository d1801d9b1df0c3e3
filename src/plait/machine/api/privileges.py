"""Give up root for good, keeping only what is open already."""

from __future__ import annotations

import ctypes
import os

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_EINVAL = 22
#: Version 3 of the kernel's interface, with 64 capabilities.
_CAPABILITY_VERSION = 0x20080522


def drop_privileges(identity: int) -> None:
    """Become user and group `identity` without capabilities, other groups or a way back. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            code = ctypes.get_errno()
            if code == _EINVAL:
                break  # past the last capability this kernel knows
            raise OSError(code, f"cannot drop capability {capability}: {os.strerror(code)}")
    _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if identity != os.getuid():  # a user namespace of one uid has no other to become, and permits no setgroups
        os.setgroups([])
        os.setresgid(identity, identity, identity)
        os.setresuid(identity, identity, identity)
        if os.getuid() != identity or os.geteuid() != identity or os.getgroups():
            raise OSError(f"still not user {identity} after setresuid")
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, each in two words
    if libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), nothing) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
