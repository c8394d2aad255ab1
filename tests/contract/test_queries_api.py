"""One contract for every `ports.QueriesApi`: fake, embedded workspace, and Databricks alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from contract.jobs_stand_in import Workspace
from contract.stand_in_server import TOKEN

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import QueriesApi, SavedQuery
from lakeflow_meta.testing.fake_queries import FakeQueries


def do_nothing(parameters: list[str], output: TextIO) -> None:
    pass


class QueriesApiContract:
    keeps_names_apart = True

    def test_a_query_reads_back_as_it_was_saved(self, api: QueriesApi) -> None:
        text = "SELECT 'ü;''' -- x\n"
        query_id = api.create_query("näme", text, "w1")
        expected = SavedQuery(query_id, "näme", text, "w1")
        assert api.get_query(query_id) == expected
        assert api.list_queries() == [expected]

    def test_a_name_that_is_taken_never_changes_the_query_that_has_it(
        self, api: QueriesApi
    ) -> None:
        first = api.create_query("a", "SELECT 1")
        if self.keeps_names_apart:
            with pytest.raises(ConflictError):
                api.create_query("a", "SELECT 2")
            api.trash_query(first)
            assert api.create_query("a", "SELECT 2") != first
        else:
            assert api.create_query("a", "SELECT 2") != first
            assert api.get_query(first).query_text == "SELECT 1"

    def test_an_update_changes_only_what_is_given(self, api: QueriesApi) -> None:
        query_id = api.create_query("a", "SELECT 1", "w1")
        api.update_query(query_id, query_text="SELECT 2")
        assert api.get_query(query_id) == SavedQuery(query_id, "a", "SELECT 2", "w1")
        api.update_query(query_id, display_name="b")
        assert api.get_query(query_id) == SavedQuery(query_id, "b", "SELECT 2", "w1")

    def test_a_trashed_query_is_not_found_any_more(self, api: QueriesApi) -> None:
        kept, gone = api.create_query("a", "SELECT 1"), api.create_query("b", "SELECT 2")
        api.trash_query(gone)
        assert [query.query_id for query in api.list_queries()] == [kept]
        for call in (
            lambda: api.get_query(gone),
            lambda: api.update_query(gone, query_text="x"),
            lambda: api.trash_query(gone),
        ):
            with pytest.raises(NotFoundError):
                call()


class TestFakeQueries(QueriesApiContract):
    @pytest.fixture
    def api(self) -> QueriesApi:
        return FakeQueries()


class TestLocalWorkspace(QueriesApiContract):
    keeps_names_apart = False

    @pytest.fixture
    def api(self, tmp_path: Path) -> Iterator[QueriesApi]:
        with LocalWorkspace(
            tmp_path / "home",
            tmp_path,
            task_session=lambda: pytest.fail("no query is run here"),
            own_task=do_nothing,
        ) as workspace:
            yield workspace


class TestDatabricksQueries(QueriesApiContract):
    @pytest.fixture
    def api(self) -> Iterator[QueriesApi]:
        from databricks.sdk import WorkspaceClient

        from lakeflow_meta.backends.databricks_queries import DatabricksQueries
        from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

        with Workspace(page_limit=1).running() as workspace:
            client = WorkspaceClient(host=workspace.host, token=TOKEN)
            yield DatabricksQueries(WorkspaceCalls(client, writes_per_second=1000))
