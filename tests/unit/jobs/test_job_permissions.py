"""Permissions of one job: what is named is made so, what was named is taken away, others stay."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.jobs.api_permissions import replaced, updated
from lakeflow_meta.jobs.job_permissions import Permission, levels, plan_permissions, principal

VIEW, RUN, MANAGE, OWNER = "CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"


def user(name: str, level: str) -> Permission:
    return {"user_name": name, "permission_level": level}


def group(name: str, level: str) -> Permission:
    return {"group_name": name, "permission_level": level}


ME = user("me@x", OWNER)


def after(
    wanted: Sequence[Permission], live: Sequence[Permission], *applied: str
) -> dict[str, str]:
    """Levels once the plan was carried out; a second plan finds nothing to do."""
    before = dict.fromkeys(applied, VIEW)
    found = plan_permissions(wanted, live, before)
    assert not (found.give and found.replace_all)
    now = list(live)
    if found.give:
        now = updated(live, found.give)
    if found.replace_all:
        now = replaced(found.replace_all)
    again = plan_permissions(wanted, now, before)
    assert (again.changes, again.give, again.replace_all) == ((), (), ())
    assert levels(now) == {
        **{w: v for w, v in levels(live).items() if w not in {_who(c.path) for c in found.changes}},
        **{_who(c.path): c.after for c in found.changes if c.after},
    }
    return levels(now)


def _who(path: str) -> str:
    return path.split("/", 1)[1]


@pytest.mark.parametrize(
    ("wanted", "live", "applied", "expected"),
    [
        pytest.param(
            [group("a", VIEW)],
            [ME, user("bob@x", RUN)],
            [],
            {"user:me@x": OWNER, "user:bob@x": RUN, "group:a": VIEW},
            id="others stay",
        ),
        pytest.param([group("a", RUN)], [ME, group("a", VIEW)], [], {"group:a": RUN}, id="raised"),
        pytest.param([group("a", VIEW)], [ME, group("a", RUN)], [], {"group:a": VIEW}, id="lower"),
        pytest.param(
            [],
            [ME, group("a", VIEW), group("b", VIEW)],
            ["group:a"],
            {"user:me@x": OWNER, "group:b": VIEW},
            id="taken away",
        ),
        pytest.param([], [ME], ["group:a"], {"user:me@x": OWNER}, id="gone already"),
        pytest.param([user("me@x", VIEW)], [ME], [], {"user:me@x": OWNER}, id="owner may all"),
        pytest.param([user("Me@X", OWNER)], [ME], [], {"user:me@x": OWNER}, id="same owner"),
        pytest.param(
            [user("eve@x", OWNER)],
            [ME],
            [],
            {"user:eve@x": OWNER, "user:me@x": MANAGE},
            id="owner before may manage",
        ),
        pytest.param(
            [user("eve@x", OWNER), user("me@x", VIEW)],
            [ME, group("b", RUN)],
            [],
            {"user:eve@x": OWNER, "user:me@x": VIEW, "group:b": RUN},
            id="owner before as named",
        ),
        pytest.param(
            [user("eve@x", OWNER)],
            [ME],
            ["user:me@x"],
            {"user:eve@x": OWNER},
            id="owner before named no more",
        ),
        pytest.param([], [ME], ["user:me@x"], {"user:me@x": OWNER}, id="no job without owner"),
    ],
)
def test_what_becomes_of_each_principal(
    wanted: list[Permission], live: list[Permission], applied: list[str], expected: dict[str, str]
) -> None:
    found = after(wanted, live, *applied)
    assert {who: found[who] for who in expected} == expected
    assert found.keys() - expected.keys() <= {"user:me@x"}


def test_nothing_differs_then_nothing_is_sent() -> None:
    found = plan_permissions([group("a", VIEW)], [ME, group("a", VIEW)], {"group:a": VIEW})
    assert (found.changes, found.give, found.replace_all) == ((), (), ())


def test_only_who_differs_is_sent_unless_somebody_has_to_go() -> None:
    live = [ME, group("a", VIEW), group("b", VIEW), user("bob@x", RUN)]
    wanted = [group("a", VIEW), group("b", RUN)]
    assert plan_permissions(wanted, live, {}).give == (group("b", RUN),)
    found = plan_permissions(wanted[:1], live, {"group:b": VIEW})
    assert (found.give, set(levels(found.replace_all))) == (
        (),
        {"user:me@x", "group:a", "user:bob@x"},
    )
    assert [(c.path, c.before, c.after) for c in found.changes] == [
        ("permissions/group:b", VIEW, None)
    ]


NAMES = st.sampled_from([("user_name", n) for n in "abc"] + [("group_name", n) for n in "ab"])
LOWER = st.sampled_from([VIEW, RUN, MANAGE])


@st.composite
def entries(draw: st.DrawFn, *, owner: bool) -> list[Permission]:
    found = draw(st.dictionaries(NAMES, LOWER, max_size=4))
    if owner or draw(st.booleans()):
        found["user_name", draw(st.sampled_from("abc"))] = OWNER
    return [{kind: name, "permission_level": level} for (kind, name), level in found.items()]


@given(entries(owner=False), entries(owner=True), entries(owner=False))
def test_any_wanted_from_any_live(
    wanted: list[Permission], live: list[Permission], applied: list[Permission]
) -> None:
    then = list(levels(applied))
    found, before, asked = after(wanted, live, *then), levels(live), levels(wanted)
    for who, level in asked.items():
        assert found[who] in (level, OWNER)
    for who in before.keys() - asked.keys():
        if who in then and before[who] != OWNER:
            assert who not in found
        elif before[who] != OWNER:
            assert found[who] == before[who]
    assert list(found.values()).count(OWNER) == 1
    if OWNER in asked.values():
        assert next(w for w in found if found[w] == OWNER) == principal(
            next(e for e in wanted if e["permission_level"] == OWNER)
        )
