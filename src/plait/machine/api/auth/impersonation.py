"""`kubectl --as`: a request made as somebody else, for those who may do everything anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from plait.machine.api.admission import User
from plait.machine.api.auth.permissions import Action, may, refusal
from plait.machine.api.errors import bad_request, forbidden

if TYPE_CHECKING:
    from multidict import MultiMapping

_PREFIX = "Impersonate-"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_ANONYMOUS = "system:anonymous"


def acting_user(user: User, headers: MultiMapping[str]) -> User:
    """Whom the request acts for: the user that the headers name, or `user` where they name none.

    Raises 403 if `user` may not act for others, and 400 for groups or a uid without a user. Groups are as on
    Kubernetes: those named, or a service account's own, and `system:authenticated`.
    """
    if not any(name.lower().startswith(_PREFIX.lower()) for name in headers):
        return user
    name = headers.get(f"{_PREFIX}User", "")
    if not name:
        raise bad_request("requested groups, uid or extra without impersonating a user: send Impersonate-User too")
    action = Action(verb="impersonate", resource="users", name=name)
    if not may(user, action):
        raise forbidden(None, "", refusal(user, action))
    groups = list(headers.getall(f"{_PREFIX}Group", []))
    account = name.removeprefix(_ACCOUNT).split(":")
    if not groups and name.startswith(_ACCOUNT) and len(account) == 2:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    everyone = "system:unauthenticated" if name == _ANONYMOUS else "system:authenticated"
    extra = {
        unquote(header.lower().removeprefix(_EXTRA)): tuple(headers.getall(header))
        for header in headers
        if header.lower().startswith(_EXTRA)
    }
    return User(
        name=name,
        uid=headers.get(f"{_PREFIX}Uid", ""),
        groups=tuple(dict.fromkeys((*groups, everyone))),
        extra=extra or None,
    )
