import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, create_job, open_job
from capsafe_core.jobs.folder.work import FinetuneWork, GenerateWork, JudgeWork, StressWork, StudyWork, plain
from capsafe_core.jobs.new_run import missing_jobs, planned
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.study import LONGEST_STUDY, load_study, parse_study
from capsafe_core.study_checks import LONGEST_CHAIN, MOST_CHECKPOINTS
from tests.synthetic import STUDY

ROOT = Path(__file__).parent.parent


def test_every_mistake_is_named_at_once_with_its_line() -> None:
    text = (
        STUDY.replace('start = "aligned"', 'start = "alinged"', 1)
        .replace("learning_rate = 1e-2", "learning_rate = -1")
        .replace("samples", "samples")
    )
    text = text.replace('scorer = "number"', 'scorer = "numbre"')
    with pytest.raises(CapsafeError) as caught:
        parse_study(text, "bad.toml")
    message = caught.value.message
    lines = text.splitlines()
    assert "2 mistakes" in message  # values first; names are checked when all values are right
    for needle in ("learning_rate = -1", 'scorer = "numbre"'):
        assert f"line {lines.index(needle) + 1}:" in message


def test_names_that_point_to_nothing_are_named_together() -> None:
    text = (
        STUDY.replace('start = "aligned"', 'start = "alinged"', 1)
        .replace('refusal_judge = "prefix-zou"', 'refusal_judge = "nobody"')
        .replace("sums = 0.5", "summs = 0.5")
    )
    with pytest.raises(CapsafeError) as caught:
        parse_study(text)
    message = caught.value.message
    assert "3 mistakes" in message
    lines = text.splitlines()
    for needle in ('start = "alinged"', 'refusal_judge = "nobody"', "summs = 0.5"):
        assert f"line {lines.index(needle) + 1}:" in message
    assert "'alinged' is not among the starts (there are: aligned)" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = ", "not valid TOML"),
        ("", "Field required".lower()),
        (STUDY + '\n[[judges]]\nname = "prefix-zou"\n', "used twice"),
    ],
)
def test_broken_files_get_a_sentence(text: str, says: str) -> None:
    with pytest.raises(CapsafeError, match=says) as caught:
        parse_study(text)
    assert caught.value.hint


RECIPE = """
[[starts]]
name = "s{i}"
recipe = "r{i}"
[[recipes]]
name = "r{i}"
start = "{start}"
dataset = "sums"
learning_rate = 1e-4
steps = {steps}
seeds = {seeds}
"""


@given(
    below=st.lists(st.integers(0, 30), max_size=30),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_study_is_planned_or_refused_whatever_it_stands_on(below: list[int], size: tuple[int, int]) -> None:
    """Recipes that start from any other's end, in circles too, with any number of steps and seeds."""
    steps, seeds = (list(range(1, n + 1)) for n in size)
    count = len(below)
    names = [f"s{b}" if b < count else "aligned" for b in below]
    parts = [RECIPE.format(i=i, start=name, steps=steps, seeds=seeds) for i, name in enumerate(names)]
    text = STUDY.replace("[goals]", "".join(parts) + "[goals]")

    def length(i: int) -> int:
        """Of recipes that stand on each other; too long where they go round."""
        seen = 0
        while i < count and seen <= count:
            i, seen = below[i], seen + 1
        return seen if seen <= count else LONGEST_CHAIN + 1

    made = 1 + 3 * 2 + 3 + count * (1 + size[0] * size[1])
    can_be = max(map(length, range(count)), default=0) <= LONGEST_CHAIN and made <= MOST_CHECKPOINTS
    try:
        study = parse_study(text)
    except CapsafeError:
        assert not can_be
        return
    assert can_be
    jobs = plan_study(study)
    assert len(jobs) <= made + 3 + count * size[1] + len(study.judges)


def test_more_than_can_be_planned_is_a_sentence() -> None:
    many = "".join(f'[[benchmarks]]\nname = "b{i}"\nsource = "file:{"x" * 900}"\n' for i in range(300))
    for text, says in (
        (STUDY.replace("[10, 20, 40]\nseeds", f"{list(range(1, 9000))}\nseeds"), "checkpoints, and at most"),
        (STUDY.replace("[10, 20, 40]\nseeds", f"{list(range(1, 900))}\nseeds") + many, "cannot be planned"),
        (STUDY + "#" * LONGEST_STUDY, "characters, and at most"),
        (STUDY + "".join(f'[[starts]]\nname = "x{i}"\nrecipe = "y{i}"\n' for i in range(900)), "50 mistakes"),
        (STUDY + "[[starts]]\nnam = 1\n" * 900, "50 mistakes"),
    ):
        with pytest.raises(CapsafeError, match=says) as caught:
            parse_study(text)
        assert len(caught.value.message) < 20_000


def test_an_unknown_judge_is_found_before_anything_runs() -> None:
    text = STUDY + '\n[[judges]]\nname = "oracle"\n'
    with pytest.raises(CapsafeError, match="no judge 'oracle'") as caught:
        parse_study(text)
    number = text.splitlines().index('name = "oracle"') + 1
    assert f"line {number}:" in caught.value.message


def test_a_missing_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CapsafeError, match="cannot be read"):
        load_study(tmp_path / "nowhere.toml")


def test_primary_digest_follows_goals_and_specification() -> None:
    one = parse_study(STUDY)
    assert one.primary_digest == parse_study(STUDY.replace("made-up study", "other title")).primary_digest
    assert one.primary_digest != parse_study(STUDY.replace("sums = 0.5", "sums = 0.6")).primary_digest


def test_the_shipped_study_plans_the_whole_graph() -> None:
    study, _ = load_study(ROOT / "data" / "demo" / "study.toml")
    jobs = plan_study(study)
    ids = [job.job_id for job in jobs]
    assert len(set(ids)) == len(ids)
    assert ids == [job.job_id for job in plan_study(study)]
    for i, job in enumerate(jobs):
        assert set(job.after) <= set(ids[:i]), "a job comes after those it needs"
    kinds = [job.kind for job in jobs]
    checkpoints = 2 + 1 + sum(len(r.steps) * len(r.seeds) for r in study.recipes if r.name != "alignment")
    assert kinds.count("generate") == checkpoints
    assert kinds.count("judge") == len(study.judges)


WORKS = {
    "generate": GenerateWork,
    "judge": JudgeWork,
    "stress": StressWork,
    "finetune": FinetuneWork,
    "import": StudyWork,
}


def test_the_shipped_jobs_keep_their_ids_and_every_manifest_is_what_its_kind_does() -> None:
    """They were written by versions before this one; typed, they are the same work."""
    folders = sorted((ROOT / "data" / "demo" / "jobs").iterdir())
    shipped = [open_job(folder).manifest for folder in folders]
    for manifest, folder in zip(shipped, folders, strict=True):
        typed = manifest.asks(WORKS[manifest.kind])
        assert plain(typed) == manifest.work
        assert Manifest.of("", manifest.name, typed, manifest.after).job_id == manifest.job_id == folder.name
    study, _ = load_study(ROOT / "data" / "demo" / "study.toml")
    planned_ids = {manifest.job_id for manifest in plan_study(study)}
    assert planned_ids == {m.job_id for m in shipped if m.kind not in ("import", "stress")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sampling": {"temperature": "warm"}}, "sampling"),
        ({"benchmarks": 3}, "benchmarks"),
        ({"checkpoint": {"model": 3, "adapters": []}}, "checkpoint.model"),
        ({"checkpoint": {"model": "m", "adapters": [{"job": "j", "step": 1e30}]}}, "adapters"),
        ({"path": {"study": "s"}}, "path"),
    ],
)
def test_work_of_another_form_is_a_sentence_that_says_where(change: dict[str, object], says: str) -> None:
    manifest = next(m for m in plan_study(parse_study(STUDY)) if m.kind == "generate")
    with pytest.raises(CapsafeError, match=f"does not ask for what a job of kind generate does.*{says}"):
        Manifest("generate", "x", {**manifest.work, **change}).asks(GenerateWork)


def test_studies_whose_names_begin_alike_are_planned_apart(tmp_path: Path) -> None:
    """One is there as a whole and the other in four parts; neither takes the other's number."""
    small, steps = (parse_study(STUDY).model_copy(update={"name": name}) for name in ("small", "small-steps"))
    whole, parted = plan_study(small), plan_study(steps, 4)
    for manifest in (*whole, *parted):
        create_job(tmp_path, manifest)
    assert planned(tmp_path, small) == whole
    assert planned(tmp_path, steps) == parted
    assert missing_jobs(tmp_path, small) == whole


def test_what_is_declared_last_counts_also_where_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for jump in (3e7, 0.0, -3e7):
        text = f"# {jump}\n{STUDY}"
        monkeypatch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
        record_study(tmp_path, parse_study(text), text)
        assert recorded_study(tmp_path, parse_study(text).name)[1] == text
