"""Where things are and what a workspace allows: CAPSAFE_* environment variables, and `settings.toml` in the
workspace."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.engine_environment import FOLDER
from capsafe_core.places import INSTALLED, ROOT, own_folder
from capsafe_core.values import parse_toml

WORKSPACE = own_folder() / "workspace" if INSTALLED else ROOT / "data" / "workspace"
"""where CAPSAFE_HOME is not set"""
ENGINES = ("transformers", "vllm", "openai")
SETTINGS_FILE = "settings.toml"
LONGEST_SOCKET = 100
"""bytes of the path of a Unix socket; systems differ between 103 and 107"""
RUNTIME_PREFIX = "capsafe-"


class Server(BaseModel):
    """An address that jobs may send prompts to, and the environment variable whose value is its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://[^@?#\s]+$")
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$", max_length=64)

    @field_validator("base_url")
    @classmethod
    def _without_last_slash(cls, url: str) -> str:
        return url.rstrip("/")

    def __str__(self) -> str:
        return f"{self.base_url} with the key in {self.api_key_env}"


class Settings(BaseSettings):
    """Paths of the workspace, and what it allows.

    `CAPSAFE_STORE` belongs on a local disk; `CAPSAFE_JOBS` may be on a disk that machines share.
    What runs (interpreters) and what is sent where (servers) is decided here and never by a study: a study
    may come from anybody.

    Raises:
        CapsafeError: a variable or a line of the workspace's settings.toml cannot be used.
    """

    model_config = SettingsConfigDict(env_prefix="CAPSAFE_", extra="forbid")

    home: Path = WORKSPACE
    store: Path | None = None
    jobs: Path | None = None
    engine_python: Path | None = None
    pythons: dict[str, Path] = {}
    """engine -> the interpreter of its environment, where that is not `engine_python`"""
    servers: tuple[Server, ...] = ()
    """where jobs may send prompts, and which key goes along"""
    proxy: str = Field(default="", pattern=r"^(https?://[^@?#\s]+)?$")
    """through which servers on other machines are asked; what HTTP_PROXY and its like say is not heeded, for
    keys go along"""
    memory_limit: str = "1GB"
    threads: int = 2
    require_login: bool | None = None
    """whether the app is closed without a login; where nothing is said, a roles.toml in the workspace demands
    one"""
    token: str | None = Field(
        default=None, min_length=16, max_length=512, pattern=r"^[\x21-\x7e]+$", repr=False
    )
    """what the app asks for on a server without login; where nothing is said, one is made at each start"""
    no_token: bool = False
    """let everybody in who reaches the port of a server without login"""
    replica_of: str = Field(default="", pattern=r"^(https?://[^@?#\s]+)?$")
    """the address of the app that this one is a replica of, over the same job folders"""

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
            self._given = values
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(place) for place in first["loc"])
            raise CapsafeError(
                f"The setting {where} cannot be used: {first['msg'].lower()}.",
                f"Correct the variable CAPSAFE_{where.split('.')[0].upper()} or the line in {SETTINGS_FILE}.",
            ) from error
        except SettingsError as error:  # a variable that holds a table or a list has to be JSON
            raise CapsafeError(
                f"A variable of the environment cannot be used: {error}.",
                "Write it as JSON, or unset it and use settings.toml.",
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(init_settings().get("home") or env_settings().get("home") or WORKSPACE)
        return init_settings, env_settings, _SettingsFile(settings_cls, home / SETTINGS_FILE)

    @field_validator("pythons")
    @classmethod
    def _known_engines(cls, pythons: dict[str, Path]) -> dict[str, Path]:
        unknown = set(pythons) - set(ENGINES)
        if unknown:
            raise ValueError(f"{unknown.pop()!r} is not an engine: use {', '.join(ENGINES)}")
        return pythons

    def reread(self) -> Settings:
        """These settings as variables and settings.toml have them now."""
        return type(self)(**self._given)

    @cached_property
    def store_path(self) -> Path:
        return self.store or self.home / "store.duckdb"

    @cached_property
    def jobs_path(self) -> Path:
        return self.jobs or self.home / "jobs"

    @cached_property
    def exports_path(self) -> Path:
        return self.home / "exports"

    @cached_property
    def roles_path(self) -> Path:
        return self.home / "roles.toml"

    @cached_property
    def socket_path(self) -> Path:
        """Where the owner of the store listens: beside the store, or where that path is too long for a
        socket, in a private folder."""
        beside = self.store_path.with_suffix(".sock").absolute()
        if len(os.fsencode(beside)) <= LONGEST_SOCKET:
            return beside
        name = hashlib.blake2b(os.fsencode(beside.resolve()), digest_size=16).hexdigest()
        own = Path(f"/run/user/{os.geteuid()}")
        # no variable decides this: the app and a command in another shell must agree
        return (
            (own if os.access(own, os.W_OK) else Path("/tmp"))
            / f"{RUNTIME_PREFIX}{os.geteuid()}"
            / f"{name}.sock"
        )

    @property
    def worker_python(self) -> Path:
        """The interpreter that runs workers: CAPSAFE_ENGINE_PYTHON, else the prepared one, else this one."""
        own = FOLDER / "bin" / "python"
        if self.engine_python is not None:
            return self.engine_python
        return own if own.exists() else Path(sys.executable)

    def python_of(self, engine: str) -> Path:
        """The interpreter that runs workers of an engine."""
        return self.pythons.get(engine, self.worker_python)

    def allow_server(self, server: Server) -> None:
        """Let jobs of this workspace send prompts to an address; written to the workspace's settings.toml."""
        if server not in self.servers:
            self._write("servers", [s.model_dump() for s in (*self.servers, server)])

    def allow_python(self, engine: str, python: Path) -> None:
        """Choose the interpreter of an engine; written to the workspace's settings.toml.

        Raises:
            CapsafeError: there is no such engine, or nothing that can be run at the path.
        """
        if engine not in ENGINES:
            raise CapsafeError(f"{engine!r} is not an engine.", f"Use {', '.join(ENGINES)}.")
        if not python.is_absolute() or not python.is_file():
            raise CapsafeError(
                f"There is no interpreter at {python}.", "Give the whole path of an environment's python."
            )
        self._write(
            "pythons", {**{name: str(path) for name, path in self.pythons.items()}, engine: str(python)}
        )

    def _write(self, key: str, value: Any) -> None:
        """Replace one key of settings.toml; what else stands there, comments too, stays."""
        path = self.home / SETTINGS_FILE
        self.home.mkdir(parents=True, exist_ok=True)
        text = _text(path)
        document = tomlkit.document() if text is None else tomlkit.parse(text)
        document[key] = value
        new = path.with_suffix(".new")
        new.write_text(tomlkit.dumps(document), encoding="utf-8")
        new.replace(path)
        written = getattr(type(self).model_validate({**self._given, key: value}), key)
        if getattr(self.reread(), key) != written:
            raise CapsafeError(
                f"{path} was written, but the variable CAPSAFE_{key.upper()} is set and takes precedence.",
                "Remove the variable, or add the same to it.",
            )
        setattr(self, key, written)


class _SettingsFile(PydanticBaseSettingsSource):
    """The workspace's settings.toml."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls)
        self._path = path

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        text = _text(self._path)
        try:
            values = {} if text is None else parse_toml(text)
        except ValueError as error:
            raise CapsafeError(
                f"{self._path} is not valid TOML: {error}.", "Correct that line; nothing was started."
            ) from error
        if "home" in values:
            raise CapsafeError(
                f"{self._path} names a home, but it lies in one.",
                "Remove that line; CAPSAFE_HOME names the workspace.",
            )
        return values


def _text(path: Path) -> str | None:
    """The text of the settings' file; None where there is none."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.islink(path):
            return None
        raise CapsafeError(
            f"The settings in {path} cannot be read: {error}.", "Make it a readable UTF-8 file, or remove it."
        ) from error
