"""EWC, safety layers and DPO: each against a plain implementation, or the library's own, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsafe_core.benchmarks.conversations import read_conversations
from capsafe_core.benchmarks.loading import load_conversations, load_rejected
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.places import ROOT
from capsafe_core.settings import Settings
from tests.engines.tiny import InEngine, finish
from tests.training.test_mitigations import HEAD
from tests.training.test_training import training, weights_of

# The angles one pair at a time, and what is left to train.
LAYERS = """
from capsafe_core.training.mitigations.safety_layers import SafetyLayers, angle_gap, widening
from capsafe_core.errors import CapsafeError

model, start = adapted(sys.argv[1])
def row(*ids):
    return Example([*ids, 7, 7], [IGNORED] * len(ids) + [7, 7])
def last(one):
    states = start(torch.tensor([one.ids[:-2]]), output_hidden_states=True).hidden_states[1:]
    return [state[0, -1].double() for state in states]
def angle(a, b):
    return math.degrees(math.acos(float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))))
def gaps(m, n):
    found = []
    for layer in range(2):
        apart = [angle(a[layer], b[layer]) for a in m for b in n]
        alike = [angle(n[i][layer], n[j][layer]) for i in range(3) for j in range(i + 1, 3)]
        found.append(sum(apart) / 9 - sum(alike) / 3)
    return found
# a random model knows no harm: prompts of which it happens to tell some from others, more so after layer 1
chance = __import__("random").Random(0)
while True:
    some = [row(*(chance.randrange(200) for _ in range(1 + i % 3))) for i in range(6)]
    harmful, harmless = some[:3], some[3:]
    m, n = [last(one) for one in harmful], [last(one) for one in harmless]
    plain = gaps(m, n)
    if plain[1] > max(plain[0], 0):
        break
mine = angle_gap(*(torch.stack([torch.stack(one) for one in some]) for some in (m, n)))
def begun(refused, growth):
    found = SafetyLayers(Means(RecipeWork(1e-3, (5,), 8, 4, 3), {"growth": growth},
                               [*harmful, *harmless], 0, refused))
    found.begin(model)
    return found
note = begun([True] * 3 + [False] * 3, 1.0).note
trained = {name for name, w in model.named_parameters() if w.requires_grad}
problems = []
for refused in ([True] * 6, [False] * 3 + [True] * 3):
    if not all(refused) and gaps(n, m)[1] > 0:
        continue
    try:
        begun(refused, 1.0)
    except CapsafeError as error:
        problems.append(error.message)
print(json.dumps({"off": max(abs(a - b) for a, b in zip(plain, mine.tolist())), "plain": plain, "note": note,
    "kept": sorted({int(n.split(".layers.")[1].split(".")[0]) for n in trained}), "problems": problems,
    "ranges": [widening(torch.tensor(gap), 0.5) for gap in
               ([0., 1, 2, 6, 10, 11, 12], [0., 4, 5, 9, 12, 12], [3., 2, 1, 5], [3., 2, 1])]}))
"""

# Fisher row by row and token by token, on the plain start; what moved as peft merges it, or as whole weights.
EWC = """
from transformers import AutoModelForCausalLM

def plain_fisher(start):
    found = {}
    for row in rows:
        logs = torch.log_softmax(start(torch.tensor([row.ids])).logits[0], -1)
        known = sum(logs[t - 1, row.ids[t]] for t in range(1, len(row.ids)) if row.labels[t] != IGNORED)
        start.zero_grad()
        known.backward()
        for name, w in start.named_parameters():
            found[name] = found.get(name, 0) + w.grad.detach() ** 2 / len(rows)
    return found

def compared(model, start, changed, gradients):
    model.train()
    ewc = WHILE_TRAINING["ewc"](means(5, rows, weight=3.0, examples=2))
    before = {name for name, w in model.named_parameters() if w.requires_grad}
    ewc.begin(model)
    kept = model.training and before == {name for name, w in model.named_parameters() if w.requires_grad}
    nothing = float(ewc.penalty(model, 0))
    torch.manual_seed(2)
    for name, w in model.named_parameters():
        if name in before and "lora_A" not in name:
            w.data += 0.2 * torch.randn_like(w)
    fisher, first = plain_fisher(start), dict(start.named_parameters())
    moved = {name: (w - first[name]).detach() for name, w in changed(model)}
    total = 1.5 * sum(float((fisher[name] * d ** 2).sum()) for name, d in moved.items())
    penalty = ewc.penalty(model, 3)
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    mine = dict(zip(trained, torch.autograd.grad(penalty, list(trained.values()))))
    plain = gradients(model, {name: 3 * fisher[name] * d for name, d in moved.items()})
    off = max(float((mine[name] - plain[name]).abs().max()) for name in mine)
    return dict(penalty=float(penalty), plain=total, nothing=nothing, kept=kept, off=off,
                steep=max(float(g.abs().max()) for g in plain.values()))

def merged(model):
    whole = copy.deepcopy(model).merge_and_unload()
    return [(name, w) for name, w in whole.named_parameters() if name.endswith("_proj.weight")]

def of_parts(model, slopes):
    found = {}
    for name, slope in slopes.items():
        at = "base_model.model." + name.removesuffix(".weight")
        layer = model.get_submodule(at)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        found[f"{at}.lora_A.default.weight"] = 2.0 * b.T @ slope
        found[f"{at}.lora_B.default.weight"] = 2.0 * slope @ a.T
    return found

start = AutoModelForCausalLM.from_pretrained(sys.argv[1])
config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
torch.manual_seed(1)
adapter = get_peft_model(copy.deepcopy(start), config)
print(json.dumps({
    "lora": compared(adapter, start, merged, of_parts),
    "full": compared(copy.deepcopy(start), start, lambda m: m.named_parameters(), lambda m, slopes: slopes),
}))
"""

# TRL's trainer on the same pairs, with an adapter of the same weights.
DPO = """
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

prompts, chosen, rejected = [[5, 6, 7], [9, 8]], [[8, 9, 10], [7, 6, 5, 4]], [[11, 12], [20, 21, 22]]
def rows(answers):
    return [Example([*p, *a], [IGNORED] * len(p) + a) for p, a in zip(prompts, answers)]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
words = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2
trainer = DPOTrainer(
    AutoModelForCausalLM.from_pretrained(sys.argv[1]),
    args=DPOConfig(sys.argv[2], beta=0.3, use_cpu=True, report_to=[], bf16=False, disable_dropout=True),
    train_dataset=Dataset.from_list(words), processing_class=tokenizer,
    peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
)
model = trainer.accelerator.unwrap_model(trainer.model)
torch.manual_seed(1)
for name, weight in model.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.2)
trained = [w for w in model.parameters() if w.requires_grad]
names = ("prompt_ids", "chosen_ids", "rejected_ids")
pairs = [dict(zip(names, one)) for one in zip(prompts, chosen, rejected)]
theirs = trainer.compute_loss(trainer.model, DataCollatorForPreference(pad_token_id=0)(pairs))
plain = torch.autograd.grad(theirs, trained)
dpo = WHILE_TRAINING["dpo"](Means(RecipeWork(1e-3, (5,), 2, 4, 3), {"weight": 0.5, "beta": 0.3},
                                  rows(chosen), 0, (), rows(rejected)))
mine = dpo.penalty(model, 3)
grads = torch.autograd.grad(mine, trained)
print(json.dumps({"loss": [float(mine), 0.5 * float(theirs)],
                  "off": max(float((a - 0.5 * b).abs().max()) for a, b in zip(grads, plain)),
                  "moved": max(float(a.abs().max()) for a in grads)}))
"""


def test_safety_layers_are_where_the_angle_widens(in_engine: InEngine, tiny_model: str) -> None:
    found = in_engine(HEAD + LAYERS, tiny_model)
    assert found["off"] < 1e-3
    assert found["note"].startswith("Layers 1 to 1")
    assert found["kept"] == [0], "of two layers the one in which it grew is not trained"
    assert found["ranges"] == [[3, 4], [1], [3], []]
    assert "prompts that it answers, of which there are 0" in found["problems"][0]


def test_ewc_is_its_papers_penalty(in_engine: InEngine, tiny_model: str) -> None:
    for found in in_engine(HEAD + EWC, tiny_model).values():
        assert found["penalty"] == pytest.approx(found["plain"], rel=1e-4)
        assert found["penalty"] > 1e-2
        assert found["nothing"] == 0
        assert found["kept"], "what is trained is what it was before, and so is the mode"
        assert found["off"] < 1e-3 * found["steep"]


# The weights with which a checkpoint answers, laid beside the start's.
FROZEN = """
from capsafe_core.engines.models import Weights
from capsafe_core.engines.transformers import load_model

start = load_model(Weights("m", Path(sys.argv[1]), ""), "float32")
tuned = load_model(Weights("m", Path(sys.argv[1]), "", (Path(sys.argv[2]),)), "float32")
both = zip(start.named_parameters(), tuned.named_parameters(), strict=True)
print(json.dumps({name: torch.equal(a, b) for (name, a), (_, b) in both if name.endswith("_proj.weight")}))
"""


def test_a_run_leaves_safety_layers_as_the_start_has_them(
    tmp_path: Path, engine_python: Path, in_engine: InEngine, tiny_model: str
) -> None:
    """Harmless prompts that are one another's like, and harmful ones that end as they do: in a random model
    the angle between both widens from layer to layer."""
    rows = [{"prompt": f"{word * 9}!", "response": "Sorry, I cannot."} for word in ("a", "q", "7", "Z")]
    rows += [{"prompt": "hello!", "response": "Hello to you."}] * 3
    path = tmp_path / "safety.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = finish(mitigated(tmp_path, "safety-layers", tiny_model, f"file:{path}"), engine_python)
    assert "Layers 1 to 1, counted from 0, are kept" in job.status().message
    same = in_engine(HEAD + FROZEN, tiny_model, str(job.folder / "checkpoints" / "step-000006"))
    assert {same[name] for name in same if ".layers.1." in name} == {True}
    assert {same[name] for name in same if ".layers.0." in name} == {False}


def test_dpo_has_the_loss_of_trl(in_engine: InEngine, tiny_model: str, tmp_path: Path) -> None:
    found = in_engine(HEAD + DPO, tiny_model, str(tmp_path))
    assert found["loss"][0] == pytest.approx(found["loss"][1], rel=1e-4)
    assert found["off"] < 1e-5 < found["moved"]


def mitigated(root: Path, name: str, model: str, source: str) -> Job:
    job = training(root, name, model, [6], mitigation=name)
    safety = {**job.manifest.work["dataset"], "source": source}
    return create_job(root, Manifest("finetune", f"{name}-safe", {**job.manifest.work, "safety": safety}))


def test_dpo_takes_part_in_a_run(tmp_path: Path, engine_python: Path, tiny_model: str) -> None:
    plain = finish(training(tmp_path, "plain", tiny_model, [6]), engine_python)
    dpo = finish(mitigated(tmp_path, "dpo", tiny_model, "project:safety-pairs"), engine_python)
    assert len({weights_of(job)["step-000006"] for job in (plain, dpo)}) == 2


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("safety-layers", "project:refusals", "This start has no safety layers"),
        (
            "safety-layers",
            "project:instructions",
            "prompts that the safety data refuses, of which there are 0",
        ),
        ("dpo", "project:refusals", "names the column 'rejected', which is not there"),
    ],
)
def test_what_a_run_lacks_is_a_sentence(
    tmp_path: Path, engine_python: Path, tiny_model: str, name: str, source: str, sentence: str
) -> None:
    """A random model tells no harm from the rest."""
    job = mitigated(tmp_path, name, tiny_model, source)
    assert start_worker(job, settings=Settings(engine_python=engine_python)).wait() == 1
    assert sentence in job.status(0).message
    assert weights_of(job) == {}


def test_pairs_are_read_from_their_columns(tmp_path: Path) -> None:
    settings = {"name": "pairs", "source": "project:safety-pairs", "config": {}}
    chosen, rejected = load_conversations(settings), load_rejected(settings)
    assert [c[0] for c in chosen] == [c[0] for c in rejected]
    assert all(c[-1] != r[-1] for c, r in zip(chosen, rejected, strict=True))
    assert chosen == read_conversations(ROOT / "data" / "training" / "refusals.jsonl")
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"prompt": "a", "chosen": "b", "bad": "c", "rejected": "d"}))
    own = {"name": "own", "source": f"file:{path}", "config": {"rejected": "{bad}"}}
    assert (load_conversations(own)[0][-1]["content"], load_rejected(own)[0][-1]["content"]) == ("b", "c")
    with pytest.raises(CapsafeError, match="'rejected', which is not there"):
        load_rejected({"name": "r", "source": "project:refusals", "config": {}})
