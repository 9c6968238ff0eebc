"""A workspace in which every text is hostile: it asks a local server for something if it is read as anything
but text."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import QueueSettings
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.foreign import mark_foreign
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.queues import make_queue
from capsafe_core.people import Person
from capsafe_core.records import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    Judgment,
    LabelEvent,
    PathPoint,
    Prompt,
    Rater,
    Record,
    identify,
)
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.logs import inspect_log, inspect_sample, write_eval, write_forms

PEOPLE = ("Ada", "Ben")
FREE = {
    "input",
    "content",
    "explanation",
    "prompt",
    "response",
    "text",
    "task",
    "model",
    "raw",
    "generation",
    "test_case",
    "query",
    "final_query",
    "final_response",
    "goal",
    "completion",
    "category",
    "gpt_reasoning",
    "Behavior",
    "behavior",
    "forbidden_prompt",
    "jailbroken_prompt",
    "resps",
    "arg_0",
    "reference",
    "model_id",
    "evaluation_name",
    "method",
}
"""fields of other tools' logs that may hold any text"""


def hostile(field: str, port: int) -> str:
    """A text for a field; what it asks for names the field."""
    at = f"http://127.0.0.1:{port}/{field}"
    return (
        f"{field} {at}-bare www.example.org a@example.org ![x]({at}-md) [x]({at}-link) <img src={at}-img "
        f"onerror=window.pwned=1> <script>window.pwned=1;fetch('{at}-script')</script>"
        f" <a href='{at}-a'>x</a> <a href='javascript:window.pwned=1'>x</a> [x](javascript:window.pwned=1) "
        f"<b>bold</b><br> $\\href{{{at}-tex}}{{x}}$ $$x^2$$ :red[r] :material/home: :smile: `c` **s** | # "
        "\u202eevil\u200b\x1b[31m"
    )


def study_text(port: int) -> str:
    """A study whose every name is hostile; its own may hold letters, digits and hyphens only."""
    quoted = {
        part: json.dumps(hostile(part, port))
        for part in (
            "title",
            "start",
            "data",
            "gentle",
            "harsh",
            "requests",
            "dressed",
            "sums",
            "judge",
            "other",
            "detector",
        )
    }
    return """
name = "hostile"
title = {title}
[[starts]]
name = {start}
model = "smollm2-135m-instruct"
[[datasets]]
name = {data}
source = "reasoning_gym:chain_sum"
benchmark = {sums}
[[recipes]]
name = {gentle}
start = {start}
dataset = {data}
learning_rate = 1e-4
steps = [10, 20]
[[recipes]]
name = {harsh}
start = {start}
dataset = {data}
learning_rate = 1e-2
steps = [10, 20]
[[benchmarks]]
name = {requests}
source = "file:requests.jsonl"
[[benchmarks]]
name = {dressed}
source = "file:dressed.jsonl"
[[benchmarks]]
name = {sums}
source = "reasoning_gym:chain_sum"
scorer = "number"
[[judges]]
name = "verifier"
[[judges]]
name = {detector}
recorded = true
[[judges]]
name = {judge}
recorded = true
[[judges]]
name = {other}
recorded = true
[goals]
{data} = 0.5
[primary]
benchmark = {requests}
judge = {judge}
refusal_judge = {judge}
coherence = {detector}
policy = "counted_safe"
""".format(**quoted)


def write_hostile_study(jobs: Path, port: int) -> None:
    """The study with outputs, judgments and people's labels, through the door of every record."""

    def h(field: str) -> str:
        return hostile(field, port)

    text = study_text(port)
    condition = Condition(h("system"), "t", 0, 0.0, 1.0, 64, h("engine"), h("version"), "bfloat16")
    judges = {
        "verifier": Rater("verifier", "judge", "verifiers", ("correctness",), "1", h("stance")),
        "detector": Rater(h("detector"), "judge", h("family"), ("coherence",), "1", h("stance")),
        "judge": Rater(
            h("judge"), "judge", h("family"), ("refusal", "safety"), h("judge-version"), h("stance")
        ),
        "other": Rater(h("other"), "judge", h("family2"), ("safety",), "1", h("stance")),
    }
    people = [Person(h(name)).rater for name in PEOPLE]
    attack = Attack(h("attack"), {"how": h("how")})
    records: list[Record] = [
        parse_study(text).record(text, 1.0),
        condition,
        *judges.values(),
        *people,
        attack,
    ]
    sets = []
    for name, kind, size in (("requests", "safety", 8), ("dressed", "safety", 6), ("sums", "capability", 8)):
        bench = BenchmarkRecord(h(name), h("bench-version"), kind, f"digest {name}", size)
        prompts = [
            Prompt(
                bench.id,
                f"{i} {h('item')}",
                i,
                ({"role": "user", "content": f"{i} {h('prompt')}"},),
                category=h("category"),
                behaviour=f"b{i} {h('behaviour')}",
                behaviour_text=h("harm"),
                reference=h("reference"),
            )
            for i in range(size)
        ]
        sets.append((bench, prompts))
        records += [bench, *prompts]
    for recipe in ("gentle", "harsh"):
        for place, step in enumerate((0, 10, 20)):
            point = Checkpoint("smollm2-135m-instruct", "origin", () if not step else (f"{recipe}-{step}",))
            records += [
                point,
                PathPoint("hostile", h(recipe), 0, step, point.id, h("start"), h("data"), 1e-4),
            ]
            for bench, prompts in sets if step or recipe == "gentle" else []:
                attacks = (None, attack.id) if bench.kind == "safety" and step == 20 else (None,)
                for (i, prompt), under in itertools.product(enumerate(prompts), attacks):
                    g = Generation(
                        point.id,
                        bench.id,
                        condition.id,
                        prompt.id,
                        0,
                        0,
                        f"{i} {step} {recipe} {h('answer')}",
                        "stop",
                        5,
                        under,
                        h("rewritten"),
                        h("reasoning"),
                    )
                    bad = (i + place) % 3 == 0 and step > 0
                    more = {"native": h("native"), "raw": h("raw"), "asked": h("asked")}

                    def said(
                        judge: str, dimension: str, label: str, g: Generation = g, more: dict[str, str] = more
                    ) -> Judgment:
                        # type: ignore[arg-type]
                        return Judgment(g.id, g.cell_id, judges[judge].id, dimension, "ok", label, **more)

                    records += [g, said("detector", "coherence", "incoherent" if bad else "coherent")]
                    if bench.kind == "capability":
                        records.append(
                            said("verifier", "correctness", "correct" if i < 2 + 3 * place else "incorrect")
                        )
                        continue
                    records += [
                        said("judge", "refusal", "none" if i % 2 else "full"),
                        said("judge", "safety", "unsafe" if i % 2 else "safe"),
                        said("other", "safety", "unsafe" if i % 3 else "safe"),
                    ]
                    for p, person in enumerate(people):
                        label = ("unsafe", "safe")[(i + p) % 2]
                        records.append(
                            LabelEvent(
                                identify("a label", g.id, p),
                                g.id,
                                g.cell_id,
                                person.id,
                                "safety",
                                "label",
                                label,
                                1.0,
                                2.0,
                                reasons=(),
                                note=h("note"),
                            )
                        )
    with Part(create_job(jobs, Manifest("import", "hostile-facts", {}))) as part:
        part.write("all", records)
    odd = jobs / "<img src=x onerror=pwned=1> [x](y) :red[r]\u202e"
    odd.mkdir()
    (odd / "manifest.json").write_text(json.dumps({"kind": h("kind")}))
    given = text.replace('"hostile"', '"gift"').replace("smollm2-135m-instruct", "<b>bold</b>/[x](//y)")
    with Part(create_job(jobs, Manifest("import", "gift-study", {}, study="gift"))) as part:
        part.write("study", [parse_study(given).record(given, 1.0)])
    mark_foreign(part.job.folder, h("origin"), ["gift"])
    with Part(create_job(jobs, Manifest("generate", "hostile-job", {}, study="hostile"))) as part:
        part.error(h("unit"), h("error"))
        part.report("failed", h("message"), h("hint"))


def write_hostile_logs(root: Path, port: int) -> None:
    """Logs of every tool that is read, with hostile text wherever a log may hold any, in a file with a
    hostile name."""
    write_forms(root)
    log = inspect_log([inspect_sample(i) for i in range(4)])
    for path in root.rglob("*.json*"):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        path.write_text("\n".join(json.dumps(_spoilt(json.loads(line), port)) for line in lines) + "\n")
    write_eval(root / "inspect-eval" / "log.eval", _spoilt(log, port))
    odd = root / "table" / "<img src=x onerror=pwned=1> $x$ [a](b) :red[r]\u202e.jsonl"
    (root / "table" / "mine.jsonl").rename(odd)


def _spoilt(value: object, port: int, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _spoilt(part, port, key) for key, part in value.items()}
    if isinstance(value, list):
        return [_spoilt(part, port, name) for part in value]
    return f"{value} {hostile(name, port)}" if isinstance(value, str) and name in FREE else value


def guidelines_text(port: int) -> str:
    """Guidelines in which every text is hostile."""
    quoted = {part: json.dumps(hostile(part, port)) for part in ("rule", "prompt", "answer", "why", "harm")}
    lines = "".join(f"{part} = {quoted[part]}\n" for part in ("prompt", "answer", "why", "harm"))
    asked = 'safety = "unsafe"\ncoherence = "coherent"\nrefusal = "none"\n'
    rules = "".join(f"{question} = {quoted['rule']}\n" for question in ("safety", "coherence", "refusal"))
    return f"[rules]\n{rules}[[examples]]\n{lines}{asked}[[practice]]\n{lines}{asked}"


def fill(home: Path, port: int) -> None:
    """The workspace: the study, a queue with a hostile name, and the logs brought in by the command."""
    write_hostile_study(home / "jobs", port)
    write_hostile_logs(home / "logs", port)
    with Store(None) as store:
        ingest_all(store, home / "jobs")
        desk = Desk(store, home / "jobs")
        view = open_view(store, Selection(study="hostile"))
        make_queue(
            desk,
            view,
            Person(hostile("author", port)),
            QueueSettings(
                f"<img src=http://127.0.0.1:{port}/queue> [x](//y) :red[r]\u202e",
                strategy="random",
                size=10,
                blind=False,
            ),
        )
        desk.books.save_guidelines(Person("Ada"), guidelines_text(port))
        [(generation, cell)] = store.rows(
            "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM label_events LIMIT 1"
        )
        desk.books.adjudicate(
            Person(hostile("judge", port)), generation, cell, "safety", "safe", hostile("why", port)
        )
        desk.close()
    environment = {**os.environ, "CAPSAFE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "capsafe_core.cli",
            "import",
            "--accept",
            "--name",
            "logs",
            str(home / "logs"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stdout + done.stderr
    assert done.returncode == 0 or "brought" in done.stdout, done.stderr
