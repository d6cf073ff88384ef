"""A detector for a domain without labels: translate a labelled one, learn from that, and see what it was good for.

    python scripts/adapt_detector.py --work adapted --translated munit=checkpoints/streets_munit \
        --config configs/streets_munit.yaml --dataroot datasets/streets

The data set has boxes (--dataset_mode boxes, docs/boxes.md); A is the labelled source and B the target, or with
--direction BtoA the other way. For each run named by --translated the training images of the source are translated,
boxes and masks are carried along (python -m instagan translate --save_coco), and detectors learn from
    source      the source as it is
    NAME        the source translated by that run
    source+NAME both, half of the images each
    oracle      the target with its own labels
for equally many updates; each is judged on the target's validation images by COCO's evaluation. Beside that table
stand the oracle's figures on translated validation images of the source, and where streets.json knows it how many
objects translating has removed. All is kept in --work: what is done stays when the command is given again.
docs/domain_adaptation.md tells more.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.writing import Listed, read_index  # noqa: E402
from data.boxes_mode import listed_set  # noqa: E402
from data.entries import Entry  # noqa: E402
from engine.device import choose_device, prepare  # noqa: E402
from evaluation.adaptation_table import BOTH, ORACLE, SOURCE, tables  # noqa: E402
from evaluation.adapting import Bench, Judge, Kind, first_of, labelled, objects_found, translated_set, write_json  # noqa: E402
from evaluation.learning_detector import Learning  # noqa: E402
from evaluation.streets import read_streets  # noqa: E402
from instagan.cli import translate  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.cli.main import command_line  # noqa: E402
from instagan.cli.resuming import NOTE  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import SentenceParser, whole  # noqa: E402
from instagan.inference.translator import Translator  # noqa: E402
from instagan.io.categories import typed  # noqa: E402
from instagan.io.coco_records import FILE_NAME, Record  # noqa: E402
from instagan.io.text_files import read_json  # noqa: E402
from instagan.structures.directions import A_TO_B, exchanged  # noqa: E402
from options.parse import parse_training  # noqa: E402
from scripts.train_detector import add_learning_flags, check_kind  # noqa: E402

QUICK = {"detector_steps": 4, "detector_batch": 2, "pictures": 6, "styles": 2}
"""What --quick sets: whether everything runs, not how good it is."""
Learnt = tuple[list[Entry], str]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def flags() -> argparse.ArgumentParser:
    parser = SentenceParser(
        prog="adapt_detector.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("--work", type=Path, metavar="DIR", help="folder for all that is made; what is done stays")
    add(
        "--translated", nargs="+", default=[], metavar="NAME=RUN",
        help="name of a row, and a run's folder or another --model of translate; or a folder that holds "
        "trainA/annotations.json and valA/annotations.json",
    )  # fmt: skip
    add("--styles", type=whole(1), default=3, metavar="N", help="translations of each image, of a model with styles")
    add("--pictures", type=whole(1), metavar="N", help="most images of each set (default: all)")
    add("--detector_seeds", type=whole(0), nargs="+", default=[0], metavar="N", help="each row is learnt once for each")
    add("--quick", action="store_true", help="a few images and steps: whether everything runs")
    add("--table", type=Path, metavar="FILE", help="only print the tables of a results.json")
    add_learning_flags(add)
    return parser


def adapt(own: argparse.Namespace, others: Sequence[str]) -> None:
    options = parse_training([*others, "--dataset_mode", "boxes"]).values
    runs = named(own.translated)
    device = choose_device(options)
    prepare(device, options)
    way, root = exchanged(A_TO_B, options.direction), Path(options.dataroot)
    index = read_index(root)
    sets = {
        name: first_of(listed_set(index, root, name), own.pictures, own.work / "sets" / f"{name}.json")
        for name in (f"{phase}{letter}" for phase in (options.phase, options.eval_phase) for letter in "AB")
    }
    source, held_out, target, judged = (
        sets[f"{phase}{letter}"] for letter in (way.source, way.target) for phase in (options.phase, options.eval_phase)
    )
    letters = f"{options.phase}{way.source}", f"{options.eval_phase}{way.source}"
    made = {
        name: [translated(sets[one], run, name, one, way.target.lower(), own, str(device)) for one in letters]
        for name, run in runs.items()
    }
    side = own.detector_side or 2 * min(options.fine_size_w, options.fine_size_h)
    sizes = ("resize_or_crop", "load_size_w", "load_size_h", "fine_size_w", "fine_size_h")
    settings = {name: getattr(options, name) for name in sizes}
    bench = Bench(
        own.work, options, device, Kind(own.kind, side, own.begin_with),
        Learning(own.detector_steps, own.detector_batch, own.detector_lr), Judge.of(judged, options),
        settings | {"judged_on": judged.annotations.stem, "pictures": own.pictures}, say,
    )  # fmt: skip
    learnt = sets_to_learn(source, target, {name: training for name, (training, _) in made.items()})
    shown = {"as they are": held_out} | {name: held for name, (_, held) in made.items()}
    rows, of_oracle = compare(bench, own.detector_seeds, learnt, shown)
    results = {
        "source": source.annotations.stem, "held_out": held_out.annotations.stem, "target": target.annotations.stem,
        "judged_on": judged.annotations.stem, "categories": list(judged.categories),
        "rows": rows, "translated_source": of_oracle,
        "label_noise": noise(made, root, options.eval_phase, way.source),
    }  # fmt: skip
    write_json(own.work / "results.json", results)
    say(f"\n{tables(results)}\n\n{own.work / 'results.json'}")


def sets_to_learn(source: Listed, target: Listed, translations: Mapping[str, Listed]) -> dict[str, Learnt]:
    """Row -> what it learns from, and the model that has translated that."""
    of_source, of_target = labelled(source), labelled(target)
    if not any(entry.masks for entry in of_source):
        raise InputError(f"{source.annotations} has no box, so there is nothing to learn from; exchange --direction")
    learnt: dict[str, Learnt] = {SOURCE: (of_source, "")}
    for name, listed in translations.items():
        entries, model = labelled(listed), model_of(listed.images)
        copies = max(round(len(entries) / len(of_source)), 1)
        learnt |= {name: (entries, model), f"{BOTH}{name}": (of_source * copies + entries, model)}
    if any(entry.masks for entry in of_target):
        return learnt | {ORACLE: (of_target, "")}
    say(f"{target.annotations} has no box: there is no oracle to compare with")
    return learnt


def compare(
    bench: Bench, seeds: Sequence[int], learnt: Mapping[str, Learnt], shown: Mapping[str, Listed]
) -> tuple[list[Record], list[Record]]:
    """The rows of all seeds; and how well the oracle does on images of the source, as they are and translated."""
    rows, of_oracle = list[Record](), list[Record]()
    judges = {name: Judge.of(listed, bench.options) for name, listed in shown.items()}
    for seed in seeds:
        seeded = replace(bench, how=replace(bench.how, seed=seed))
        rows += [seeded.row(name, *of_row) for name, of_row in learnt.items()]
        if ORACLE in learnt:
            oracle = seeded.detector(ORACLE)
            of_oracle += [{"row": name, "seed": seed, **asdict(one.look(oracle)[0])} for name, one in judges.items()]
    return rows, of_oracle


def named(words: Sequence[str]) -> dict[str, Path]:
    """NAME=RUN of --translated. Raises ``InputError``."""
    runs: dict[str, Path] = {}
    for word in words:
        name, equals, run = word.partition("=")
        if not equals or not run or not NAME.fullmatch(name):
            raise InputError(f"--translated {word}: write NAME=RUN, NAME of letters, digits, '.', '_' and '-'")
        if name in (SOURCE, ORACLE, *runs):
            raise InputError(f"--translated {word}: there is a row {name} already; choose another name")
        runs[name] = Path(run)
    return runs


def translated(
    listed: Listed, run: Path, name: str, part: str, to: str, own: argparse.Namespace, device: str
) -> Listed:
    """A set in translation, made now or earlier, or given in a folder of ``run``. part: such as trainA."""
    if (run / part / FILE_NAME).is_file():
        return translated_set(run / part, listed.categories)
    output = own.work / "translated" / name / part
    styles = Translator.load(run, to, "cpu").has_styles
    words = [
        *("--model", run, "--to", to, "--device", device, "--images", listed.images, "--output_dir", output),
        *("--annotations", listed.annotations, "--category", ",".join(map(typed, listed.categories))),
        *(("--styles", own.styles) if styles else ()), "--save_coco", "--resume",
    ]  # fmt: skip
    say(f"python -m instagan translate {' '.join(map(str, words))}")
    translate.run(command_line(["translate", *map(str, words)]))
    return translated_set(output, listed.categories)


def model_of(folder: Path) -> str:
    """What ``translate --resume`` has noted of the model; empty for translations of another system."""
    note = folder / NOTE
    return str(read_json(note, "translate again")["model"]) if note.is_file() else ""


def noise(made: Mapping[str, Sequence[Listed]], root: Path, phase: str, letter: str) -> dict[str, dict[str, list[int]]]:
    """Name -> class -> objects found at their boxes, and all; nothing where the data has no truth of it."""
    if not (root / "streets.json").is_file():
        return {}
    content = read_streets(root)
    return {name: objects_found(held, root, content, phase, letter) for name, (_, held) in made.items()}


def say(line: str) -> None:
    print(line, flush=True)


def run(argv: Sequence[str] | None) -> None:
    own, others = flags().parse_known_args(argv)
    if own.table:
        if others or own.work:
            raise InputError("--table prints the tables of a file and does nothing else; drop the other flags")
        return say(tables(read_json(own.table, "pass the results.json of a --work folder")))
    if own.work is None:
        raise InputError("--work is missing: pass the folder for all that is made")
    check_kind(own)
    if len(set(own.detector_seeds)) < len(own.detector_seeds):
        raise InputError("--detector_seeds: the same seed twice gives the same figure twice; name each once")
    if own.quick:
        vars(own).update(QUICK)
    adapt(own, others)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    return exit_code("adapt_detector.py", lambda: run(argv), "interrupted; give the command again to go on")


if __name__ == "__main__":
    sys.exit(main())
