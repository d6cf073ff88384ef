"""DataLoaders: workers, batches, order."""

from __future__ import annotations

import atexit
import multiprocessing
import signal

import torch
from torch.utils.data import DataLoader

from data.collate import collate_domain, collate_pairs
from data.unaligned_instance_dataset import DomainDataset, EpochSampler, UnalignedInstanceDataset
from instagan.instances import InstanceBatch, UnpairedBatch


class TrainingLoader:
    """The batches of any epoch from any position on; the same for every number of workers."""

    def __init__(self, dataset: UnalignedInstanceDataset, batch_size: int, workers: int, pin_memory: bool) -> None:
        self.sampler = EpochSampler(len(dataset), batch_size, dataset.seed, dataset.serial)
        self.loader: DataLoader[UnpairedBatch] = DataLoader(
            dataset,
            batch_sampler=self.sampler,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=collate_pairs,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_signals_to_the_main_process,
            generator=torch.Generator(),  # so that starting an epoch draws nothing from torch's global random state
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.sampler)

    def epoch(self, epoch: int, start: int) -> DataLoader[UnpairedBatch]:
        """The batches of an epoch (from 1), beginning with number ``start`` (from 0)."""
        self.sampler.epoch, self.sampler.start = epoch, start
        return self.loader


def testing_loader(
    dataset: DomainDataset, batch_size: int, workers: int
) -> DataLoader[tuple[InstanceBatch, tuple[str, ...]]]:
    """The pictures of one domain in their order, in batches, each with the paths of its rows."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size,
        num_workers=workers,
        collate_fn=collate_domain,
        worker_init_fn=_leave_signals_to_the_main_process,
    )


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; a worker that died of it would take the step in progress along."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _end_workers() -> None:
    """Python ends what is left of its child processes with SIGTERM and waits; workers would let it wait for ever."""
    if worker_processes := multiprocessing.active_children():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report them as failed
        for worker in worker_processes:
            worker.kill()
