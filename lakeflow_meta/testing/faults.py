"""Errors on demand: what the fakes raise at the calls that a test names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lakeflow_meta.errors import BackendError

When = Literal["before", "after"]


class InjectedError(BackendError):
    """The default fault: the other side did not answer."""


@dataclass(slots=True)
class _Fault:
    nth: int
    when: When
    error: BaseException
    seen: int = 0

    def strikes(self) -> bool:
        self.seen += 1
        return self.seen == self.nth


class Faulty:
    """A fake whose calls can be made to fail. It makes each of its calls inside `_faults_of`."""

    def __init__(self) -> None:
        self._faults: dict[str, list[_Fault]] = {}

    def fail_on(
        self,
        method: str,
        nth: int = 1,
        when: When = "before",
        error: BaseException | None = None,
    ) -> None:
        """Let the ``nth`` call of ``method``, counted from now, raise ``error``.

        ``after`` means that the call took effect and only its answer is lost. A BaseException
        such as KeyboardInterrupt plays a killed process.
        """
        if not hasattr(type(self), method):
            raise ValueError(f"{type(self).__name__} has no method {method!r}")
        fault = InjectedError(f"injected: {method}", code="INTERNAL_ERROR", transient=True)
        self._faults.setdefault(method, []).append(_Fault(nth, when, error or fault))

    def heal(self) -> None:
        """Forget every fault that has not struck yet."""
        self._faults.clear()

    @contextmanager
    def _faults_of(self, method: str) -> Iterator[None]:
        """One call of ``method``; raises the faults that were asked for."""
        striking = [fault for fault in self._faults.get(method, []) if fault.strikes()]
        _strike(striking, "before")
        yield
        _strike(striking, "after")


def _strike(faults: Sequence[_Fault], when: When) -> None:
    for fault in faults:
        if fault.when == when:
            raise fault.error
