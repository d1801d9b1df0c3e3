"""Give up root for good, keeping only what is open already."""

from __future__ import annotations

import ctypes
import os

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_EINVAL = 22


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
    os.setgroups([])
    os.setresgid(identity, identity, identity)
    os.setresuid(identity, identity, identity)  # leaving uid 0 clears permitted and effective capabilities
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    if os.getuid() != identity or os.geteuid() != identity or os.getgroups():
        raise OSError(f"still not user {identity} after setresuid")


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
