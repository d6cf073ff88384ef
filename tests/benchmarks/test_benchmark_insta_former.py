"""InstaFormer's published schedule does the same work as ours: the same losses from the same weights and styles."""

import torch

from benchmarks.speed.published_insta_former import FLAGS, SLOTS
from benchmarks.speed.variants import Variant, Workload, build

SMALL = ("--patch", "4", "--depth", "2", "--mlp_dim", "8", "--netF_nc", "8")


def losses_of(name: str, *flags: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    workload = Workload(
        64, 4, 4, (2, 1), ins_max=SLOTS, ins_per=2, batch_size=1, device="cpu", method="insta_former",
        others=(*SMALL, *flags),
    )  # fmt: skip
    return build(Variant(name), workload).training_step(workload.pair().changed(lambda x: x.slots(0, SLOTS)))


def test_a_step_has_the_losses_of_ours():
    """Those of G are found after D's step, so that this holds D's gradients, too."""
    ours, published = losses_of("ours", *FLAGS), losses_of("published")
    assert published.keys() == ours.keys() and len(published) == 6
    for name, loss in ours.items():
        torch.testing.assert_close(published[name], loss, rtol=1e-4, atol=1e-5, msg=name)
