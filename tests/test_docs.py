"""What the pages tell people to type, set and look for exists, and does what they say."""

import importlib.util
import pkgutil
import re
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import click
import dagster as dg
import numpy as np
import pytest
import yaml

from fraud_assets.assets.config import CONFIGS, RESOURCES
from fraud_assets.conditions import status_of
from fraud_assets.definitions import defs
from fraud_assets.ml.baselines import BASELINES
from fraud_assets.ml.fraud_space import BOOSTERS
from fraud_assets.ml.resample import RESAMPLERS, Resampler
from fraud_assets.ml.search_space import SEARCH_SPACES, resolve_search_space
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from fraud_assets.resources.new_data_policy import NewDataPolicy
from tests.ml.studies import trial_of
from tests.ml.tables import dataset_of, split_by_group, transactions
from tests.servers import REPOSITORY

DOCS = REPOSITORY / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

SOURCE = "\n".join(path.read_text() for path in sorted((REPOSITORY / "fraud_assets").rglob("*.py")))
CLASSES = {**CONFIGS, **RESOURCES}

# Names with an underscore that other systems gave.
FOREIGN = {"https_proxy", "n_jobs", "sample_indices_"}
# The first and the second role of a fold's rows, of which the code has the pattern only.
PATTERNS = {"fold_0"}


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language; commands have none."""
    fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for named, block in fenced if named == language]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command in a page."""
    for block in blocks(page, ""):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                if words := shlex.split(part, comments=True):
                    yield words


def quoted(page: Path) -> set[str]:
    """What stands in backticks in the text of a page, code blocks left out."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)))


def rows(page: Path, head: str) -> Iterator[tuple[re.Match[str], list[str]]]:
    """The rows of the tables of a page whose head matches, each with the match."""
    match: re.Match[str] | None = None
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            match = None
        elif match is None:
            match = re.match(head, line) or re.match(r"\|", line)
        elif match[0] != "|" and not line.startswith("|---"):
            yield match, [cell.strip() for cell in line.strip("|").split("|")]


def choices(annotation: Any) -> set[str]:
    """The texts among which a field's value is chosen."""
    parts = get_args(annotation)
    return set().union(*map(choices, parts)) if parts else {annotation} if isinstance(annotation, str) else set()


def names() -> set[str]:
    """What people can set, start or see, by its name."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    fields = {name: field for config in CLASSES.values() for name, field in config.model_fields.items()}
    fields |= NewDataPolicy.model_fields
    return {
        *fields,
        *chain.from_iterable(choices(field.annotation) for field in fields.values()),
        *(key.to_user_string() for key in graph.materializable_asset_keys),
        *(key.name for key in graph.asset_check_keys),
        *(job.name for job in repository.get_all_jobs()),
        *(sensor.name for sensor in repository.sensor_defs),
        *(schedule.name for schedule in repository.schedule_defs),
        *CLASSES,
        *RESAMPLERS,
        *BOOSTERS,
        *BASELINES,
        *SEARCH_SPACES,
    }


@each_page
def test_jobs_and_assets_in_commands_exist(page: Path) -> None:
    text = page.read_text()
    repository = defs.get_repository_def()
    jobs = re.findall(r"dagster job execute .*?-j (\w+)", text)
    assert set(jobs) <= {job.name for job in repository.get_all_jobs()}
    assets = {key.to_user_string() for key in repository.asset_graph.materializable_asset_keys}
    selected = [name for names in re.findall(r"--select ([\w,]+)", text) for name in names.split(",")]
    assert set(selected) <= assets


@each_page
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#([^)]+))?", page.read_text())
    assert [link for link, _ in links if not (page.parent / link).exists()] == []
    for link, anchor in links:
        if anchor:
            titles = re.findall(r"^#+ (.*)$", (page.parent / link).read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], link


def test_the_readme_leads_to_each_page() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"(docs/{page.name})" not in text] == []


@pytest.mark.filterwarnings("ignore:::ray", "ignore::pydantic.PydanticDeprecatedSince20", "ignore:::mlflow")
@each_page
def test_programs_take_the_commands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("ops: {}")
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for words in commands(page):
        match [words[0].removeprefix(".venv/bin/"), *words[1:]]:
            case ["dagster" | "mlflow" | "ray" as program, *arguments]:
                parsed(program, arguments)
            case ["make", *arguments]:
                assert {word for word in arguments if "=" not in word} <= set(targets), words
    for module in re.findall(r"python -m ([\w.]+)", page.read_text()):
        assert importlib.util.find_spec(module) is not None, module


def parsed(program: str, arguments: list[str]) -> None:
    """Have a program parse its command line, and do nothing else."""
    command = group(program)
    told = " ".join([program, *arguments])
    while isinstance(command, click.Group):
        name, *arguments = arguments
        found = command.get_command(click.Context(command), name)
        assert found is not None, told
        command = found
    try:
        command.make_context(name, [*arguments])
    except click.UsageError as error:
        pytest.fail(f"{told}: {error.message}")


def group(program: str) -> click.Command:
    """The program's own description of what it takes."""
    if program == "dagster":
        return pkgutil.resolve_name("dagster._cli:create_dagster_cli")()  # type: ignore[no-any-return]
    where = {"mlflow": "mlflow.cli:cli", "ray": "ray.scripts.scripts:cli"}[program]
    return pkgutil.resolve_name(where)  # type: ignore[no-any-return]


@each_page
def test_the_code_reads_each_variable_of_ours(page: Path) -> None:
    settings = "".join(file.read_text() for file in (REPOSITORY / "deploy").rglob("*.yaml"))
    known = set(re.findall(r"\bFRAUD_[A-Z_]+\b", SOURCE + settings))
    known |= {f"FRAUD_{name.upper()}" for name in NewDataPolicy.model_fields}
    assert set(re.findall(r"\bFRAUD_[A-Z_]+\b", page.read_text())) <= known


@each_page
def test_names_in_backticks_exist(page: Path) -> None:
    words = {word for word in quoted(page) if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+_?", word)}
    # What isn't set, started or chosen stands in the code as a text: tags, columns, labels of plots.
    unknown = {
        word
        for word in words - names() - FOREIGN - PATTERNS
        if not re.search(rf"[\"']{word}[\"']|def {word}\(", SOURCE)
    }
    if page.name == "CONTRIBUTING.md":
        unknown = {word for word in unknown if not word.startswith("test_")}
    assert unknown == set()


@each_page
def test_a_field_with_its_owner_or_value_exists(page: Path) -> None:
    for word in quoted(page):
        if (match := re.fullmatch(r"(\w+)\.(\w+)", word)) and match[1] in CLASSES:
            assert match[2] in CLASSES[match[1]].model_fields, word
        if match := re.fullmatch(r"(\w+): (\w+)", word):
            value = {match[1]: yaml.safe_load(match[2])}
            owners = [config for config in CONFIGS.values() if match[1] in config.model_fields]
            assert owners, word
            for owner in owners:
                owner(**value)


@each_page
def test_settings_in_tables_have_the_defaults_of_the_code(page: Path) -> None:
    for head, (field, _, default) in rows(page, r"\| setting of `(\w+)` \| meaning \| default \|"):
        value = CLASSES[head[1]].model_fields[field.strip("`")].default
        spelled = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        assert default.strip("`") == spelled, field


@each_page
def test_dagster_takes_the_run_configs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    job = defs.resolve_implicit_global_asset_job_def()
    for block in blocks(page, "yaml"):
        config = yaml.safe_load(block)
        dg.validate_run_config(job, config)
        for section in ("ops", "resources"):
            for name, values in config.get(section, {}).items():
                CLASSES[name](**values["config"])


@each_page
def test_python_in_pages_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda example: example.name)
def test_examples_stand_in_the_page_as_they_are(example: Path) -> None:
    assert example.read_text() in blocks(DOCS / "tuning.md", "python")


@pytest.mark.parametrize("space", ["my_space:shallow_trees", "my_resampler:with_jitter"])
def test_each_example_is_a_space_whose_trials_learn(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    dataset = dataset_of(transactions())
    study = StudyData.prepare(dataset, split_by_group(dataset, SplitSettings(folds=2)), seed=1)
    resolved = resolve_search_space(space)
    tried = [*resolved.first_points(), *resolved.sample(4)]
    for params in tried:
        Resampler.of(params).check()
        assert trial_of({**params, "n_estimators": 20}, study)["average_precision"] > 2 * dataset.y.mean()
    assert len({params.get("resampler") for params in tried}) == (1 if "shallow" in space else 2)


def test_the_resampler_of_the_example_makes_frauds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    X, y = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32), (np.arange(50) < 5).astype(np.int8)
    jitter = Resampler.of({"resampler": "my_resampler:Jitter", "resampler__copies": 3})
    resampled = jitter(X, y, np.zeros(3, dtype=bool), seed=1)
    assert len(resampled.kept) == 50
    assert resampled.made_up_labels.tolist() == [1] * 15
    again = jitter(X, y, np.zeros(3, dtype=bool), seed=1)
    assert np.array_equal(resampled.made_up, again.made_up), "its random numbers come from the seed"


@each_page
def test_messages_are_quoted_as_they_are(page: Path) -> None:
    for _, (says, *_) in rows(page, r"\| what the (?:message|tick) says \|"):
        for message in re.findall(r"`([^`]+)`", says):
            assert message in SOURCE, message


def test_labels_of_the_assets_pages_are_those_of_the_code() -> None:
    found = [label for _, (cell, *_) in rows(DOCS / "results.md", r"\| on its page \|") for label in cell.split(", ")]
    assert len(found) > 10
    for label in found:
        assert f'"{label.strip("`")}"' in SOURCE, label


def test_each_check_is_on_the_page_of_results() -> None:
    told = {tuple(cells[:2]) for _, cells in rows(DOCS / "results.md", r"\| check \| of \|")}
    keys = defs.get_repository_def().asset_graph.asset_check_keys
    assert told == {(f"`{key.name}`", f"`{key.asset_key.to_user_string()}`") for key in keys}


def test_sensors_and_jobs_of_the_automation_page_exist() -> None:
    text = (DOCS / "automation.md").read_text()
    repository = defs.get_repository_def()
    known = {sensor.name for sensor in repository.sensor_defs} | {job.name for job in repository.get_all_jobs()}
    known |= {schedule.name for schedule in repository.schedule_defs}
    named = set(re.findall(r"`(\w+_(?:sensor|job|retune|automation))`", text))
    assert named
    assert named <= known


def test_each_setting_of_the_policy_is_on_the_page_with_its_default() -> None:
    text = (DOCS / "automation.md").read_text()
    for name, field in NewDataPolicy.model_fields.items():
        if name in ("name", "log_level"):
            continue
        default = "`none`" if field.default is None else str(field.default)
        row = next(line for line in text.splitlines() if line.startswith(f"| `FRAUD_{name.upper()}`"))
        assert default in row.rpartition("|")[0].rpartition("|")[2], row


def test_the_page_has_each_value_of_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "automation.md").read_text()
    for chosen in re.findall(r"^\| `([a-z]+)`(?: \(default\))? \|", text.partition("**The sensor**")[0], re.MULTILINE):
        monkeypatch.setenv("FRAUD_AUTOMATION", chosen)
        status_of("sensor")
