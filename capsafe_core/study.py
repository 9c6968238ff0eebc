"""The study file: one question, stated before the numbers, as TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from capsafe_core.engine_settings import EngineSettings, StudyPart, TrainingSettings, TransformersSettings
from capsafe_core.errors import CapsafeError
from capsafe_core.records import StudyRecord, canonical_json, digest_text
from capsafe_core.study_checks import MOST_MISTAKES, extent, references
from capsafe_core.study_mistakes import line_of, mistakes, spelled, where
from capsafe_core.study_primary import PrimarySpecification
from capsafe_core.values import LONGEST_NAME, parse_toml

LONGEST_STUDY = 4 << 20
"""characters of a study's text"""
PartName = Annotated[str, Field(max_length=LONGEST_NAME)]
IMPORTED = "imported"
"""the source of benchmarks and data sets of which only imported logs are known"""


class SamplingSettings(StudyPart):
    """Decoding, the same for every cell of the study."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=64, ge=1)
    samples: int = Field(default=1, ge=1)
    seed: int = 0
    seeds: tuple[int, ...] = ()
    """several seeds, each with `samples` answers a prompt; they take the place of `seed`"""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("the same seed stands there twice")
        return seeds

    system_prompt: str = ""
    other_system_prompts: tuple[str, ...] = ()
    """conditions besides: every checkpoint answers everything with each of these too"""

    @model_validator(mode="after")
    def _different_prompts(self) -> Self:
        prompts = (self.system_prompt, *self.other_system_prompts)
        if len(set(prompts)) < len(prompts):
            raise ValueError("the same system prompt stands there twice")
        return self


class BenchmarkSettings(StudyPart):
    """A benchmark by name: `reasoning_gym:NAME` with its own configuration, `generated:choices`, a file of
    this project or of the user, or a data set of the hub with texts that say what is asked and what is
    right."""

    name: PartName
    source: str
    config: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    size: int | None = Field(None, ge=1)
    answer: Literal["final", "worked"] = "final"
    scorer: Literal["number", "label", "exact", "task"] = "exact"
    """how an answer is checked; "task" leaves it to the reasoning-gym task"""

    @property
    def is_capability(self) -> bool:
        if self.source.startswith("hub:") and "kind" not in self.config:
            return "reference" in self.config
        return (
            self.source.startswith(("reasoning_gym:", "lm_eval:", "generated:"))
            or self.config.get("kind") == "capability"
        )


class DatasetSettings(StudyPart):
    """Fine-tuning data: a file of conversations, a data set of the hub, or a reasoning-gym task with seeds of
    its own."""

    name: PartName
    source: str
    config: dict[str, Any] = Field(default_factory=dict)
    seed: int = 1
    size: int = Field(2000, ge=1)
    answer: Literal["final", "worked"] = "final"
    benchmark: str | None = None
    """the capability benchmark that measures what this data set teaches"""


class StartSettings(StudyPart):
    """A start checkpoint: an origin model, or the last checkpoint of a recipe."""

    name: PartName
    model: str | None = None
    recipe: str | None = None
    base: str | None = None
    """the model before it was aligned, for mitigations that ask what alignment changed: a folder or hub id"""
    adapters: tuple[Path, ...] = ()
    """LoRA folders over the model, applied in order"""
    trusted: bool = False
    """whether code that comes with the model may run"""
    pickles: bool = False
    """whether weights may be loaded that are not safetensors; pickles can run code too"""


class RecipeSettings(StudyPart):
    """One way of fine-tuning."""

    name: PartName
    start: str
    dataset: str
    learning_rate: float | None = Field(None, gt=0)
    """None for a recipe whose checkpoints were imported"""
    recorded: bool = False
    """whether its checkpoints come with imported logs, so that it is never trained here"""
    of: str | None = None
    """the recipe that this one mitigates after its training; its start and data set are that one's"""
    mitigation: str | None = None
    """by its name in the catalogue: after the training of another one, or before or while this one is
    trained"""
    options: dict[str, float] = Field(default_factory=dict)
    """of a mitigation before or while training, where they are not its usual ones"""
    safety: str | None = None
    """the data set of safe behaviour that a mitigation while training needs"""
    mitigates: str | None = None
    """the recipe that this one is to be safer than, by a training of its own: of the same start, measured on
    the same benchmark"""
    strengths: tuple[float, ...] = ()
    """between 0, what the recipe came to, and 1; they stand in the place of steps"""
    checkpoints: str | tuple[str, ...] = ()
    """where somebody else's training left them: folders, or one path with {seed} and {step} in it"""
    steps: tuple[int, ...] = ()
    """the steps at which a checkpoint is saved; step 0 is the start itself. Of checkpoints in folders those
    that count, or all"""
    seeds: tuple[int, ...] = (0,)
    batch_size: int = Field(8, ge=1)
    rank: int = Field(16, ge=1)
    stop_at_goal: bool = False
    method: Literal["lora", "dora", "rslora", "qlora", "full"] = "lora"
    alpha: int = Field(0, ge=0)
    """of an adapter; 0 for twice its rank"""
    schedule: Literal["constant_with_warmup", "constant", "linear", "cosine"] = "constant_with_warmup"
    warm_up: int = Field(5, ge=0)
    """steps over which the learning rate rises to its value"""
    weight_decay: float = Field(0.0, ge=0)
    accumulate: int = Field(1, ge=1)
    """batches a step, so that `batch_size` times this is the effective batch"""
    gradient_checkpointing: bool = False
    packing: bool = False
    """whether short conversations share a row"""
    max_length: int = Field(0, ge=0)
    """tokens of a conversation, 0 for as many as it has"""

    @property
    def is_trained(self) -> bool:
        """Whether it is trained here."""
        return not (self.recorded or self.checkpoints or self.of)

    @property
    def mitigated(self) -> str | None:
        """The recipe that this one mitigates: after its training, or by a training of its own."""
        return self.of or self.mitigates

    @property
    def folders(self) -> tuple[str, ...]:
        """Where its checkpoints are, where they were made elsewhere."""
        return (self.checkpoints,) if isinstance(self.checkpoints, str) else self.checkpoints


class JudgeSettings(StudyPart):
    """A judge of the catalogue, or one of the user's own."""

    name: PartName
    model: str | None = None
    """for judges that are models: a start's name, a folder or a hub id; None for the judge's own published
    weights"""
    config: dict[str, Any] = Field(default_factory=dict)
    engine: EngineSettings | None = None
    """what runs the judge, where that is not the study's engine"""
    file: Path | None = None
    """a TOML file with the template, the parser and the scale of a judge of the user's own"""
    trusted: bool = False
    pickles: bool = False
    recorded: bool = False
    """whether its verdicts come with imported logs, so that it is never run here"""


class Study(StudyPart):
    """One question: starts, recipes, benchmarks, judges, goals and the primary specification."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST_NAME)
    title: PartName
    engine: EngineSettings = TransformersSettings()
    training: TrainingSettings | None = None
    """what fine-tunes, where the engine cannot"""
    sampling: SamplingSettings = SamplingSettings()
    profile: bool = False
    """whether every checkpoint answers every capability benchmark, and not only that of its data set"""
    starts: tuple[StartSettings, ...] = Field(min_length=1)
    datasets: tuple[DatasetSettings, ...] = ()
    recipes: tuple[RecipeSettings, ...] = ()
    benchmarks: tuple[BenchmarkSettings, ...] = Field(min_length=1)
    judges: tuple[JudgeSettings, ...] = ()
    goals: dict[str, float] = Field(default_factory=dict)
    """data set name -> the accuracy at which recipes on it are compared"""
    primary: PrimarySpecification

    @property
    def trains_with(self) -> TransformersSettings:
        """What fine-tunes: the engine where it can, and nothing else is named."""
        own = self.engine if isinstance(self.engine, TransformersSettings) else TransformersSettings()
        return self.training or own

    @property
    def gpus(self) -> int:
        """That share one fine-tuning."""
        return self.training.gpus if self.training else 1

    def recipe(self, name: str) -> RecipeSettings:
        return next(r for r in self.recipes if r.name == name)

    def dataset(self, name: str) -> DatasetSettings:
        return next(d for d in self.datasets if d.name == name)

    def start(self, name: str) -> StartSettings:
        return next(s for s in self.starts if s.name == name)

    @property
    def is_imported(self) -> bool:
        """Whether its outputs come from other tools' logs, so that nothing of it can be generated here."""
        return any(b.source == IMPORTED for b in self.benchmarks)

    @property
    def primary_digest(self) -> str:
        """Hash of what headlines depend on: the primary specification and the goals."""
        return digest_text(canonical_json({"primary": self.primary.declared(), "goals": self.goals}))

    def record(self, text: str, declared: float, again: int = 0) -> StudyRecord:
        """The fact that this study was declared at a time (seconds since 1970), and how often it was
        before."""
        return StudyRecord(self.name, text, digest_text(text), self.primary_digest, declared, again)


def load_study(path: Path) -> tuple[Study, str]:
    """The study in a TOML file, and the file's text.

    Raises:
        CapsafeError: the file is missing or has mistakes; every mistake is named at once, with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CapsafeError(
            f"The study file {path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise CapsafeError(f"The study file {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    study = parse_study(text, str(path))
    problems = [(line_of(text, where), what) for where, what in _relative_files(study, path.resolve().parent)]
    if problems:
        raise mistakes(str(path), problems)
    return study, text


def _relative_files(study: Study, folder: Path) -> list[tuple[tuple[str | int, ...], str]]:
    """Files that are not named from the root: a worker on another machine starts in another folder."""
    named = [
        (("benchmarks", i, "source"), b.source.partition(":")[2])
        for i, b in enumerate(study.benchmarks)
        if b.source.startswith("file:")
    ]
    named += [
        (("datasets", i, "source"), d.source.partition(":")[2])
        for i, d in enumerate(study.datasets)
        if d.source.startswith("file:")
    ]
    named += [
        (("starts", i, "adapters"), str(path)) for i, s in enumerate(study.starts) for path in s.adapters
    ]
    named += [
        (("recipes", i, "checkpoints"), path) for i, r in enumerate(study.recipes) for path in r.folders
    ]
    named += [(("judges", i, "file"), str(j.file)) for i, j in enumerate(study.judges) if j.file]
    return [
        (where, f"{name!r} is not a whole path: write {folder / name}")
        for where, name in named
        if not Path(name).is_absolute()
    ]


def parse_study(text: str, name: str = "study.toml") -> Study:
    """The study in a TOML text; `name` stands in messages.

    Raises:
        CapsafeError: every mistake at once, each with its line.
    """
    if len(text) > LONGEST_STUDY:
        raise CapsafeError(
            f"{name} has {len(text):,} characters, and at most {LONGEST_STUDY:,} are read.",
            "Split it into several studies.",
        )
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise CapsafeError(f"{name} is not valid TOML: {error}.", "Fix that line and try again.") from error
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        problems = [
            (line_of(text, where(e)), f"{spelled(where(e))}: {e['msg'].lower()}")
            for e in error.errors(include_url=False)[:MOST_MISTAKES]
        ]
        raise mistakes(name, problems) from error
    found = references(study) or extent(study)
    problems = [(line_of(text, where), what) for where, what in found]
    if problems:
        raise mistakes(name, problems)
    return study


def recorded_text(text: str, name: str) -> Study:
    """The study in a text that was recorded under a name: what is decided about one goes by its name.

    Raises:
        CapsafeError: it has mistakes, or is of another name.
    """
    study = parse_study(text, f"the study {name}")
    if study.name != name:
        raise CapsafeError(
            f"A text of the study {name!r} says that it is of {study.name!r}.", "Do not trust its origin."
        )
    return study
