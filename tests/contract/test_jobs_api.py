"""One contract for every `ports.JobsApi`: fake, embedded workspace, and Databricks alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from contract.jobs_stand_in import Workspace
from contract.stand_in_server import TOKEN

from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.ports import JobsApi, PermissionsApi, RunState
from lakeflow_meta.testing import FakeJobs

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

INVALID = "INVALID_PARAMETER_VALUE"


def task(key: str, *parents: str, **fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "task_key": key,
        "python_wheel_task": {
            "package_name": "lakeflow_meta",
            "entry_point": "lakeflow-meta",
            "parameters": ["status"],
        },
        **fields,
    }
    if parents:
        document["depends_on"] = [{"task_key": parent} for parent in parents]
    return document


def keys(api: JobsApi, job_id: int) -> list[str]:
    return [item["task_key"] for item in api.get_job(job_id).settings["tasks"]]


def do_nothing(parameters: list[str], output: TextIO) -> None:
    pass


class JobsApiContract:
    def test_a_created_job_reads_back_as_it_was_sent(self, api: JobsApi) -> None:
        settings = {
            "name": "näme 'quoted'",
            "tags": {"a": "1"},
            "schedule": {"quartz_cron_expression": "0 0 1 * * ?", "timezone_id": "UTC"},
            "parameters": [{"name": "day", "default": ""}],
            "tasks": [task("a"), task("b", "a", run_if="ALL_DONE", max_retries=-1)],
        }
        job_id = api.create_job(settings)
        assert api.get_job(job_id).job_id == job_id
        assert api.get_job(job_id).settings == settings

    def test_jobs_are_listed_in_the_order_they_were_created(self, api: JobsApi) -> None:
        ids = [api.create_job({"name": name}) for name in ("b", "a", "b")]
        assert [(job.job_id, job.settings["name"]) for job in api.list_jobs()] == [
            (ids[0], "b"),
            (ids[1], "a"),
            (ids[2], "b"),
        ]

    def test_a_short_list_leaves_out_tasks_and_clusters_and_nothing_else(
        self, api: JobsApi
    ) -> None:
        cluster = {"job_cluster_key": "c", "new_cluster": {"num_workers": 1}}
        rest = {"name": "a", "tags": {"x": "1"}, "timeout_seconds": 5}
        job_id = api.create_job({**rest, "tasks": [task("a")], "job_clusters": [cluster]})
        empty = api.create_job({"name": "b"})
        assert [(job.job_id, job.settings) for job in api.list_jobs(with_tasks=False)] == [
            (job_id, rest),
            (empty, {"name": "b"}),
        ]

    def test_job_ids_are_large_and_never_reused(self, api: JobsApi) -> None:
        first = api.create_job({"name": "a"})
        api.delete_job(first)
        second = api.create_job({"name": "a"})
        assert first != second
        assert min(first, second) > 1_000_000
        assert max(first, second) < 2**53

    def test_what_is_changed_in_a_returned_job_changes_nothing_there(self, api: JobsApi) -> None:
        sent: dict[str, Any] = {"name": "a", "tasks": [task("a")]}
        job_id = api.create_job(sent)
        sent["tasks"].clear()
        api.get_job(job_id).settings["tasks"].clear()
        assert keys(api, job_id) == ["a"]

    def test_an_update_replaces_top_level_fields_and_keeps_the_others(self, api: JobsApi) -> None:
        job_id = api.create_job({"name": "a", "tags": {"x": "1", "y": "2"}, "description": "d"})
        api.update_job(job_id, {"tags": {"y": "3"}})
        assert api.get_job(job_id).settings == {
            "name": "a",
            "tags": {"y": "3"},
            "description": "d",
        }

    def test_an_update_merges_tasks_by_key_and_replaces_each_whole(self, api: JobsApi) -> None:
        job_id = api.create_job({"tasks": [task("a", description="old", max_retries=3), task("b")]})
        api.update_job(job_id, {"tasks": [task("c", "a"), task("a", description="new")]})
        assert api.get_job(job_id).settings["tasks"] == [
            task("a", description="new"),
            task("b"),
            task("c", "a"),
        ]

    def test_an_update_merges_job_clusters_by_key(self, api: JobsApi) -> None:
        small, large = {"num_workers": 1}, {"num_workers": 9}
        job_id = api.create_job(
            {
                "job_clusters": [
                    {"job_cluster_key": "x", "new_cluster": small},
                    {"job_cluster_key": "y", "new_cluster": small},
                ]
            }
        )
        api.update_job(job_id, {"job_clusters": [{"job_cluster_key": "x", "new_cluster": large}]})
        assert api.get_job(job_id).settings["job_clusters"] == [
            {"job_cluster_key": "x", "new_cluster": large},
            {"job_cluster_key": "y", "new_cluster": small},
        ]

    def test_removals_run_before_the_changes(self, api: JobsApi) -> None:
        job_id = api.create_job(
            {"name": "a", "tags": {"x": "1"}, "tasks": [task("a"), task("b"), task("c")]}
        )
        api.update_job(job_id, {"tasks": [task("b")]}, ["tasks/a", "tasks/b", "tags"])
        assert api.get_job(job_id).settings == {"name": "a", "tasks": [task("c"), task("b")]}

    def test_removing_what_is_not_there_is_no_error(self, api: JobsApi) -> None:
        job_id = api.create_job({"name": "a", "tasks": [task("a")]})
        api.update_job(job_id, {}, ["tasks/zzz", "schedule", "job_clusters/zzz"])
        assert api.get_job(job_id).settings == {"name": "a", "tasks": [task("a")]}

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            pytest.param({"nmae": "x"}, "'name'", id="unknown-field"),
            pytest.param({"name": None}, "name is null", id="null"),
            pytest.param({"tasks": [task("a", run_iff="ALL_DONE")]}, "'run_if'", id="task-field"),
            pytest.param({"tasks": [task("a", run_if="ALL_SUCESS")]}, "ALL_SUCCESS", id="run-if"),
            pytest.param({"tasks": [task("a"), task("a")]}, "'a'", id="duplicate"),
            pytest.param({"tasks": [{"task_key": "a"}]}, "'a'", id="no-type"),
            pytest.param({"tasks": [task("a", sql_task={})]}, "sql_task", id="two-types"),
            pytest.param({"tasks": [task("a b")]}, "'a b'", id="task-key"),
            pytest.param({"tasks": [task("a", "zzz")]}, "'zzz'", id="dangling"),
            pytest.param(
                {"tasks": [task("a", "c"), task("b", "a"), task("c", "b")]},
                "a -> c -> b -> a",
                id="cycle",
            ),
            pytest.param({"tasks": [task("a", "a")]}, "a -> a", id="self"),
            pytest.param({"tasks": [task("a", job_cluster_key="k")]}, "'k'", id="cluster"),
            pytest.param({"schedule": {}, "continuous": {}}, "continuous", id="two-triggers"),
            pytest.param({"timeout_seconds": "9"}, "timeout_seconds", id="number"),
            pytest.param({"tasks": [task("a", max_retries=True)]}, "max_retries", id="task-number"),
            pytest.param({"tasks": [task("a", depends_on=["b"])]}, "depends_on", id="edge"),
            pytest.param({"parameters": [{"default": "x"}]}, "name", id="parameter"),
            pytest.param(
                {
                    "tasks": [
                        task("b"),
                        task("a", depends_on=[{"task_key": "b", "outcome": "true"}]),
                    ]
                },
                "outcome",
                id="outcome",
            ),
            pytest.param({"tags": {"x": object()}}, "JSON", id="not-json"),
        ],
    )
    def test_settings_that_the_platform_refuses_are_refused_by_name(
        self, api: JobsApi, settings: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(BackendError, match=named) as refused:
            api.create_job(settings)
        assert refused.value.code == INVALID
        assert not refused.value.transient
        assert list(api.list_jobs()) == []

    def test_a_refused_update_changes_nothing(self, api: JobsApi) -> None:
        job_id = api.create_job({"name": "a", "tasks": [task("a"), task("b", "a")]})
        for settings, removals in [
            ({"name": "b"}, ["tasks/a"]),
            ({"name": "b"}, ["nope"]),
            ({"name": "b"}, ["tags/x"]),
            ({"name": "b", "tasks": [task("a", "b")]}, []),
        ]:
            with pytest.raises(BackendError) as refused:
                api.update_job(job_id, settings, removals)
            assert refused.value.code == INVALID
        assert api.get_job(job_id).settings["name"] == "a"
        assert keys(api, job_id) == ["a", "b"]

    def test_what_does_not_exist_is_a_not_found_error(self, api: JobsApi) -> None:
        gone = api.create_job({"name": "a"})
        api.delete_job(gone)
        calls: list[Callable[[], object]] = [
            lambda: api.get_job(gone),
            lambda: api.update_job(gone, {"name": "b"}),
            lambda: api.delete_job(gone),
            lambda: api.run_job(gone, {}),
            lambda: api.get_run(gone),
            lambda: api.follow_run(gone),
            lambda: api.cancel_run(gone),
            lambda: api.repair_run(gone),
        ]
        for call in calls:
            with pytest.raises(NotFoundError):
                call()

    def test_a_run_ends_with_every_task_accounted_for(self, api: JobsApi) -> None:
        job_id = api.create_job(
            {
                "name": "nightly",
                "tasks": [
                    task("second", "first"),
                    task("first"),
                    task("off", disabled=True),
                    task("after_off", "off"),
                    task("on_failure", "first", run_if="ALL_FAILED"),
                ],
            }
        )
        run = api.follow_run(api.run_job(job_id, {}))
        assert (run.job_id, run.job_name, run.state) == (job_id, "nightly", RunState.SUCCESS)
        assert run.ended_at is not None
        assert run.ended_at >= run.started_at
        assert {item.task_key: item.state for item in run.tasks} == {
            "second": RunState.SUCCESS,
            "first": RunState.SUCCESS,
            "off": RunState.DISABLED,
            "after_off": RunState.DISABLED,
            "on_failure": RunState.EXCLUDED,
        }
        assert [item.task_key for item in run.tasks][:2] == ["second", "first"]
        assert api.get_run(run.run_id) == run

    def test_a_run_that_ended_well_is_neither_cancelled_nor_repaired(self, api: JobsApi) -> None:
        job_id = api.create_job({"name": "a", "tasks": [task("a")]})
        run = api.follow_run(api.run_job(job_id, {}))
        api.cancel_run(run.run_id)
        with pytest.raises(ConflictError, match="nothing to repair"):
            api.repair_run(run.run_id)
        assert api.get_run(run.run_id) == run

    def test_runs_are_listed_newest_first_without_their_tasks(self, api: JobsApi) -> None:
        one, two = api.create_job({"name": "1", "tasks": [task("a")]}), api.create_job({})
        runs = [api.follow_run(api.run_job(job_id, {})).run_id for job_id in (one, two, one)]
        assert [run.run_id for run in api.list_runs()] == runs[::-1]
        assert [run.run_id for run in api.list_runs(limit=2)] == runs[:0:-1]
        assert [run.run_id for run in api.list_runs(one)] == [runs[2], runs[0]]
        assert all(run.tasks == () for run in api.list_runs())

    def test_runs_of_a_deleted_job_stay_in_the_history(self, api: JobsApi) -> None:
        job_id = api.create_job({"name": "a"})
        run_id = api.follow_run(api.run_job(job_id, {})).run_id
        api.delete_job(job_id)
        assert api.get_run(run_id).job_name == "a"

    def test_a_parameter_that_the_job_does_not_declare_is_refused(self, api: JobsApi) -> None:
        job_id = api.create_job({"parameters": [{"name": "day", "default": "x"}]})
        with pytest.raises(BackendError, match="'dya'") as refused:
            api.run_job(job_id, {"dya": "1"})
        assert refused.value.code == INVALID
        assert api.list_runs() == []


VIEW, MANAGE, OWNER = "CAN_VIEW", "CAN_MANAGE", "IS_OWNER"


def user(name: str, level: str) -> dict[str, str]:
    return {"user_name": name, "permission_level": level}


def group(name: str, level: str) -> dict[str, str]:
    return {"group_name": name, "permission_level": level}


class PermissionsContract:
    """Needs ``api`` and ``permissions`` of one workspace."""

    def entries(self, permissions: PermissionsApi, job_id: int) -> list[dict[str, str]]:
        return sorted(permissions.get(job_id), key=lambda entry: sorted(entry.items()))

    def owner(self, permissions: PermissionsApi, job_id: int) -> dict[str, str]:
        [entry] = [e for e in permissions.get(job_id) if e["permission_level"] == OWNER]
        return entry

    def test_a_new_job_has_an_owner_and_nobody_else(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        assert permissions.get(job_id) == [self.owner(permissions, job_id)]

    def test_an_update_gives_levels_and_leaves_everybody_else_alone(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        me = self.owner(permissions, job_id)
        service = {"service_principal_name": "0-1", "permission_level": VIEW}
        permissions.update(job_id, [group("a", VIEW), user("bob@x", VIEW), service])
        permissions.update(job_id, [group("a", MANAGE), group("b", VIEW)])
        expected = [group("a", MANAGE), group("b", VIEW), user("bob@x", VIEW), service, me]
        assert self.entries(permissions, job_id) == sorted(
            expected, key=lambda entry: sorted(entry.items())
        )

    def test_who_is_not_named_when_all_are_replaced_is_gone(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        me = self.owner(permissions, job_id)
        permissions.update(job_id, [group("a", VIEW), group("b", VIEW)])
        permissions.replace(job_id, [me, group("b", MANAGE)])
        assert self.entries(permissions, job_id) == [group("b", MANAGE), me]

    def test_an_owner_is_changed_by_replacing_all_only(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        me = self.owner(permissions, job_id)
        with pytest.raises(BackendError, match="exactly one owner") as refused:
            permissions.update(job_id, [user("eve@x", OWNER)])
        assert refused.value.code == INVALID
        with pytest.raises(BackendError, match="exactly one owner"):
            permissions.replace(job_id, [me, user("eve@x", OWNER)])
        with pytest.raises(BackendError, match="exactly one owner"):
            permissions.update(job_id, [{**me, "permission_level": MANAGE}])
        with pytest.raises(BackendError, match="a group cannot own a job"):
            permissions.replace(job_id, [group("a", OWNER)])
        assert permissions.get(job_id) == [me]
        before = {**me, "permission_level": MANAGE}
        permissions.replace(job_id, [user("eve@x", OWNER), before])
        assert self.owner(permissions, job_id) == user("eve@x", OWNER)
        assert before in permissions.get(job_id)

    def test_permissions_of_a_job_that_is_gone_are_not_found(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        me = self.owner(permissions, job_id)
        api.delete_job(job_id)
        calls: list[Callable[[], object]] = [
            lambda: permissions.get(job_id),
            lambda: permissions.update(job_id, [group("a", VIEW)]),
            lambda: permissions.replace(job_id, [me]),
        ]
        for call in calls:
            with pytest.raises(NotFoundError):
                call()

    def test_what_is_no_permission_of_a_job_is_refused(
        self, api: JobsApi, permissions: PermissionsApi
    ) -> None:
        job_id = api.create_job({"name": "a"})
        before = permissions.get(job_id)
        for wrong in (
            {"group_name": "a"},
            {"permission_level": VIEW},
            {"group_name": "a", "user_name": "b", "permission_level": VIEW},
        ):
            with pytest.raises(BackendError):
                permissions.update(job_id, [wrong])
        assert permissions.get(job_id) == before


class TestFakeJobs(JobsApiContract, PermissionsContract):
    @pytest.fixture
    def api(self) -> FakeJobs:
        return FakeJobs()

    @pytest.fixture
    def permissions(self, api: FakeJobs) -> PermissionsApi:
        return api.permissions


class TestLocalWorkspace(JobsApiContract, PermissionsContract):
    @pytest.fixture
    def permissions(self, api: LocalWorkspace) -> PermissionsApi:
        return api.permissions

    @pytest.fixture
    def api(self, tmp_path: Path) -> Iterator[LocalWorkspace]:
        from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

        with LocalWorkspace(
            tmp_path / "home",
            tmp_path,
            task_session=lambda: pytest.fail("no task here needs Spark"),
            own_task=do_nothing,
        ) as workspace:
            yield workspace


class TestDatabricksJobs(JobsApiContract, PermissionsContract):
    """The real SDK over HTTP; settings read back without what the service fills in."""

    @pytest.fixture(params=[400, 404], ids=["gone-is-400", "gone-is-404"])
    def client(self, request: pytest.FixtureRequest) -> Iterator[WorkspaceClient]:
        from databricks.sdk import WorkspaceClient

        stand_in = Workspace(defaults=False, missing_status=request.param, page_limit=2)
        with stand_in.running() as workspace:
            yield WorkspaceClient(host=workspace.host, token=TOKEN)

    @pytest.fixture
    def api(self, client: WorkspaceClient) -> JobsApi:
        from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
        from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

        return DatabricksJobs(WorkspaceCalls(client, writes_per_second=1000))

    @pytest.fixture
    def permissions(self, client: WorkspaceClient) -> PermissionsApi:
        from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions
        from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

        return DatabricksPermissions(WorkspaceCalls(client, writes_per_second=1000))
