"""Whether a document is sound HTML, as far as our pages need it: balanced, with unique ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
PLAIN = {"path", "rect", "line", "circle"}
"""Elements of SVG that we write as ``<x/>``, which is not written otherwise."""


@dataclass
class Document(HTMLParser):
    """What was read of a document; ``faults`` is what is wrong with it."""

    html: str
    faults: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        if not self.html.startswith("<!DOCTYPE html>"):
            self.faults.append("no doctype")
        self.feed(self.html)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open]
        self.faults += [f"id {one} twice" for one in set(self.ids) if self.ids.count(one) > 1]

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in PLAIN:
            self.faults.append(f"<{tag}/> is no element of SVG")
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]} at {self.getpos()}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.faults += [f"{name} twice in <{tag}>" for name in names if names.count(name) > 1]
        self.tags.append(tag)
        self.attributes.update(names)
        values = dict(attrs)
        if one := values.get("id"):
            self.ids.append(one)
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag in ("script", "img", "link", "iframe"):
            self.loaded.append(values.get("src") or values.get("href") or "inline")
