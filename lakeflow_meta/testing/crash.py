"""A process that dies at one call to the outside, for tests of what the next run makes of it.

crash = CrashPoint(at=7, after=True)
verb = Verb(crash.wrap(store), crash.wrap(jobs))
with pytest.raises(Crash):
    verb.apply()            # its seventh call took effect, and nothing that follows does
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Port = TypeVar("Port")


class Crash(BaseException):
    """The process is dead. No ``except Exception`` and no ``finally`` brings it back."""


class CrashPoint:
    """Counts the calls of all wrapped ports together and dies at one of them.

    ``at`` counts from 1; 0 never dies. ``after``: the call still takes effect. Once dead, every
    call raises `Crash` without effect, so that cleaning up changes nothing, as after a kill.
    ``calls`` names the calls so far, so an uninterrupted run tells how many there are.
    """

    def __init__(self, at: int = 0, *, after: bool = False) -> None:
        self.calls: list[str] = []
        self._at = at
        self._after = after
        self._dead = False

    def wrap(self, port: Port) -> Port:
        """The same port through this crash point."""
        wrapped: Any = _Wrapped(port, self)
        return wrapped  # type: ignore[no-any-return]  # it has every method of the port

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        """Make one call, or die at it."""
        if self._dead:
            raise Crash(name)
        self.calls.append(name)
        strikes = len(self.calls) == self._at
        if strikes and not self._after:
            self._dead = True
            raise Crash(name)
        result = act()
        if strikes:
            self._dead = True
            raise Crash(name)
        return result


class _Wrapped:
    """Passes every method on through a crash point."""

    def __init__(self, port: Any, crash: CrashPoint) -> None:
        self._port = port
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            return self._crash.call(name, lambda: method(*arguments, **options))

        return call
