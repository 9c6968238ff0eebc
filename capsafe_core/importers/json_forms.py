"""JSON that holds rows: a list, one object a line, columns, or a list somewhere inside; and chats, samples
and scores within a row.

A row of another tool becomes one with plain columns; what is nested gets the names on its way, with dots
between (`response.text`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.columns import guess_columns
from capsafe_core.importers.log import as_list, as_object, joined, last_answer, messages

DEPTH = 2
"""levels of objects within a row that become columns, and levels above a list of rows"""
CHATS = ("messages", "conversations", "conversation", "dialogue", "chat")
WHOLE = "rows"
"""the field of the mapping that names the path of the list of rows"""


def rows_of(data: Any, name: str, wanted: str = "") -> list[dict[str, Any]]:
    """The rows in a JSON value, each with what stands beside their list.

    Args:
        wanted: the path of their list, where the file has several: "results.items".

    Raises:
        CapsafeError: it holds none, or several lists and none is named.
    """
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        raise CapsafeError(f"{name} is neither an object nor a list.", "Save the outputs as one list.")
    columns = _by_columns(data)
    if columns is not None:
        return columns
    lists = dict(_lists(data, ()))
    if wanted and wanted in lists:
        return _with_siblings(data, wanted.split("."), lists[wanted])
    filled = {path: rows for path, rows in lists.items() if rows}
    if len(filled) == 1:
        ((path, rows),) = filled.items()
        return _with_siblings(data, path.split("."), rows)
    if filled:
        seen = ", ".join(f"{path} ({len(rows):,})" for path, rows in list(filled.items())[:8])
        raise CapsafeError(
            f"{name} holds several lists of objects: {seen}.",
            f"State which holds the outputs, under [columns] in the mapping: {WHOLE} = "
            f'"{next(iter(filled))}".',
        )
    named = _by_name(data)
    if named is not None and _may_be_outputs(named[0]):
        return named
    if {"prompt", "answer"} <= set(guess_columns(list(plain_row(data)))):
        return [data]
    if named is not None:
        return named
    keys = ", ".join(map(str, list(data)[:12])) or "nothing"
    raise CapsafeError(
        f"{name} holds no list of objects. It is an object of: {keys}.",
        "Save the outputs as one list of objects, or one object a line.",
    )


def _lists(data: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The lists of objects in an object, by their path."""
    for key, value in data.items():
        if isinstance(value, list) and (not value or isinstance(value[0], dict)):
            yield ".".join((*above, str(key))), value
        elif isinstance(value, dict) and len(above) < DEPTH:
            yield from _lists(value, (*above, str(key)))


def _with_siblings(data: dict[str, Any], path: list[str], rows: list[Any]) -> list[dict[str, Any]]:
    """Rows with the plain values that stand beside their list and above it, such as the model's name."""
    beside: dict[str, Any] = {}
    here: Any = data
    for key in path:
        beside |= {k: v for k, v in as_object(here).items() if isinstance(v, str | int | float | bool)}
        here = as_object(here).get(key)
    for unwanted in ("$schema", "version", "schema_version"):
        beside.pop(unwanted, None)
    return [{**beside, **row} if isinstance(row, dict) else row for row in rows]


def _by_columns(data: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Rows of a table that was written column by column: lists of one length, {"0": ...} of the same places,
    or columns beside data."""
    values = list(data.values())
    names, cells = data.get("columns"), data.get("data")
    if isinstance(names, list) and isinstance(cells, list) and all(isinstance(c, list) for c in cells):
        return [dict(zip(map(str, names), row, strict=False)) for row in cells]
    if len(values) < 2:
        return None
    if all(isinstance(v, list) for v in values):
        lengths = {len(v) for v in values}
        if len(lengths) == 1 and not any(isinstance(v[0], dict) for v in values if v) and lengths != {0}:
            return [dict(zip(data, row, strict=True)) for row in zip(*values, strict=True)]
    if all(isinstance(v, dict) and v for v in values):
        places = list(values[0])
        if all(list(v) == places for v in values) and all(str(p).isdigit() for p in places):
            return [{column: data[column][place] for column in data} for place in places]
    return None


def _by_name(data: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Rows of an object in which each row has its name: {"q1": {"prompt": ...}, ...}. A number is its place
    only."""
    rows = {k: v for k, v in data.items() if isinstance(v, dict)}
    if not rows or len(rows) < len(data):
        return None
    shared = set.intersection(*(set(v) for v in rows.values()))
    if len(shared) < 2:
        return None
    counted = all(key.isdigit() for key in rows)
    return [row if counted else {"id": key, **row} for key, row in rows.items()]


def looks_like_rows(data: Any, name: str) -> str:
    """Why a JSON value holds no rows that can be outputs, in a sentence; "" where it may."""
    if isinstance(data, list):
        return ""
    lists = [rows for _, rows in _lists(as_object(data), ()) if rows]
    try:
        rows = rows_of(data, name)
    except CapsafeError as error:
        if any(_may_be_outputs(rows[0]) for rows in lists):
            return ""  # several lists: somebody has to say which
        return str(error)
    if rows and _may_be_outputs(rows[0]):
        return ""
    nested = [
        k for k, v in plain_row(as_object(rows[0] if rows else {})).items() if "." in k and isinstance(v, str)
    ]
    if len(nested) > 1:
        return ""  # texts within objects: somebody has to say which is what
    keys = ", ".join(map(str, as_object(rows[0] if rows else {})))[:200] or "nothing"
    return f"no prompt or answer is known in it; its rows hold {keys}."


def _may_be_outputs(row: Any) -> bool:
    """Whether a row has a prompt or an answer."""
    return isinstance(row, dict) and bool({"prompt", "answer"} & set(guess_columns(list(plain_row(row)))))


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with columns alone: known forms by their own names, the rest by the names on its way."""
    for form in (_batch, _promptfoo, _langfuse, _deepeval, _mlflow):
        found = form(row)
        if found is not None:
            return found
    return _flat(_chat(row))


def plain_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row's outputs: of AlpacaEval's comparisons, those of both generators."""
    if "output_1" not in row and not any(isinstance(v, dict | list) for v in row.values()):
        return [row]
    if {"output_1", "output_2", "generator_1", "generator_2"} <= set(row):
        shared = {k: v for k, v in row.items() if not k.endswith(("_1", "_2")) and k != "preference"}
        return [
            {**shared, "output": row[f"output_{i}"], "generator": row[f"generator_{i}"], **more}
            for i, more in ((1, {}), (2, {"preference": row.get("preference")}))
        ]
    return [plain_row(row)]


def _flat(row: dict[str, Any], above: str = "", depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{above}{key}"
        turn = as_object(value)
        if completion := _completion(turn):
            found[name] = completion.pop("response")
            found = {**{k: v for k, v in completion.items() if v is not None}, **found}
        elif isinstance(value, dict) and messages(turn.get("messages")):
            found |= {name: turn["messages"], f"{name}.model": turn.get("model")}
        elif (verdicts := _verdicts(value)) is not None:
            found |= {f"{name}.{by}": verdict for by, verdict in verdicts.items()}
        elif set(turn) >= {"role", "content"} and isinstance(turn["content"], str):
            found[name] = turn["content"]
        elif isinstance(value, dict) and depth < DEPTH:
            found |= _flat(value, f"{name}.", depth + 1)
        else:
            found[name] = value
    return found


def _chat(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose conversation stands in one column: its prompt, and what the model said last."""
    for key in CHATS:
        turns = row.get(key)
        asked = messages(turns)
        if asked:
            rest = {k: v for k, v in row.items() if k != key}
            answer = last_answer(turns)
            rest.setdefault("prompt", list(asked))
            return {**rest, "response": answer} if answer is not None or "response" not in rest else rest
    return row


_NAMES = (
    "judge",
    "judge_name",
    "name",
    "scorer",
    "grader",
    "evaluator",
    "metric",
    "annotator",
    "rater",
    "by",
)
_VALUES = (
    "verdict", "label", "value", "score", "judgment", "judgement", "decision", "rating", "grade", "result",
    "passed", "unsafe", "safe", "harmful", "refusal", "correct",
)  # fmt: skip


def _verdicts(value: Any) -> dict[str, Any] | None:
    """Of a list of what judges said of one answer, each with its name: the name -> the value, or the name
    and the field -> the value where one says several things. None for any other value."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return None
    found: dict[str, Any] = {}
    for one in value:
        by = next((one[k] for k in _NAMES if isinstance(one.get(k), str)), "")
        told = {k: one[k] for k in _VALUES if isinstance(one.get(k), str | int | float)}
        if not by or not told:
            return None
        mine = {by if len(told) == 1 else f"{by}.{k}": v for k, v in told.items()}
        if mine.keys() & found.keys():
            return None  # one judge twice: which of them counts, nobody says
        found |= mine
    return found


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    """What a chat API answered, in OpenAI's form or in Anthropic's; empty where it is neither."""
    usage = as_object(body.get("usage"))
    choices = [as_object(c) for c in as_list(body.get("choices"))]
    if choices:
        first = as_object(choices[0].get("message")) if len(choices) == 1 else {}
        texts = [joined(as_object(c.get("message")).get("content", c.get("text"))) for c in choices]
        return {
            "model": body.get("model"),
            "response": texts[0] if len(texts) == 1 else texts,
            "reasoning_content": first.get("reasoning_content"),
            "finish_reason": choices[0].get("finish_reason"),
            "completion_tokens": usage.get("completion_tokens"),
        }
    if isinstance(body.get("content"), list) and body.get("role") == "assistant":
        return {
            "model": body.get("model"),
            "response": joined(body["content"]),
            "finish_reason": body.get("stop_reason"),
            "completion_tokens": usage.get("output_tokens"),
        }
    return {}


def _batch(row: dict[str, Any]) -> dict[str, Any] | None:
    """A request of OpenAI's or Anthropic's batches, or the response to one."""
    if "custom_id" not in row:
        return None
    asked = as_object(row.get("body")) or as_object(row.get("params"))
    if asked:
        turns = asked.get("messages")
        if isinstance(asked.get("system"), str) and isinstance(turns, list):
            turns = [{"role": "system", "content": asked["system"]}, *turns]
        return {"custom_id": row["custom_id"], "model": asked.get("model"), "prompt": list(messages(turns))}
    if not {"response", "result", "error"} & set(row):
        return None
    body = as_object(as_object(row.get("response")).get("body")) or as_object(
        as_object(row.get("result")).get("message")
    )
    nothing = dict.fromkeys(("model", "response", "reasoning_content", "finish_reason", "completion_tokens"))
    return {"custom_id": row["custom_id"], **(_completion(body) or nothing)}


def _promptfoo(row: dict[str, Any]) -> dict[str, Any] | None:
    provider, prompt = row.get("provider"), as_object(row.get("prompt"))
    if provider is None or "raw" not in prompt or "response" not in row:
        return None
    grading = as_object(row.get("gradingResult"))
    return {
        "model": as_object(provider).get("label") or as_object(provider).get("id") or provider,
        "prompt": _parsed_chat(prompt["raw"]),
        "response": as_object(row["response"]).get("output"),
        "success": row.get("success"),
        "score": row.get("score"),
        "explanation": grading.get("reason"),
        "item": row.get("testIdx"),
        **{f"vars.{k}": v for k, v in as_object(row.get("vars")).items() if isinstance(v, str | int | float)},
    }


def _langfuse(row: dict[str, Any]) -> dict[str, Any] | None:
    """A trace, or an observation: input, output and scores."""
    if not {"input", "output"} <= set(row) or not (
        {"scores", "timestamp", "startTime", "traceId"} & set(row)
    ):
        return None
    asked = row["input"]
    asked = as_object(asked).get("messages", asked)
    return {
        "id": row.get("id"),
        "model": row.get("model"),
        "prompt": list(messages(asked)) or _text_in(asked),
        "response": _text_in(row["output"]),
        **{
            str(s["name"]): s["value"]
            for s in as_list(row.get("scores"))
            if isinstance(s, dict) and "name" in s and "value" in s
        },
    }


def _deepeval(row: dict[str, Any]) -> dict[str, Any] | None:
    names = set(row)
    if "input" not in names or not names & {"actualOutput", "actual_output"}:
        return None
    found = {
        "id": row.get("name"),
        "prompt": row["input"],
        "response": row.get("actualOutput", row.get("actual_output")),
        "reference": row.get("expectedOutput", row.get("expected_output")),
        "model": row.get("model"),
        "success": row.get("success"),
    }
    for metric in as_list(row.get("metricsData", row.get("metrics_data"))):
        one = as_object(metric)
        if isinstance(one.get("name"), str):
            found[one["name"]] = one.get("score")
            found[f"{one['name']} passed"] = one.get("success")
    return {k: v for k, v in found.items() if v is not None or k in ("prompt", "response")}


def _mlflow(row: dict[str, Any]) -> dict[str, Any] | None:
    """A trace of MLflow: its request and its response, which may be JSON within a text."""
    data, about = as_object(row.get("data")), as_object(row.get("info"))
    if not {"request", "response"} <= set(data) or not about:
        return None
    asked, said = (_parsed(data[k]) for k in ("request", "response"))
    asked = as_object(asked).get("messages", asked)
    choices = as_list(as_object(said).get("choices"))
    answer = as_object(as_object(choices[0]).get("message")).get("content") if choices else _text_in(said)
    scores = {
        str(a.get("name")): as_object(a.get("feedback")).get("value")
        for a in map(as_object, as_list(about.get("assessments")))
        if a.get("name")
    }
    return {
        "id": about.get("request_id") or about.get("trace_id"),
        "model": as_object(said).get("model") or as_object(_parsed(data["request"])).get("model"),
        "prompt": list(messages(asked)) or _text_in(asked),
        "response": answer,
        **scores,
    }


def _parsed(value: Any) -> Any:
    """The JSON in a text; the text where there is none."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _parsed_chat(value: Any) -> Any:
    return list(messages(_parsed(value))) or value


def _text_in(value: Any) -> Any:
    """The text of an answer that may be a message, or an object with one field."""
    if isinstance(value, dict):
        return next((value[k] for k in ("content", "text", "output", "answer") if k in value), None) or (
            next(iter(value.values())) if len(value) == 1 else None
        )
    return value
