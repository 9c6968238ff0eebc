import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from capsafe_core.analysis.by_name import TABLES
from capsafe_core.cli import app, fetch_table, main
from capsafe_core.cli.options import CLAIM, FILTER, SCOPE, SPECIFICATION, VARIANTS, selecting
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT, Settings
from capsafe_core.workspace.owner import Owner
from tests.synthetic import write_study

run = CliRunner()


@pytest.fixture
def filled(workspace: Settings) -> Settings:
    write_study(workspace.jobs_path, safety_size=8, capability_size=6)
    assert run.invoke(app, ["ingest"]).exit_code == 0
    return workspace


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The made-up study in a store that no test here changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_HOME", str(tmp_path_factory.mktemp("read-only")))
        write_study(Settings().jobs_path, safety_size=8, capability_size=6)
        assert run.invoke(app, ["ingest"]).exit_code == 0
        yield Settings()


@pytest.mark.parametrize("name", [name for name in TABLES if not name.startswith("correct")])
def test_every_table_is_a_command_with_json_and_csv(read_only: Settings, name: str) -> None:
    """Printed from the store itself; as JSON and CSV by the owner, who has the store open."""
    plain = run.invoke(app, [name])
    owner = Owner(read_only).start()
    try:
        as_json, as_csv = (run.invoke(app, [name, flag]) for flag in ("--json", "--csv"))
    finally:
        owner.close()
    assert plain.exit_code == as_json.exit_code == as_csv.exit_code == 0
    assert isinstance(json.loads(as_json.stdout), list)
    assert as_csv.stdout.count("\n") == len(json.loads(as_json.stdout)) + 1 or name == "outputs"


def test_tables_heed_goals_crossings_and_claims(read_only: Settings) -> None:
    result = run.invoke(app, ["correct", "--json"])
    assert "Nobody has labelled" in str(result.exception)
    goals = json.loads(
        run.invoke(app, ["match", "--goal", "sums=0.2", "--crossing", "last", "--json"]).stdout
    )
    assert {row["goal"] for row in goals} == {0.2}
    assert "cannot be read" in str(run.invoke(app, ["match", "--goal", "sums"]).exception)
    assert "no crossing rule" in str(run.invoke(app, ["match", "--crossing", "best"]).exception)
    last = json.loads(run.invoke(app, ["claims", "--json"]).stdout)[-1]
    chosen = json.loads(run.invoke(app, ["conclusions", "--claim", last["claim"], "--json"]).stdout)
    assert {row["primary"] for row in chosen} == {True, False}
    assert min(row["estimate"] for row in chosen) <= last["lowest"] + 1e-9


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_takes_the_whole_selection(name: str) -> None:
    offered = {parameter.name for parameter in get_command(app).commands[name].params}
    assert {*SCOPE, *SPECIFICATION, *FILTER, *CLAIM} <= offered


def test_each_option_sets_its_own_field_of_the_selection() -> None:
    given = {
        "study": (["tiny"], "tiny"),
        "benchmark": (["a", "b~,"], ("a", "b~,")),
        "judge": (["j"], ("j",)),
        "threshold": (["0.3"], 0.3),
        "policy": (["excluded"], "excluded"),
        "condition": (
            ["system_prompt=a=b", "max_tokens=64"],
            (("max_tokens", "64"), ("system_prompt", "a=b")),
        ),
        "attack": (["GCG"], "GCG"),
        "goal": (["sums=0.5", "logic=1"], (("sums", 0.5), ("logic", 1.0))),
        "crossing": (["last"], "last"),
        "correction": (["corrected_by_people"], "corrected_by_people"),
        "recipe": (["r"], ("r",)),
        "checkpoint": (["c"], ("c",)),
        "outcome": (["safe"], ("safe",)),
        "search": (["x y"], "x y"),
        "marks": (["starred"], "starred"),
        "claim": (["recipe:r|start:s"], "recipe:r|start:s"),
        "variant": (["judge=a", "judge=b"], ("judge=a", "judge=b")),
    }
    got: list[Selection] = []
    commands = typer.Typer()

    @commands.command()
    @selecting(SCOPE, SPECIFICATION, FILTER, CLAIM, VARIANTS)
    def look(chosen: Selection, more: int = 0) -> None:
        got.append(chosen)

    for name, (values, _) in given.items():
        assert run.invoke(commands, [word for v in values for word in (f"--{name}", v)]).exit_code == 0, name
    assert run.invoke(commands, ["--no-truncated"]).exit_code == 0
    options = SCOPE | SPECIFICATION | FILTER | CLAIM | VARIANTS
    assert set(given) | {"truncated"} == set(options)
    expected = [Selection(**{options[name].field: value}) for name, (_, value) in given.items()]
    assert got == [*expected, Selection(truncated=False)]


def test_the_owner_of_the_store_gives_the_same_answer(filled: Settings) -> None:
    alone = fetch_table(filled, "rates", Selection())
    owner = Owner(filled).start()
    try:
        assert filled.socket_path.stat().st_mode & 0o777 == 0o600
        other = subprocess.run(
            [sys.executable, "-m", "capsafe_core.cli", "rates", "--csv"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"CAPSAFE_HOME": str(filled.home), "PATH": ""},
        )
        assert other.stdout == alone.to_csv(index=False)
        with pytest.raises(CapsafeError, match="no study 'nobody'"):
            fetch_table(filled, "rates", Selection(study="nobody"))
    finally:
        owner.close()
    assert not filled.socket_path.exists()


def test_check_rebuild_snapshot_retract(filled: Settings) -> None:
    before = run.invoke(app, ["rates", "--csv"]).stdout
    assert "consistent" in run.invoke(app, ["check"]).stdout
    assert run.invoke(app, ["rebuild"]).exit_code == 0
    assert run.invoke(app, ["rates", "--csv"]).stdout == before
    assert Path(run.invoke(app, ["snapshot"]).stdout.strip()).exists()
    job = run.invoke(app, ["jobs"]).stdout.split()[-2]
    assert run.invoke(app, ["retract", job]).exit_code == 0
    assert run.invoke(app, ["rates", "--csv"]).stdout != before
    assert run.invoke(app, ["rebuild"]).exit_code == 0
    assert run.invoke(app, ["rates", "--csv"]).stdout != before, (
        "a rebuilt store remembers what was taken out"
    )
    assert run.invoke(app, ["retract", job, "--restore"]).exit_code == 0
    assert run.invoke(app, ["rates", "--csv"]).stdout == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere.toml"], "cannot be read"),
        (["stop", "nobody"], "no job 'nobody'"),
        (["rates", "--study", "x"], "no study"),
        (["retract", "x"], "nothing from a job"),
    ],
)
def test_mistakes_end_with_a_sentence_and_no_traceback(
    workspace: Settings,
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["capsafe", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "Traceback" not in shown


def test_the_command_is_a_module_too(workspace: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "capsafe_core.cli", "stop", "nobody"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no job 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_starts_without_what_only_some_commands_use() -> None:
    heavy = ("scipy", "sklearn", "plotly", "jinja2", "streamlit", "torch")
    code = f"import sys, capsafe_core.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_two_commands_have_one_name() -> None:
    def names(group: typer.Typer) -> Iterator[str]:
        yield from (c.name or str(c.callback.__name__) for c in group.registered_commands if c.callback)
        for inner in group.registered_groups:
            if isinstance(inner.name, str):
                yield inner.name
            elif inner.typer_instance is not None:
                yield from names(inner.typer_instance)

    known = [name.replace("_", "-") for name in names(app)]
    assert len(known) > len(TABLES)
    assert [name for name, n in Counter(known).items() if n > 1] == []
