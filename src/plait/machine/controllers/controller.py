"""What a controller is, and the workers that drive one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from plait.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from plait.machine.controllers.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from plait.kube.recorder import Recorder
    from plait.machine.controllers.cache import Cache, Change
    from plait.machine.controllers.writes import Writes

log = logging.getLogger(__name__)

Object = dict[str, Any]


class Controller:
    """Turns changes into keys, and makes the world right for one key at a time."""

    name: ClassVar[str]
    workers: ClassVar[int] = 4

    def __init__(self) -> None:
        self.queue: WorkQueue[Any] = WorkQueue()

    def changed(self, change: Change) -> None:
        """Queue the keys that depend on what changed; nothing, for a controller that follows something else."""

    async def reconcile(self, key: Any) -> float | None:
        """Make it so; the result is the seconds after which to look again, if time alone can change something.

        Raises ApiError: the key is tried again after a wait.
        """
        raise NotImplementedError

    async def work(self) -> None:
        """One worker, until cancelled."""
        while True:
            key = await self.queue.get()
            try:
                await self._one(key)
            finally:
                self.queue.done(key)

    async def _one(self, key: Any) -> None:
        try:
            again = await self.reconcile(key)
        except Forbidden as error:
            if error.namespace_terminating:
                self.queue.succeeded(key)
                return
            self._again(key, error)
        except ApiError as error:
            self._again(key, error)
        except Exception:
            # One object that we mishandle must not stop the work on all others; it is told loudly and tried rarely.
            log.exception("controller %s failed on %s", self.name, key)
            self.queue.retry(key)
        else:
            self.queue.succeeded(key)
            if again is not None:
                self.queue.add_after(key, again)

    def _again(self, key: Any, error: ApiError) -> None:
        failures = self.queue.retry(key)
        # Racing with other writers is normal and cures itself.
        usual = isinstance(error, (Conflict, NotFound, AlreadyExists)) and failures < 8
        log.log(
            logging.DEBUG if usual else logging.WARNING,
            "controller %s will try %s again (failure %d): %s",
            self.name,
            key,
            failures,
            error,
        )


class WritingController(Controller):
    """One that reads the cache and writes to the API."""

    def __init__(self, *, cache: Cache, writes: Writes) -> None:
        super().__init__()
        self._cache = cache
        self._writes = writes


class ClockedController(WritingController):
    """One that tells Events besides, and for which the time matters."""

    def __init__(self, *, cache: Cache, writes: Writes, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        super().__init__(cache=cache, writes=writes)
        self._recorder = recorder
        self._clock = clock
