"""Other tools' logs: written here in each tool's form, read back with the right counts, and what is wrong
with them said."""

from __future__ import annotations

import gzip
import json
import resource
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.importers import Log, Problems, Row, bounded, find_sources, read_source
from capsafe_core.importers.bounded import LIMITS
from capsafe_core.importers.log import Limits
from capsafe_core.importers.survey import Surveyor
from capsafe_core.mapping import Reading, guess_pattern, parse_mapping, path_facts, placed
from tests.logs import FORMS, inspect_log, inspect_sample, write_eval, write_forms
from tests.published import SHARED

Read = tuple[Log, list[Row]]


def read(root: Path, problems: Problems | None = None, **columns: str) -> list[Read]:
    sources, _ = find_sources([root])
    return [
        (log, list(log.rows))
        for source in sources
        for log in read_source(source, columns, problems or Problems())
    ]


def look(root: Path, mapping: str = "", strict: bool = False) -> dict[str, Any]:
    surveyor = Surveyor([root], parse_mapping(mapping) if mapping else None, "looked-at", strict=strict)
    surveyor.look(lambda *_: True)
    return surveyor.result()


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forms")
    write_forms(root)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_recognised_and_read(forms: Path, form: str) -> None:
    expected = FORMS[form]
    problems = Problems()
    found = [(log, rows) for log, rows in read(forms / form, problems) if log.tool != "prompts"]
    assert problems.sentences == []
    assert [log.tool for log, _ in found] == [expected.tool] * expected.logs
    assert sum(len(rows) for _, rows in found) == expected.rows
    assert sum(row.answer is None for _, rows in found for row in rows) == expected.silent
    assert Counter(s.by for _, rows in found for row in rows for s in row.said) == expected.said
    assert {log.model for log, _ in found} == {expected.model}


@pytest.mark.skipif(
    not (SHARED / "formats").exists(),
    reason="the examples of other tools' files are not beside the repository; files of the same forms are "
    "tested in every run",
)
@pytest.mark.parametrize(
    ("part", "outputs", "silent", "prompts", "verdicts"),
    [
        ("inspect/generated_eval", 12, 0, 0, 36),
        ("inspect/generated_json", 12, 0, 0, 36),
        ("inspect/real_2025-09_security-guide.eval", 16, 0, 0, 16),
        ("lm_eval", 3, 0, 0, 6),
        ("harmbench/harmbench_behaviors_text_all.csv", 0, 0, 400, 0),
        ("jbb", 100, 18, 0, 200),
        ("strongreject", 0, 0, 313, 0),
        ("helm", 10, 0, 0, 40),
        ("every_eval_ever", 1, 0, 0, 2),
    ],
)
def test_the_examples_of_other_tools(
    part: str, outputs: int, silent: int, prompts: int, verdicts: int
) -> None:
    found = look(SHARED / "formats" / part)
    assert [f["problems"] for f in found["files"]] == [[] for _ in found["files"]]
    assert sum(log["outputs"] for log in found["logs"]) == outputs
    assert sum(log["no_response"] for log in found["logs"]) == silent
    assert sum(log["prompts"] for log in found["logs"]) == prompts
    assert sum(h["count"] for h in found["judges"]) == verdicts


def test_an_inspect_log_keeps_who_changed_a_score(tmp_path: Path) -> None:
    edit = {
        "value": "I",
        "provenance": {"timestamp": "2026-01-02T03:04:05+00:00", "author": "Ada", "reason": "it refuses"},
    }
    sample = inspect_sample(
        0, scores={"grader": {"value": "I", "history": [{"value": "C", "explanation": "looks fine"}, edit]}}
    )
    (tmp_path / "a.json").write_text(json.dumps(inspect_log([sample])))
    [(_, [row])] = read(tmp_path)
    assert [(s.by, s.value, s.person) for s in row.said] == [("grader", "C", ""), ("grader", "I", "Ada")]
    assert row.said[1].raw == "it refuses"
    assert row.said[1].created == 1767323045.0


def test_an_inspect_sample_in_parts(tmp_path: Path) -> None:
    parts = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "attachment://abc"}]
    sample = inspect_sample(
        1,
        input=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Since"},
        ],
        scores={},
    )
    sample["output"]["choices"] = [{"message": {"content": parts}, "stop_reason": "max_tokens"}]
    sample["attachments"] = {"abc": "a long answer"}
    failed = inspect_sample(2, scores={}) | {
        "output": {"choices": []},
        "error": {"message": "the server was away"},
    }
    silent = inspect_sample(3, scores={}) | {"output": {"choices": []}}
    (tmp_path / "a.json").write_text(json.dumps(inspect_log([sample, failed, silent])))
    problems = Problems()
    [(_, [row, empty])] = read(tmp_path, problems)
    assert row.answer == "a long answer"
    assert row.finish == "length"
    assert row.prompt == ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"})
    assert empty.answer is None
    assert problems.sentences == ["Sample 1 of a.json failed: the server was away."]


def test_a_killed_inspect_run_has_no_header(tmp_path: Path) -> None:
    log = inspect_log([inspect_sample(i) for i in range(3)])
    write_eval(tmp_path / "killed.eval", log, header=False)
    problems = Problems()
    [(_, rows)] = read(tmp_path, problems)
    assert len(rows) == 3
    assert "did not end well (started)" in problems.sentences[0]
    with pytest.raises(CapsafeError, match="did not end well"):
        read(tmp_path, Problems(strict=True))


def test_zstandard_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "new.eval"
    write_eval(path, inspect_log([inspect_sample(i) for i in range(5)]), zstd=True)
    [(_, rows)] = read(tmp_path)
    assert len(rows) == 5
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("samples/2_epoch_1.json")
    data[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0xFF
    path.write_bytes(data)
    problems = Problems()
    [(_, rows)] = read(tmp_path, problems)
    assert len(rows) == 4
    assert "damaged" in problems.sentences[0]


def test_files_made_to_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    climbing = tmp_path / "climb" / "a.eval"
    climbing.parent.mkdir()
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("../../evil.json", "{}")
    bomb = tmp_path / "bomb" / "a.eval"
    bomb.parent.mkdir()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(inspect_log([])))
        archive.writestr("samples/1_epoch_1.json", b"[" * (LIMITS.member + 1))
    lying = tmp_path / "lying" / "a.eval"  # says that it is small, and is not
    lying.parent.mkdir()
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(b" " * (LIMITS.member + 1000)) + packer.flush()
    name = b"header.json"
    local = (
        struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(body), 10, len(name), 0) + name + body
    )
    central = (
        struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(body), 10, len(name), 0, 0, 0, 0, 0, 0
        )
        + name
    )
    lying.write_bytes(
        local + central + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    )
    for path, sentence in (
        (climbing, "leads out of it"),
        (bomb, "unpacks to more than"),
        (lying, "damaged|not JSON"),
    ):
        said = look(path.parent)["files"][0]["problems"]
        assert any(part in s for part in sentence.split("|") for s in said), said
    assert not (tmp_path.parent / "evil.json").exists()


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"prompt": "p", "response": "r"}\n')
        stream.truncate(LIMITS.line * 4)  # a line of NUL bytes that takes no room on disk
        stream.seek(0, 2)
        stream.write(b'\n{"prompt": "q", "response": "s"}\n')
    problems = Problems()
    [(_, rows)] = read(tmp_path, problems)
    assert [r.prompt for r in rows] == ["p", "q"]
    assert problems.sentences == [f"Line 2 of long.jsonl is longer than {LIMITS.line >> 20} MB."]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.csv", b"prompt,response\nx,\xff\xfe\n", "not UTF-8"),
        ("a.csv", b"prompt,response\nx,a\0b\n", "NUL"),
        ("a.csv", b"prompt,prompt\nx,y\n", "a name of its own"),
        ("a.csv", b'prompt,response\n"x,y\n', "not a CSV|no rows"),
        ("a.csv", b"prompt,response\nx,y,z\nx,y\n", "3 cells"),
        ("a.csv", b"colour,shape\nred,round\n", "No column of a.csv is known to hold the answers"),
        ("a.jsonl", b'{"prompt": "x", "response": "y"}\n{"prompt": "x"', "Line 2"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "nested too deeply|not JSON"),
        ("a.json", b"[1, 2]", "not an object"),
        ("a.parquet", b"PAR1 no", "Parquet"),
        ("results_x.json", b'{"results": [], "config": 3', "not JSON"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    said = " ".join(look(tmp_path)["files"][0]["problems"])
    assert any(part in said for part in sentence.split("|")), said


def test_a_small_parquet_file_of_long_texts_needs_little_memory(tmp_path: Path) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["p" * 30_000_000]))
    parquet.write_table(
        pa.table({"prompt": values, "response": ["r"] * 100}), tmp_path / "a.parquet", compression="zstd"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = look(tmp_path)
    assert "more than any model says" in found["files"][0]["problems"][0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes


@pytest.mark.parametrize("shape", ["rows", "list", "lines"])
def test_a_small_file_of_very_many_rows_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """30 million rows of one word are some kilobytes, and kept the look busy for many minutes."""
    path, many = tmp_path / "a.parquet", 30_000_000
    if shape == "rows":
        words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(many, np.int8)), ["a"])
        parquet.write_table(pa.table({"prompt": words, "response": words}), path)
    elif shape == "list":
        entries = pa.ListArray.from_arrays([0, many], pa.array(np.zeros(many, np.int8)))
        parquet.write_table(pa.table({"prompt": ["a"], "response": entries}), path)
    else:
        monkeypatch.setattr(bounded, "LIMITS", Limits(rows=1000))
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress(b'{"prompt": "a", "response": "b"}\n' * 1001))
    assert path.stat().st_size < 1 << 20
    [file] = look(path)["files"]
    assert "rows, or entries of lists" in " ".join(file["problems"])


def test_numbers_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"prompt": "x", "response": "y", "harm_score": NaN}\n{"prompt": "z", "response": "y", '
        '"harm_score": -Infinity}\n{"prompt": "w", "response": "y", "harm_score": 0.5}\n'
    )
    [heard] = look(tmp_path)["judges"]
    assert (heard["count"], heard["unparsed"], heard["low"], heard["high"]) == (3, 2, 0.5, 0.5)


def test_an_answer_that_comes_twice(tmp_path: Path) -> None:
    rows = [{"model": "m", "id": "1", "sample": 0, "prompt": "x", "response": r} for r in ("a", "a", "b")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = look(tmp_path)
    assert [(log["outputs"], log["again"]) for log in found["logs"]] == [(1, 2)]
    assert [c["words"] for c in found["conflicts"]] == ["'1' of a by m is answered differently"]


def test_one_name_for_two_prompts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"model": "m", "task": "t", "id": 1, "prompt": "x", "response": "y"}\n'
    )
    (tmp_path / "b.jsonl").write_text(
        '{"model": "m", "task": "t", "id": 1, "prompt": "other", "response": "y"}\n'
    )
    found = look(tmp_path)
    assert "is the name of two different prompts" in found["files"][1]["problems"][0]
    assert [len(items) for items in found["items"].values()] == [2]


def test_tables_of_every_kind_read_alike(tmp_path: Path) -> None:
    rows = [{"model": "m", "prompt": f"p{i}", "response": f"r{i}", "score": i / 4} for i in range(5)]
    forms = {
        "a.jsonl": "".join(json.dumps(r) + "\n" for r in rows),
        "a.json": json.dumps(rows),
        "a.csv": "model,prompt,response,score\n"
        + "".join(f"{r['model']},{r['prompt']},{r['response']},{r['score']}\n" for r in rows),
        "a.tsv": "model\tprompt\tresponse\tscore\n"
        + "".join(f"{r['model']}\t{r['prompt']}\t{r['response']}\t{r['score']}\n" for r in rows),
    }
    found = []
    for name, text in forms.items():
        folder = tmp_path / name.replace(".", "")
        folder.mkdir()
        (folder / name).write_text(text)
        found.append(read(folder))
    folder = tmp_path / "parquet"
    folder.mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    found.append(read(folder))
    first = found[0][0][1]
    assert [(r.item, r.prompt, r.answer, r.said[0].value) for r in first] == [
        (str(i + 1), f"p{i}", f"r{i}", i / 4) for i in range(5)
    ]
    assert all(len(each) == 1 and each[0][1] == first and each[0][0].model == "m" for each in found)


def test_columns_that_are_stated(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frage,antwort,response\nx,y,z\n")
    problems = Problems()
    [(_, [row])] = read(tmp_path, problems, prompt="frage", answer="antwort")
    assert (row.prompt, row.answer) == ("x", "y")


@pytest.mark.parametrize(
    ("path", "pattern", "facts"),
    [
        (
            "llama-math-s0/checkpoint-100/x.json",
            "{base}-{data}-s{seed}/checkpoint-{step}",
            {"base": "llama", "data": "math", "seed": "0", "step": "100"},
        ),
        (
            "runs/my_long_name_seed1/step_20/a.jsonl",
            "{recipe}_seed{seed}/step_{step}",
            {"recipe": "my_long_name", "seed": "1", "step": "20"},
        ),
        ("foo/bar-step200.csv", "{recipe}-step{step}", {"recipe": "bar", "step": "200"}),
        ("foo/bar.csv", "", {}),
    ],
)
def test_patterns(path: str, pattern: str, facts: dict[str, str]) -> None:
    assert guess_pattern([path, path, "other/file.csv"]) == pattern
    assert path_facts(pattern, path) == facts


def test_aliases_join_the_names_of_one_checkpoint() -> None:
    mapping = parse_mapping(
        'name = "a"\npattern = "{base}-{data}-s{seed}/checkpoint-{step}"\n[aliases]\n"hf/toy-100" = '
        '"toy-math-s0/checkpoint-100"\n"hf/toy" = "toy"\n'
    )
    by_path = placed(mapping, "whatever", "", {}, "toy-math-s0/checkpoint-100/a.json")
    assert by_path == placed(mapping, "hf/toy-100", "", {}, "elsewhere/a.json")
    assert by_path is not None
    assert (by_path.start, by_path.recipe, by_path.seed, by_path.step) == ("toy", "toy-math", 0, 100)
    assert placed(mapping, "hf/toy", "", {}, "a.json") == placed(mapping, "toy", "", {}, "b.json")


def test_readings_state_scale_and_direction() -> None:
    graded = Reading(by="s", name="s", dimension="safety", cutoff=0.5, scale=(0, 1))
    assert graded.verdict(0.5) == ("ok", "unsafe", 0.5)
    assert graded.verdict(0.4) == ("ok", "safe", 0.4)
    assert graded.verdict(3.0) == ("unparsed", None, 3.0)  # another scale of the same name
    below = Reading(by="s", name="s", dimension="safety", cutoff=0.5, direction="below")
    assert below.verdict(0.4)[1] == "unsafe"
    letters = Reading(by="s", name="s", dimension="correctness", labels={"C": "correct", "I": "incorrect"})
    assert [letters.verdict(v)[:2] for v in ("C", "i", "P", None)] == [
        ("ok", "correct"),
        ("ok", "incorrect"),
        ("unparsed", None),
        ("unparsed", None),
    ]
    assert letters.verdict("C", "refused") == ("refused", None, None)
    for wrong in ({"labels": {"C": "good"}}, {}):
        with pytest.raises(ValueError, match=r"not a label of safety|state labels"):
            Reading(by="s", name="s", dimension="safety", **wrong)  # type: ignore[arg-type]


def test_a_mapping_survives_being_written(forms: Path) -> None:
    text = look(forms)["mapping"]
    assert parse_mapping(text).to_toml() == text
    assert parse_mapping(text).judges
