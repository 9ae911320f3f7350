"""What is published: the sdist, the wheel that is built from it, and a code location that runs from the wheel alone."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.integration.graph import Workplace, workplace
from tests.servers import REPOSITORY

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    archive = build("sdist", REPOSITORY, folder)
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as pip does where it has no wheel."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel"))


def build(target: str, source: Path, folder: Path) -> Path:
    """Build what `python -m build` builds, by the same backend, without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(content.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    assert names == files_below(REPOSITORY / "fraud_assets")
    assert "fraud_assets/py.typed" in names


def test_the_wheel_brings_its_license(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith("/licenses/LICENSE"))
        assert content.read(name) == (REPOSITORY / "LICENSE").read_bytes()


def test_the_wheel_is_for_the_versions_of_python_that_it_names(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    named = [line.rpartition(":: ")[2] for line in metadata.get_all("Classifier", []) if ":: 3." in line]
    low, high = (part[1:].lstrip("=") for part in sorted(metadata["Requires-Python"].split(","), reverse=True))
    assert low == named[0]
    assert high == f"3.{int(named[-1].removeprefix('3.')) + 1}"


def test_the_sdist_holds_what_a_developer_needs(sdist: Path) -> None:
    expected = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".ci/run"}
    expected |= {path.name for path in REPOSITORY.glob("requirements*.lock")}
    for folder in ("fraud_assets", "tests", "benchmarks", "deploy", "docs"):
        expected |= files_below(REPOSITORY / folder)
    assert {name for name in expected if not (sdist / name).is_file()} == set()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    # Without the repository on the path: what runs is what was installed.
    with workplace(tmp_path_factory.mktemp("wheel"), PYTHONPATH="") as ours:
        yield ours


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which the wheel is installed, beside the dependencies of this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    program = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    # A folder that is named in a .pth file is searched, but .pth files in it, an editable install's say, are not read.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return program


def test_the_code_location_loads_from_the_wheel_in_an_empty_folder(python: Path, place: Workplace) -> None:
    where = place.start(str(python), "-c", "import fraud_assets; print(fraud_assets.__file__)").communicate()[0]
    assert Path(where.strip()).is_relative_to(python.parent.parent)
    command = [str(python), "-m", "dagster", "definitions", "validate", "-m", "fraud_assets.definitions"]
    done = place.run(*command)
    assert done.code == 0, done.log
    assert list(place.folder.iterdir()) == []
