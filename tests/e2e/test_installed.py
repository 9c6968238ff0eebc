"""The wheel, installed in an environment of its own and used from another folder."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from capsafe_core.settings import ROOT
from tests.e2e.site import PATHS, free_port, settle
from tests.logs import inspect_log, inspect_sample, write_eval

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, a folder to work in, and a home."""

    bin: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [self.bin / "capsafe", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel as `pip wheel .` builds it; what it needs comes from this environment, so that nothing is
    fetched."""
    root = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run(
        [*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(root)], cwd=ROOT, **quiet
    )
    (wheel,) = root.glob("capsafe-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], **quiet)
    python = root / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], **quiet)
    (packages,) = (root / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    for folder in ("elsewhere", "home"):
        (root / folder).mkdir()
    environment = {"HOME": str(root / "home"), "PATH": os.environ["PATH"]}
    return Installed(python.parent, root / "elsewhere", environment)


@pytest.fixture(scope="module")
def demo(installed: Installed) -> Iterator[str]:
    """The address that `capsafe demo` prints, with its token."""
    port = free_port()
    with subprocess.Popen(
        [installed.bin / "capsafe", "demo", "--port", str(port)],
        cwd=installed.folder,
        env=installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        lines: list[str] = []
        for line in server.stdout:
            lines.append(line)
            if "?token=" in line:
                break
        else:
            pytest.fail("".join(lines))
        yield next(word for word in lines[-1].split() if "?token=" in word)
        server.send_signal(signal.SIGTERM)
        server.stdout.read()


def test_the_demo_of_the_wheel_serves_every_page(demo: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.goto(demo)
    base = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(demo))
    for path in PATHS:
        page.goto(f"{base}/{path}")
        settle(page)
        assert page.locator("h1").first.inner_text(), path
        assert page.locator("[data-testid=stException]").count() == 0, path
    page.goto(base)
    settle(page)
    assert "sums" in page.inner_text("body")
    context.close()


def test_the_wheel_keeps_nothing_in_its_environment(installed: Installed, demo: str) -> None:
    code = "import capsafe_core.settings as s; print(s.ROOT); print(s.Settings().home)"
    shown = subprocess.run(
        [installed.bin / "python", "-c", code],
        cwd=installed.folder,
        env=installed.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert Path(shown[0]).is_relative_to(installed.bin.parent)
    assert Path(shown[1]).is_relative_to(installed.environment["HOME"])
    assert (Path(shown[1]) / "demo" / "store.duckdb").exists()
    assert list(installed.folder.iterdir()) == []
    written = {path.name for path in Path(shown[0]).rglob("*") if path.is_file()} - {
        path.name for path in ROOT.rglob("*") if path.is_file()
    }
    assert {name for name in written if not name.endswith(".pyc")} == set()


def test_a_worker_of_the_wheel_imports_the_package_and_nothing_beside_it(
    installed: Installed, tmp_path: Path
) -> None:
    """An import runs in a worker, and the engine's interpreter sees none of the packages that lie beside
    capsafe."""
    write_eval(tmp_path / "log.eval", inspect_log([inspect_sample(1)]))
    assert "1 outputs of 1 checkpoint" in installed.run("import", str(tmp_path), "--dry-run")
    code = (
        "import capsafe_core, sys; from capsafe_core.places import IMPORTS, PACKAGE; "
        "print(capsafe_core.__file__, PACKAGE, *IMPORTS.iterdir())"
    )
    (packages,) = installed.bin.parent.glob("lib/python*/site-packages")
    alone = packages / "capsafe_core" / "_alone"
    shown = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={**installed.environment, "PYTHONPATH": str(alone)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert shown[0] == str(packages / "capsafe_core" / "__init__.py")
    assert {Path(path).name for path in shown[2:]} <= {"capsafe_core.py", "__pycache__"}
