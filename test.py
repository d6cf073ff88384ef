"""Translates a data set with a trained model: python test.py --dataroot DIR --name NAME ...; see README.md."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.attributes import attribute_of
from data.coco_results import CocoResults
from data.loading import testing_loader
from data.results import ResultFolder
from data.unaligned_instance_dataset import DomainDataset
from engine.device import choose_device, prepare, wait_for, workers
from engine.run_folder import checkpoint_tag
from instagan.cli.ending import exit_code
from instagan.errors import one_line
from instagan.io.formats import formats_of
from instagan.kernels.processor import read_cpuinfo, slow_bf16
from instagan.structures.directions import asked_for
from options.build import domains_of, framing, trained_model
from options.control import control_of
from options.parse import Resolved, parse_testing
from options.styles import styles_of
from pages.gallery import GalleryRow, GallerySection, write_gallery


def test(resolved: Resolved) -> int:
    """Writes the translations of every picture and a gallery of them; returns the exit code."""
    options = resolved.values
    device = choose_device(options)
    prepare(device, options)
    tag = checkpoint_tag(options)
    model, state = trained_model(options, device)
    directions = asked_for(options.direction, model.directions, options.trained_direction)
    domains = domains_of(options, "".join(one.source for one in directions))
    domains = {letter: domain.first(options.num_test) for letter, domain in domains.items()}
    path = Path(options.results_dir) / options.name / f"{options.phase}_{tag}"
    styles = styles_of(options, model, device)
    control = control_of(options, model, directions, domains.values())
    coco = CocoResults(path, domains[directions[0].source].categories) if options.save_coco else None
    written = styles.count, attribute_of(options), formats_of(vars(options))
    folder = ResultFolder(path, options.original_size, options.aspect_ratio, *written)
    print(resolved.table(), *(domain.summary() for domain in domains.values()), sep="\n")
    if slow := slow_bf16(options.precision, device.type, read_cpuinfo()):
        print(f"warning: {slow}", file=sys.stderr)
    sections, seconds = [], 0.0
    for way in directions:
        to, back = way.networks.target.lower(), way.networks.source.lower()
        dataset = DomainDataset(domains[way.source].entries, framing(options, False))
        loader = testing_loader(dataset, options.batch_size, workers(options))
        rows: list[GalleryRow] = []
        for batch, paths in loader:
            entries = dataset.entries[len(rows) : len(rows) + len(paths)]
            real = control.on(batch.to(device), [entry.mask_numbers for entry in entries])
            started = time.perf_counter()
            fakes = [model.translate(real, to, style) for style in styles.each]
            wait_for(device)
            seconds += time.perf_counter() - started
            rec = model.translate(fakes[0], back, styles.back(real)) if way.way_back and not styles.asked else None
            for row, entry in enumerate(entries):
                own, *translated = (one[[row]].to("cpu") for one in (batch, *fakes))
                again = rec and rec[[row]].to("cpu")
                files = folder.save(entry, own, translated, again, way.source, way.target)
                rows.append(GalleryRow(entry.picture.name, files))
                if coco:
                    coco.add(entry, way.source, way.target, translated[0])
        examples = folder.save_examples(way.target, styles.images)
        folder.save_contact_sheet(way.source, way.target, [row.files for row in rows], examples)
        columns = folder.columns(way.source, way.target)
        above = GalleryRow("Images whose style is taken", examples, [file.name for file in styles.examples])
        heading = f"{way.source} to {way.target}"
        sections.append(GallerySection(heading, columns[0], rows, columns[1], above if examples else None))
    made = (count := sum(len(section.rows) for section in sections)) * len(styles.each)
    facts = {"Checkpoint": tag, "Step": state["progress"]["steps"], "Seconds per picture": f"{seconds / made:.3f}"}
    page = write_gallery(folder.path, f"{options.name}: {options.phase}", sections, facts)
    if coco:
        print(one_line(coco.write(f"{options.name}: {options.phase}, checkpoint {tag}")))
    print(one_line(f"{count} images translated{styles.told} in {seconds / made:.3f} s each; look at {page}"))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    return exit_code("test.py", lambda: test(parse_testing(argv)), "interrupted; the images written so far are there")


if __name__ == "__main__":
    sys.exit(main())
