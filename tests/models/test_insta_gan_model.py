"""Laws of InstaGAN's training step and of translating with it."""

import pytest
import torch

from engine.freezing import frozen
from engine.update import Update
from instagan.losses import lsgan
from instagan.networks.blocks import initialise
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures import calls
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.insta_gan_model import InstaGanModel
from tests.batches import WatchedUpdate, assert_same, pair_of, random_batch, random_pair, rows_of, trained_on

FEW_PIXELS = calls.FEW_PIXELS


def small_model(**changes) -> InstaGanModel:
    torch.manual_seed(0)
    generators = {name: SetGenerator(4, blocks=1) for name in "AB"}
    for generator in generators.values():
        initialise(generator, "xavier", 1.0)
    return InstaGanModel(generators, {name: SetDiscriminator(4) for name in "AB"}, **changes)


class Recorder:
    """Stands in for an optimizer and keeps the gradients of each step; the weights stay."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.steps: list[torch.Tensor] = []

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def backward(self, objective: torch.Tensor) -> None:
        objective.backward()

    @property
    def param_groups(self) -> list[dict]:
        return [{"params": self.parameters}]

    def step(self) -> None:
        self.steps.append(
            torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters])
        )


def gradients(pair: UnpairedBatch, few_pixels: int = FEW_PIXELS) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Gradients of G and D at every mini-batch of one training step, the weights held still."""
    model = small_model().eval().double()  # eval: no power step, so that every call sees the same discriminator
    pair = pair.changed(doubled)
    model.optimizer_G, model.optimizer_D = Recorder(model.optimizer_G), Recorder(model.optimizer_D)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FEW_PIXELS", few_pixels)
        model.training_step(Update([pair]))
    return model.optimizer_G.steps, model.optimizer_D.steps


def doubled(batch: InstanceBatch) -> InstanceBatch:
    """In float64: the sign in L1's gradient would turn float32's rounding into visible differences."""
    return InstanceBatch(batch.image.double(), batch.masks.double(), batch.present, batch.labels)


def row_of(pair: UnpairedBatch, row: int) -> UnpairedBatch:
    return rows_of(pair, slice(row, row + 1))


def test_gradients_of_a_batch_are_means_over_the_rows_in_play():
    counts_a, counts_b = [4, 1, 0], [3, 3, 3]  # A runs out row by row, B does not
    pair = random_pair(counts_a, counts_b)
    together = gradients(pair)
    apart = [gradients(row_of(pair, row)) for row in range(3)]
    for network in (0, 1):
        assert len(together[network]) == 2
    # of B all rows are in play at both mini-batches, of A rows 0 and 1 at the first, row 0 at the second:
    # separate the directions by runs in which the other domain has no instance
    for emptied, counts in (("A", counts_b), ("B", counts_a)):

        def only(one: UnpairedBatch, emptied: str = emptied) -> UnpairedBatch:
            bare = InstanceBatch.from_masks(one[emptied].image, one[emptied].masks * 0 - 1)
            return UnpairedBatch({**one.domains, emptied: bare}, one.paths)

        whole = gradients(only(pair))
        rows = [gradients(only(row_of(pair, row))) for row in range(3)]
        for network in (0, 1):
            for step, gradient in enumerate(whole[network]):
                playing = [row for row in range(3) if counts[row] > 2 * step]
                mean = torch.stack([rows[row][network][step] for row in playing]).mean(0)
                assert (gradient - mean).norm() < 1e-9 * mean.norm(), (emptied, network, step)
            assert len(whole[network]) == -(-max(counts) // 2)
    assert [len(steps) for steps in apart[2]] == [2, 2]  # a row without instances of A still trains B -> A


def test_a_batch_without_any_instance_changes_nothing():
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses, pictures = trained_on(model, random_pair([0, 0], [0, 0]))
    assert losses == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert_same(pictures["A"]["fake_B"], pictures["A"]["real_A"])


def test_weights_are_stepped_after_every_mini_batch():
    model = small_model(ins_per=1)
    seen = []

    def note(_: object) -> None:
        seen.append([next(model.networks[name].parameters()).clone() for name in model.networks])

    model.training_step(WatchedUpdate([random_pair([3], [2])], note))
    assert len(seen) == 3
    for before, after in zip(seen, seen[1:], strict=False):
        changed = [not torch.equal(b, a) for b, a in zip(before, after, strict=True)]
        assert changed[:2] == [True, True]  # G_A and G_B: cycle and identity use both
    assert not torch.equal(seen[1][2], seen[2][2])  # D_A is in play all the time
    assert torch.equal(seen[1][3], seen[2][3])  # D_B is not: B has run out


@pytest.mark.parametrize("ins_max", [1, 3, 5])
def test_ins_max_that_ins_per_does_not_divide(ins_max):
    model = small_model(ins_max=ins_max, ins_per=2)
    rounds = []
    model.training_step(WatchedUpdate([random_pair([5], [5])], rounds.append))
    assert len(rounds) == -(-ins_max // 2)
    last = rounds[-1].places[0].turn
    assert last.aggregate.present.sum().item() == ins_max
    assert last.source.slot_count == 2  # absent slots fill up, so that the loss's mean stays what it is


def test_instances_beyond_ins_max_are_dropped_smallest_first():
    pair = random_pair([5, 2], [3, 5])
    _, pictures = trained_on(small_model(ins_max=3), pair)
    assert_same(pictures["A"]["real_A"], pair["A"].largest(3))
    _, pictures = trained_on(small_model(ins_max=3, set_order="random"), pair)
    assert_same(pictures["A"]["real_A"], pair["A"].first(3))


@pytest.mark.parametrize(("switch", "gone"), [("idt", {"idt_A", "idt_B"}), ("ctx", {"ctx_A", "ctx_B"})])
def test_a_term_with_weight_zero_is_not_computed(switch, gone, monkeypatch):
    monkeypatch.setattr(calls, "FEW_PIXELS", 0)

    def run(**lambdas):
        model = small_model(lambdas=lambdas)
        seen = []
        model.networks["G_A"].register_forward_hook(lambda *_: seen.append(1))
        return set(trained_on(model, random_pair([2], [2]))[0]), len(seen)

    everything, calls_with = run()
    rest, calls_without = run(**{switch: 0.0})
    assert everything - rest == gone
    assert calls_without == calls_with - (switch == "idt")


def test_weights_of_the_losses_are_what_they_say():
    pair = random_pair([2], [2])
    one, _ = trained_on(small_model(), pair)
    other, _ = trained_on(small_model(lambdas={"A": 20.0, "B": 5.0, "idt": 0.5, "ctx": 3.0}), pair)
    factors = {"cyc_A": 2, "cyc_B": 0.5, "idt_B": 1, "idt_A": 0.25, "ctx_A": 6, "ctx_B": 1.5, "G_A": 1, "G_B": 1}
    assert factors.keys() < one.keys() == other.keys()
    for name, factor in factors.items():
        assert other[name].item() == pytest.approx(factor * one[name].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("few_pixels", "expected"), [(0, [[2], [3], [2], [4], [3], [4]]), (10**6, [[2], [3, 2], [4], [3, 4]])]
)
def test_discriminator_sees_all_real_masks_and_the_aggregate(few_pixels, expected, monkeypatch):
    model = small_model(ins_max=4, ins_per=2)
    monkeypatch.setattr(calls, "FEW_PIXELS", few_pixels)
    seen = []
    model.networks["D_A"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].present.sum(1).tolist()))
    trained_on(model, random_pair([4], [3]))
    # per mini-batch: generator's judgement of the aggregate, then real (3 masks of B), then the aggregate again
    assert seen == expected


@pytest.mark.parametrize("counts", [([4, 1, 0], [3, 3, 3]), ([2], [0])], ids=str)
def test_small_pictures_in_one_call_give_the_gradients_of_calls_of_their_own(counts):
    (one_G, one_D), (own_G, own_D) = (gradients(random_pair(*counts), few_pixels) for few_pixels in (10**6, 0))
    assert len(one_G) == len(own_G) > 0
    for one, own in zip(one_G + one_D, own_G + own_D, strict=True):
        assert own.norm() > 0
        assert (one - own).norm() <= 1e-9 * own.norm()


def test_batches_go_through_a_network_in_one_call_up_to_a_number_of_pixels(monkeypatch):
    model, seen = small_model(), []
    model.networks["G_B"].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    pair = random_pair([1], [0])
    for pixels, expected in ((2 * pair["A"].image[0, 0].numel(), [2]), (2 * pair["A"].image[0, 0].numel() - 1, [1, 1])):
        monkeypatch.setattr(calls, "FEW_PIXELS", pixels)
        seen.clear()
        losses, _ = trained_on(model, pair)
        assert seen == expected
        assert set(losses) == {"G_A", "cyc_A", "ctx_A", "idt_B", "D_A"}


def test_real_pictures_of_another_size_than_the_fakes_are_judged_by_themselves():
    a, b = random_pair([2], [2]), random_pair([2], [2], side=40)
    losses, _ = trained_on(small_model(), pair_of(a["A"], b["B"]))
    assert all(loss.isfinite() for loss in losses.values())


def test_power_iteration_makes_one_step_per_discriminator_update():
    model = small_model()
    norms = [m for m in model.networks["D_A"].modules() if type(m).__name__ == "_SpectralNorm"]
    counts = dict.fromkeys(norms, 0)

    def count(norm):
        original = norm._power_method

        def counting(*arguments):
            counts[norm] += 1
            original(*arguments)

        norm._power_method = counting

    for norm in norms:
        count(norm)
    trained_on(model, random_pair([4], [4]))
    assert set(counts.values()) == {2}  # two mini-batches, two updates


def test_frozen_networks_pass_gradients_on_and_are_restored_as_they_were():
    discriminator = SetDiscriminator(4)
    next(discriminator.parameters()).requires_grad_(False)
    discriminator.classifier.eval()
    vectors = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
    batch = random_batch([1])
    batch.image.requires_grad_()
    with frozen(discriminator):
        lsgan(discriminator(batch), True).backward()
    assert batch.image.grad is not None and batch.image.grad.abs().sum() > 0
    assert all(p.grad is None for p in discriminator.parameters())
    assert all(torch.equal(buffer, vectors[name]) for name, buffer in discriminator.named_buffers())
    assert [p.requires_grad for p in discriminator.parameters()][:2] == [False, True]
    assert discriminator.training and not discriminator.classifier.training


def test_no_gradient_stands_beside_the_graphs_of_the_next_mini_batch():
    model, found = small_model(ins_per=1), []
    look = WatchedUpdate([random_pair([3], [2])], lambda _: found.append([p.grad is None for p in model.parameters()]))
    model.training_step(look)
    assert len(found) == 3 and all(map(all, found))


def test_what_earlier_mini_batches_translated_may_weigh_more_in_the_context_loss():
    model, pair = small_model(ins_per=1, lambda_earlier=10.0), random_pair([2], [1])
    (first, second) = model.turns(model.ways[0], pair)
    assert torch.equal(model.importance(first), torch.ones_like(pair["A"].image[:, :1]))
    inside = (first.translated.masks[:, :1].detach() + 1) / 2  # the mask that is there already
    assert torch.allclose(model.importance(second), 1 + 9 * inside)
    assert small_model(ins_per=1).importance(second) == 1.0


def test_results_carry_no_graph():
    losses, pictures = trained_on(small_model(), random_pair([3], [1]))
    assert not any(loss.requires_grad for loss in losses.values())
    for batches in pictures.values():
        assert not any(b.image.requires_grad or b.masks.requires_grad for b in batches.values())


@pytest.mark.parametrize("set_order", ["decreasing", "random"])
def test_translate_keeps_the_order_of_the_slots(set_order):
    model = small_model(ins_max=None, set_order=set_order).double()
    source = random_batch([4, 1, 0], slots=5, dtype=torch.float64)
    fake = model.translate(source)
    assert torch.equal(fake.present, source.present)
    order = source.order_by_area() if set_order == "decreasing" else source.order_of_slots()
    ordered = model.translate(source.select(order))
    assert_same(fake.select(order), ordered, 1e-9)


def test_translate_leaves_a_picture_without_instances_as_it_is():
    source = random_batch([2, 0])
    fake = small_model(ins_max=None).translate(source)
    assert_same(fake[[1]], source[[1]])
    assert not torch.equal(fake.image[0], source.image[0])
    assert_same(small_model().translate(source.slots(0, 0)), source.slots(0, 0))


def test_translate_takes_the_largest_when_limited():
    source = random_batch([4], slots=4)
    fake = small_model(ins_max=2).translate(source)
    expected = torch.zeros_like(source.present).scatter(1, source.order_by_area()[:, :2], True)
    assert torch.equal(fake.present, expected)
    assert (fake.masks[~fake.present] == -1).all()


def test_translate_uses_the_generator_of_the_asked_direction_only():
    model = small_model()
    used = []
    for name, network in model.networks.items():
        network.register_forward_hook(lambda *_, name=name: used.append(name))
    model.translate(random_batch([1]), to="b")
    assert set(used) == {"G_A"}
    used.clear()
    model.translate(random_batch([1]), to="a")
    assert set(used) == {"G_B"}


def test_vanilla_loss_reads_logits():
    pair = random_pair([1], [1])
    losses, _ = trained_on(small_model(least_squares=False), pair)
    assert losses["G_A"].item() == pytest.approx(0.69, abs=0.5)
    assert losses["D_A"].item() == pytest.approx(0.69, abs=0.3)
