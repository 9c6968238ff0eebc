"""Models and adapters that do not fit, or need the user's word."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.settings import Settings
from tests.engines.tiny import TINY, InEngine, generate, texts


@pytest.mark.parametrize(
    ("name", "model", "adapters", "says"),
    [
        ("no-folder", "/nowhere/model", (), "no model '/nowhere/model'"),
        ("empty-folder", "{empty}", (), "no .safetensors file"),
        ("no-adapter", "smollm2-135m-instruct", ({"path": "/nowhere"},), "no adapter in /nowhere"),
        ("wrong-adapter", "smollm2-135m-instruct", ({"path": "{wrong}"},), "does not fit the model"),
    ],
)
def test_models_and_adapters_that_do_not_fit_end_the_job_with_a_sentence(
    root: Path,
    engine_python: Path,
    in_engine: InEngine,
    tmp_path: Path,
    name: str,
    model: str,
    adapters: tuple[dict[str, object], ...],
    says: str,
) -> None:
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.mkdir()
    if name == "wrong-adapter":
        in_engine(WRONG_ADAPTER, str(wrong))
    fill = {"{empty}": str(empty), "{wrong}": str(wrong)}
    job = generate(
        root,
        name,
        fill.get(model, model),
        tuple({k: fill.get(str(v), v) for k, v in a.items()} for a in adapters),
    )
    assert start_worker(job, settings=Settings(engine_python=engine_python)).wait() == 1
    assert job.state == "failed"
    assert says in job.status().message
    assert job.status().hint


WRONG_ADAPTER = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model

config = LlamaConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
    vocab_size=128,
)
adapter = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
get_peft_model(LlamaForCausalLM(config), adapter).save_pretrained(sys.argv[1])
print("{}")
"""
"""an adapter for another, even smaller model"""


FITS_NOT = """
import sys, json
from pathlib import Path
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
get_peft_model(model, config).save_pretrained(sys.argv[2])
path, settings = (Path(sys.argv[2]) / n for n in ("adapter_model.safetensors", "adapter_config.json"))
kind = sys.argv[3]
renamed = {"none": ("layers", "h"), "some": ("v_proj", "value"), "base": ("", ""), "fits": ("", "")}[kind]
save_file({k.replace(*renamed) if renamed[0] else k: v for k, v in load_file(path).items()}, path)
if kind == "base":
    stated = {**json.loads(settings.read_text()), "base_model_name_or_path": "somewhere/Other-7B"}
    settings.write_text(json.dumps(stated))
print("{}")
"""
"""an adapter over a model, of whose weights none or some have a place in it, or that names another model"""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("none", "None of the places in the model"),
        ("some", "Only 4 of 8 of the places in the model"),
        ("base", "was trained over 'somewhere/Other-7B', which is not"),
        ("fits", ""),
    ],
)
def test_an_adapter_of_another_model_answers_nothing_in_its_name(
    root: Path,
    engine_python: Path,
    in_engine: InEngine,
    tmp_path: Path,
    tiny_model: str,
    kind: str,
    says: str,
) -> None:
    in_engine(FITS_NOT, tiny_model, str(tmp_path / "adapter"), kind)
    job = generate(root, f"adapter-{kind}", tiny_model, ({"path": str(tmp_path / "adapter")},), size=2)
    code = start_worker(job, settings=Settings(engine_python=engine_python)).wait()
    if kind == "fits":
        assert (code, job.state, len(texts(job))) == (0, "done", 2)
        return
    assert (code, job.state, texts(job)) == (1, "failed", [])
    assert says in job.status().message
    assert job.status().hint


def test_pickles_and_foreign_code_need_the_users_word(
    root: Path, in_engine: InEngine, tmp_path: Path
) -> None:
    code = (
        TINY
        + """
folder = sys.argv[1]
tiny(folder, "llama")
from safetensors.torch import load_file

weights = load_file(folder + "/model.safetensors")
torch.save(weights, folder + "/pytorch_model.bin")
Path(folder, "model.safetensors").unlink()
config = json.loads(Path(folder, "config.json").read_text())
from capsafe_core.engines import find_weights, open_engine
from capsafe_core.errors import CapsafeError


def tried(**allowed):
    try:
        open_engine(engine, find_weights(engine, folder, Path(folder).parent, **allowed), Path(folder).parent)
        return "loaded"
    except CapsafeError as error:
        return f"{error.message} {error.hint}"


pickled, allowed = tried(), tried(pickles=True)
config["auto_map"] = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
config["model_type"] = "unheard-of"
Path(folder, "config.json").write_text(json.dumps(config))
Path(folder, "own.py").write_text("from pathlib import Path; Path(__file__).with_name('ran').touch()")
foreign = tried(pickles=True)
print(
    json.dumps(
        {"pickled": pickled, "allowed": allowed, "foreign": foreign, "ran": Path(folder, "ran").exists()}
    )
)
"""
    )
    found = in_engine(code, str(tmp_path / "model"))
    assert "no .safetensors file" in found["pickled"]
    assert "pickles = true" in found["pickled"]
    assert found["allowed"] == "loaded"
    assert "trusted" in found["foreign"]
    assert not found["ran"]
