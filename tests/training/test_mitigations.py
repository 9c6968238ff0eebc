"""Mitigations while training: each against a plain implementation of what was published, and in a run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from capsafe_core import catalogue
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.places import ROOT
from capsafe_core.settings import Settings
from capsafe_core.training.self_distillation import SDFT
from tests.engines.tiny import InEngine, finish
from tests.training.test_training import training, weights_of

HEAD = """
import copy, json, math, sys
import torch
from pathlib import Path
from peft import LoraConfig, get_peft_model
from capsafe_core.jobs.folder.work import RecipeWork
from capsafe_core.training.learnt import IGNORED, Example
from capsafe_core.training.mitigations import WHILE_TRAINING, METHODS, Means
from capsafe_core.training.mitigations.during import batch

def means(steps, safety=(), rows=8, **options):
    return Means(RecipeWork(1e-3, (steps,), rows, 4, 3), options, safety, 0)

def adapted(folder):
    # a tiny model with an adapter that has moved, and the same model without it
    from transformers import AutoModelForCausalLM
    base = AutoModelForCausalLM.from_pretrained(folder)
    start = copy.deepcopy(base)
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model, start

rows = [Example([5, 6, 7, 8, 9, 10, 11, 12], [IGNORED] * 2 + [7, 8, 9, 10, 11, 12]),
        Example([9, 8, 7, 6, 5], [IGNORED, 8, 7, IGNORED, 5])]
"""

ORDERS = """
def of(name, steps, **options):
    found = WHILE_TRAINING[name](means(steps, rows[:1] * 5, **options)).order(20)
    return [[row >= 20 for row in found[i * 8:(i + 1) * 8]] for i in range(steps)], found
mixed, places = of("mixing", 50, share=0.25)
rare, _ = of("mixing", 50, share=0.03)
turns, _ = of("lisa", 12, rho=1.0, alignment_steps=1, task_steps=3)
print(json.dumps({
    "mixed": sorted({sum(step) for step in mixed}), "rare": [sum(step) for step in rare],
    "once": sorted([row for row in places if row < 20][:40]) == sorted(list(range(20)) * 2),
    "seen": sorted(set(places)), "turns": ["".join("sr"[not one] for one in set(step)) for step in turns],
    "same": of("mixing", 50, share=0.25)[1] == places,
}))
"""

# Lisa as Algorithm 1 of arXiv 2405.18641 has it: a turn ends, its weights are what the other is held near.
LISA = """
def grads(w, x, y):
    return 2 * (w @ x - y)[:, None] @ x[None]  # of |w x - y|^2

torch.manual_seed(0)
data = [(torch.randn(3), torch.randn(2)) for _ in range(40)]
start, rate, rho, first, second, steps = torch.randn(2, 3), 0.02, 0.7, 2, 3, 40
w, ends, step = start.clone(), {"alignment": start.clone(), "task": start.clone()}, 0
while step < steps:
    for mine, other, turn in (("alignment", "task", first), ("task", "alignment", second)):
        for _ in range(turn):
            if step == steps:
                break
            held = rho * (w - ends[other]) if step >= 0.1 * steps else 0
            w = w - rate * (grads(w, *data[step]) + held)
            step += 1
        ends[mine] = w.clone()
model = torch.nn.Linear(3, 2, bias=False)
model.weight.data = start.clone()
lisa = WHILE_TRAINING["lisa"](means(steps, rho=rho, alignment_steps=first, task_steps=second))
lisa.begin(model)
for step, (x, y) in enumerate(data):
    if step == 17:  # goes on elsewhere, from what was kept
        kept = copy.deepcopy(lisa.state())
        lisa = WHILE_TRAINING["lisa"](means(steps, rho=rho, alignment_steps=first, task_steps=second))
        lisa.resume(kept)
    loss = (model(x) - y).pow(2).sum()
    added = lisa.penalty(model, step)
    model.zero_grad()
    (loss if added is None else loss + added).backward()
    model.weight.data -= rate * model.weight.grad
    lisa.stepped(model, step)
print(json.dumps({"off": float((model.weight - w).abs().max()), "moved": float((w - start).abs().max())}))
"""

CONSTRAINED = """
options = dict(beta_first=0.5, beta_early=2.0, early=3, beta=0.1)
model, start = adapted(sys.argv[1])
inputs = batch(rows, 0, torch.device("cpu"))
loss = WHILE_TRAINING["constrained"](means(5, **options)).loss(model, dict(inputs), torch.tensor(9))
total = 0.0
for row in rows:  # one row and one token at a time
    ids = torch.tensor([row.ids])
    tuned = torch.log_softmax(model(ids).logits[0], -1)
    before = torch.log_softmax(start(ids).logits[0], -1)
    place = 0
    for t in range(1, len(row.ids)):
        place = place + 1 if row.labels[t] != IGNORED else 0
        if place:
            beta = 0.5 if place == 1 else 2.0 if place <= 3 else 0.1
            ahead = float(tuned[t - 1, row.ids[t]] - before[t - 1, row.ids[t]])
            weight = max(2 * (1 - 1 / (1 + math.exp(-beta * ahead))), 1e-3)
            total = total - weight * tuned[t - 1, row.ids[t]] / 9
names = [n for n, w in model.named_parameters() if w.requires_grad]
mine = torch.autograd.grad(loss, [w for w in model.parameters() if w.requires_grad])
plain = torch.autograd.grad(total, [w for w in model.parameters() if w.requires_grad])
print(json.dumps({"loss": [float(loss), float(total)],
                  "off": max(float((a - b).abs().max()) for a, b in zip(mine, plain)),
                  "moved": max(float(a.abs().max()) for a in plain)}))
"""

KL = """
model, start = adapted(sys.argv[1])
kl = WHILE_TRAINING["kl"](means(5, rows, rows=2, weight=0.5))
total, count = 0.0, 0
for row in rows:  # both rows are in every batch of two
    ids = torch.tensor([row.ids])
    p, q = torch.softmax(start(ids).logits[0], -1), torch.softmax(model(ids).logits[0], -1)
    for t in range(1, len(row.ids)):
        if row.labels[t] != IGNORED:
            total, count = total + float((p[t - 1] * (p[t - 1] / q[t - 1]).log()).sum()), count + 1
same = WHILE_TRAINING["kl"](means(5, rows, rows=2, weight=0.5))
with model.disable_adapter():
    nothing = same.penalty(model, 0)
print(json.dumps({"penalty": float(kl.penalty(model, 3)), "plain": 0.5 * total / count,
                  "nothing": float(nothing), "learns": bool(kl.penalty(model, 1).requires_grad)}))
"""


# peft's own merges, of adapters with the same values on a small module.
MERGES = """
from capsafe_core.training.mitigations import Given, Pair
from capsafe_core.records import digest_text

def adapters(shape=(10, 6), ranks=(2, 3), alphas=(4, 6)):
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Linear(shape[1], shape[0], bias=False))
    model, pairs = None, {}
    for name, rank, alpha in zip(("tuned", "alignment"), ranks, alphas):
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"])
        if model is None:
            model = get_peft_model(net, config, name)
        else:
            model.add_adapter(name, config)
        layer = model.base_model.model[0]
        a, b = torch.randn(rank, shape[1]), torch.randn(shape[0], rank)
        layer.lora_A[name].weight.data, layer.lora_B[name].weight.data = a.clone(), b.clone()
        pairs[name] = {"0": Pair(a, b, alpha / rank)}
    return model, layer, Given(pairs["tuned"], pairs["alignment"])

off, moved = [], []
for strength in (0.2, 0.5, 0.8):
    model, layer, given = adapters()
    model.base_model.add_weighted_adapter(
        ["tuned", "alignment"], [1.0, strength], "merged", "ties_svd", svd_rank=5, density=0.5)
    mine = METHODS["ties"](given, strength)["0"].update
    theirs = layer.scaling["merged"] * layer.lora_B["merged"].weight @ layer.lora_A["merged"].weight
    off.append(float((mine - theirs).abs().max()))
    moved.append(float((mine - given.tuned["0"].update).abs().max()))
    dropped = METHODS["dare"](given, strength)["0"]
    torch.manual_seed(int(digest_text("0")[:8], 16))  # the same chance, so none is drawn for a new adapter
    a, b = model.base_model._generalized_task_arithmetic_weighted_adapter(
        "dare_linear", ["tuned"], [1.0], layer, 1 - strength, "total")
    theirs = b @ a
    off.append(float((dropped.update - theirs).abs().max()))
big = {"m": Pair(torch.ones(20, 400), torch.ones(400, 20), 1.0)}
a = METHODS["dare"](Given(big, None), 0.25)["m"].a
print(json.dumps({"off": max(off), "moved": min(moved), "values": sorted(set(a.flatten().tolist())),
                  "dropped": float((a == 0).float().mean())}))
"""


def test_the_catalogue_names_those_that_exist(in_engine: InEngine) -> None:
    found = in_engine(HEAD + 'print(json.dumps({"after": list(METHODS), "while": list(WHILE_TRAINING)}))')
    found["before"] = [SDFT]
    for when in ("after", "while", "before"):
        assert found[when] == [n for n, e in catalogue.mitigations().items() if e["when"] == when]
    told = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in told for name in catalogue.mitigations())


def test_batches_hold_their_share_of_safety_and_take_turns(in_engine: InEngine) -> None:
    found = in_engine(HEAD + ORDERS)
    assert found["mixed"] == [2]  # a quarter of eight, in every step
    assert sum(found["rare"]) == int(50 * 8 * 0.03)
    assert set(found["rare"]) == {0, 1}
    assert found["once"]  # every row of the task before any comes a third time
    assert found["seen"] == list(range(25))
    assert found["turns"] == ["s", "r", "r", "r"] * 3
    assert found["same"]


def test_lisa_is_its_papers_algorithm(in_engine: InEngine) -> None:
    found = in_engine(HEAD + LISA)
    assert found["moved"] > 0.1
    assert found["off"] < 1e-5


def test_constrained_fine_tuning_is_its_papers_loss(in_engine: InEngine, tiny_model: str) -> None:
    found = in_engine(HEAD + CONSTRAINED, tiny_model)
    assert found["loss"][0] == pytest.approx(found["loss"][1], rel=1e-5)
    assert found["off"] < 1e-5 < found["moved"]


def test_kl_to_the_start_is_the_sum_over_the_vocabulary(in_engine: InEngine, tiny_model: str) -> None:
    found = in_engine(HEAD + KL, tiny_model)
    assert found["penalty"] == pytest.approx(found["plain"], rel=1e-4)
    assert found["penalty"] > 1e-4
    assert abs(found["nothing"]) < 1e-6
    assert found["learns"]


def test_merges_are_those_of_peft(in_engine: InEngine) -> None:
    found = in_engine(HEAD + MERGES)
    assert found["moved"] > 0.1
    assert found["off"] < 1e-4
    assert found["values"] == pytest.approx([0.0, 4 / 3])
    assert found["dropped"] == pytest.approx(0.25, abs=0.02)


# SafeLoRA where whole weights were aligned, as published: V is the aligned model's weights less its base's.
WHOLE = """
import sys
from pathlib import Path
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from capsafe_core.errors import CapsafeError
from capsafe_core.training.mitigations import METHODS, Given, Pair, WholeWeights

base, root = Path(sys.argv[1]), Path(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(base)
torch.manual_seed(5)
for name, weights in model.named_parameters():
    weights.data += 0.1 * torch.randn_like(weights)
model.save_pretrained(root / "aligned", max_shard_size="20KB")
whole = WholeWeights(root / "aligned", base)
before, after = load_file(base / "model.safetensors"), model.state_dict()
names = [f"model.layers.{i}.self_attn.{m}_proj" for i in range(2) for m in ("q", "o")]
tuned = {}
for name in names:
    o, i = after[name + ".weight"].shape
    tuned["base_model.model." + name] = Pair(torch.randn(2, i), torch.randn(o, 2), 2.0)
found, off = METHODS["safelora"](Given(tuned, whole), 0.99), []
for name in names:
    v = after[name + ".weight"] - before[name + ".weight"]
    module = "base_model.model." + name
    plain = v @ v.T / torch.linalg.norm(v) @ tuned[module].update
    off.append(float((found[module].update - plain).abs().max()))
problems = []
for method, given in (
    ("resta", Given(tuned, whole)),
    ("safelora-projector", Given(tuned, whole)),
    ("safelora", Given({"base_model.model.other": tuned[module]}, whole)),
):
    try:
        METHODS[method](given, 0.5)
    except CapsafeError as error:
        problems.append(error.message)
index = list((root / "aligned").glob("*.index.json"))
print(json.dumps({"off": max(off), "problems": problems, "sharded": len(index), "known": len(list(whole))}))
"""


def test_safelora_knows_whole_weights_that_were_aligned(
    in_engine: InEngine, tiny_model: str, tmp_path: Path
) -> None:
    found = in_engine(HEAD + WHOLE, tiny_model, str(tmp_path))
    assert found["sharded"] == 1
    assert found["known"] > 10
    assert found["off"] < 1e-4
    assert "resta works on an alignment of low rank" in found["problems"][0]
    assert "safelora-projector works on an alignment of low rank" in found["problems"][1]
    assert "alignment did not change base_model.model.other" in found["problems"][2]


def mitigated(root: Path, name: str, model: str, steps: list[int], **options: float) -> Job:
    """A fine-tuning job with a mitigation; the project's refusals are its safety data."""
    job = training(root, name or "plain", model, steps, mitigation=name, options=options)
    work = (
        {**job.manifest.work, "safety": job.manifest.work["dataset"]}
        if name != "constrained"
        else job.manifest.work
    )
    return create_job(root, Manifest("finetune", f"{name}-safe", work))


def test_each_changes_what_a_run_comes_to(tmp_path: Path, engine_python: Path, tiny_model: str) -> None:
    told: dict[str, dict[str, float]] = {"mixing": {"share": 0.5}, "lisa": {"rho": 50.0}}
    told |= {"": {}, "constrained": {}, "kl": {"weight": 5.0}, "ewc": {"weight": 1e3}}
    jobs = [
        finish(mitigated(tmp_path, name, tiny_model, [12], **o), engine_python) for name, o in told.items()
    ]
    assert len({weights_of(job)["step-000012"] for job in jobs}) == len(told)


def test_lisa_goes_on_from_what_it_kept(tmp_path: Path, engine_python: Path, tiny_model: str) -> None:
    """Stopped after its first checkpoint, then let go on: the weights of a run that was not stopped."""
    options = {"rho": 50.0, "alignment_steps": 2, "task_steps": 5}
    whole = finish(mitigated(tmp_path / "a", "lisa", tiny_model, [9, 80], **options), engine_python)
    broken = mitigated(tmp_path / "b", "lisa", tiny_model, [9, 80], **options)
    worker = start_worker(broken, settings=Settings(engine_python=engine_python))
    while not weights_of(broken) and worker.poll() is None:
        time.sleep(0.01)
    broken.ask_to_stop()
    worker.wait()
    states = list((broken.folder / "training").glob("checkpoint-*"))
    assert [(state / "mitigation.pt").exists() for state in states] == [True]
    assert "checkpoint-80" not in {state.name for state in states}, "it was stopped too late"
    broken.clear_stop()
    assert weights_of(finish(broken, engine_python)) == weights_of(whole)
