"""DataLoaders: workers, batches, order."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from itertools import islice

import torch
from torch.utils.data import DataLoader

from data.collate import collate_domain, collate_pairs
from data.transport import collate_packed
from data.unaligned_instance_dataset import DomainDataset, EpochSampler, UnalignedInstanceDataset
from instagan.errors import InputError
from instagan.structures.instances import InstanceBatch, UnpairedBatch


class TrainingLoader:
    """One rank's batches of any epoch from any position on; the same for every number of workers."""

    def __init__(
        self,
        dataset: UnalignedInstanceDataset,
        batch_size: int,
        workers: int,
        pin_memory: bool,
        accumulate: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.sampler = EpochSampler(len(dataset), batch_size, dataset.seed, dataset.serial, accumulate, rank, ranks)
        self.loader: DataLoader[UnpairedBatch] = DataLoader(
            dataset,
            batch_sampler=self.sampler,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=collate_packed if workers else collate_pairs,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_signals_to_the_main_process,
            generator=torch.Generator(),  # so that starting an epoch draws nothing from torch's global random state
        )

    def __len__(self) -> int:
        """Training steps in an epoch."""
        return len(self.sampler)

    @property
    def pictures(self) -> int:
        """Pairs of pictures in an epoch, on all ranks."""
        return self.sampler.size

    def epoch(self, epoch: int, start: int) -> DataLoader[UnpairedBatch]:
        """The batches of an epoch (from 1), beginning with step number ``start`` (from 0)."""
        self.sampler.epoch, self.sampler.done = epoch, start * self.sampler.step_size
        return self.loader

    def steps(self, epoch: int, done: int) -> Iterator[list[UnpairedBatch]]:
        """The batches of every step of an epoch (from 1) of which so many pictures are done; none where the last step
        has nothing left for this rank. As many steps on every rank."""
        self.sampler.epoch, self.sampler.done = epoch, done
        counts = [len(batches) for batches in self.sampler.steps()]
        batches = iter(self.loader)
        if self.loader.num_workers and threading.current_thread() is threading.main_thread():
            # torch's handler raises in the middle of a step when a worker dies; the next batch tells it soon enough
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for count in counts:
            yield _taken(batches, count)


def _taken(batches: Iterator[UnpairedBatch], count: int) -> list[UnpairedBatch]:
    """The next batches. Raises ``InputError`` where a worker process is gone, as one that the system has killed is."""
    try:
        return list(islice(batches, count))
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"a process that reads pictures has ended, for lack of memory perhaps ({reason}); lower --num_threads, "
            "then go on with --continue_train"
        ) from None


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
