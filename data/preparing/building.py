"""Carries out a plan: what is finished is kept, what is missing is made, and dataset.json is written last."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.preparing import dataset_json, journal
from data.preparing.dataset_json import Entry
from data.preparing.journal import PHASES
from data.preparing.parallel import in_order
from data.preparing.tasks import Plan, Task
from data.preparing.writing import SCRATCH, Outcome, TargetError, Writer
from instagan.errors import InputError
from instagan.io.problems import SKIPPING, Problem, counted, refuse


@dataclass
class Report:
    """What a run has done. kept: pictures that were there already. absent: (file, reason). skipped: what was bad."""

    content: dict[str, Any] = field(default_factory=dict)
    kept: int = 0
    absent: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)


def clear(root: Path) -> None:
    """Removes a prepared set, finished or not, and nothing else."""
    for phase in PHASES:
        for folder in (f"{phase}{domain}{seg}" for domain in "AB" for seg in ("", "_seg")):
            shutil.rmtree(root / folder, ignore_errors=True)
    shutil.rmtree(root / SCRATCH, ignore_errors=True)
    for file in (journal.FILE_NAME, dataset_json.FILE_NAME):
        (root / file).unlink(missing_ok=True)


def build(
    plan: Plan,
    writer: Writer,
    settings: Mapping[str, Any],
    workers: int,
    skip_bad: bool,
    progress: Callable[[Iterable[Outcome], int], Iterable[Outcome]],
    prepare: Callable[[Iterable[Task]], Iterable[Task]] = iter,
) -> Report:
    """Writes what is missing of the plan's pictures.

    settings    all that the result depends on besides the source; a set made with others is refused
    skip_bad    what is bad is left out, as little as can be, and reported at the end
    progress    wraps the outcomes as they come, given their number
    prepare     sees the tasks that are left to do, before they are carried out
    """
    root, report = writer.root, Report()
    if not skip_bad:
        refuse(plan.problems)
    report.skipped.extend(plan.problems)
    entries = journal.earlier(root, journal.identity(plan, settings))
    entries = {task.key: entries[task.key] for task in journal.finished(root, plan, entries)}
    report.kept = len(entries)
    missing = [task for task in plan.tasks if task.key not in entries]
    if missing or not (root / dataset_json.FILE_NAME).exists():
        _make_folders(root, plan)
        try:
            with (
                journal.begin(root, journal.identity(plan, settings), entries) as lines,
                closing(in_order(writer, prepare(missing), workers)) as outcomes,
            ):
                for outcome in progress(outcomes, len(missing)):
                    _take(outcome, entries, report, skip_bad)
                    if outcome.entry is not None:
                        journal.write_line(lines, [outcome.key, outcome.entry])
        except OSError as error:
            raise TargetError(
                f"{root} cannot be written ({error.strerror}); make room or pass another --save_root"
            ) from None
        finally:
            shutil.rmtree(root / SCRATCH, ignore_errors=True)
    _check_domains(plan, entries, report, root)
    in_plan_order = {task.key: entries[task.key] for task in plan.tasks if task.key in entries}
    skipped = [(problem.file, problem.sentence) for problem in report.skipped]
    skipped += [(file, "the picture is absent") for file, _ in report.absent]
    report.content = dataset_json.describe(plan, settings, in_plan_order, skipped)
    _finish(root, report.content)
    return report


def _take(outcome: Outcome, entries: dict[str, Entry], report: Report, skip_bad: bool) -> None:
    """Files an outcome. Raises ``InputError`` for a bad file unless it is to be skipped."""
    if outcome.entry is not None:
        entries[outcome.key] = outcome.entry
    elif outcome.fatal:
        raise TargetError(outcome.problem)
    elif outcome.absent:
        if (outcome.source, outcome.problem) not in report.absent:  # once for a picture that is in both domains
            report.absent.append((outcome.source, outcome.problem))
    elif not skip_bad:
        raise InputError(f"{outcome.problem}, {SKIPPING}")
    else:
        twin = any((problem.file, problem.sentence) == (outcome.source, outcome.problem) for problem in report.skipped)
        report.skipped.append(Problem(outcome.source, outcome.problem, int(not twin), outcome.instances))


def _check_domains(plan: Plan, entries: Mapping[str, Entry], report: Report, root: Path) -> None:
    """Raises ``InputError`` where a domain has no picture in the end; what this run began is removed."""
    for domain, categories in plan.categories.items():
        tasks = [task for task in plan.tasks if task.domain == domain]
        if any(entries.get(task.key, {}).get("instances") for task in tasks):
            continue
        if not report.kept:
            clear(root)
        names = ", ".join(category.name for category in categories)
        absent = dict(report.absent)
        if tasks and all(task.source in absent for task in tasks):
            raise InputError(f"no picture of domain {domain} ({names}) is there, for example {absent[tasks[0].source]}")
        reasons = Counter[str]()
        for task in tasks:
            reasons.update(entries.get(task.key, {}).get("dropped", {}))
        told = [f"{counted(count, 'instance')} {reason}" for reason, count in reasons.items()]
        if bad := [problem for problem in report.skipped if problem.file in {task.source for task in tasks}]:
            told.append(f"{counted(len(bad), 'picture')} bad, the first: {bad[0].sentence}")
        why = ", ".join(told) or "all masks are empty"
        raise InputError(
            f"no picture of domain {domain} ({names}) is left of {len(tasks)}: {why}; "
            "lower --min_area, try --keep_aspect or choose other categories"
        )


def _make_folders(root: Path, plan: Plan) -> None:
    try:
        shutil.rmtree(root / SCRATCH, ignore_errors=True)
        for folder in {folder for task in plan.tasks for folder in (task.folder, f"{task.folder}_seg")} | {SCRATCH}:
            (root / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"--save_root {root} cannot be made ({error.strerror}); pass another folder") from None


def _finish(root: Path, content: Mapping[str, Any]) -> None:
    """Writes dataset.json if it is new, removes the journal and folders that stayed empty."""
    try:
        if dataset_json.load(root) != json.loads(json.dumps(content)):
            dataset_json.save(root, content, root / f"{dataset_json.FILE_NAME}.tmp")
        (root / journal.FILE_NAME).unlink(missing_ok=True)
        for phase in PHASES:
            for folder in (f"{phase}{domain}{seg}" for domain in "AB" for seg in ("", "_seg")):
                if (root / folder).is_dir() and not any((root / folder).iterdir()):
                    (root / folder).rmdir()
    except OSError as error:
        raise TargetError(
            f"{root} cannot be written ({error.strerror}); make room or pass another --save_root"
        ) from None
