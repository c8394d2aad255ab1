"""Any extracts that are exported load back as the same rows."""

from extract_samples import extracts
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.control.test_recorded_extracts import BOTH, World, read_text

from lakeflow_meta.extract.config import Extract


@settings(max_examples=50, deadline=None)
@given(st.lists(extracts(), max_size=3, unique_by=lambda extract: extract.extract_name.lower()))
def test_what_is_exported_loads_back_as_the_same_rows(found: list[Extract]) -> None:
    world, other = World(), World()
    given = [{**e.document(), "target": {"path": e.extract_name}} for e in found]
    if not world.load(*given)["added"]:
        return
    text = world.manager().export()
    assert world.manager().export() == text
    other.manager().load(read_text(text))
    assert [other.rows(layout) for layout in BOTH] == [world.rows(layout) for layout in BOTH]
    assert other.manager().export() == text
    assert not world.manager().load(read_text(text))
