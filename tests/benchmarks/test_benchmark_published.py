"""The benchmarks' denominator computes what the project's model computes: same losses, same pictures."""

import random
from argparse import Namespace

import pytest
import torch

from benchmarks.speed.published import Pool, PublishedSystem
from benchmarks.speed.published_networks import PublishedDiscriminator, PublishedGenerator, present
from engine.method import state_of
from engine.update import Update
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch
from models.insta_gan_model import InstaGanModel
from tests.batches import losses_of_rounds, random_batch, random_pair, rows_of, trained_on
from tests.rounding import between_two, distance

OPTIONS = Namespace(
    ngf=4, ndf=4, n_layers_D=3, ins_max=3, ins_per=2, lambda_A=10.0, lambda_B=7.0, lambda_idt=1.0, lambda_ctx=0.5,
    pool_size=50, lr=2e-4, beta1=0.5,
)  # fmt: skip
POWER_STEPS = 300


def both(converged: bool, **changed: object) -> tuple[InstaGanModel, PublishedSystem]:
    """Our model and the published system with the same weights."""
    torch.manual_seed(0)
    options = Namespace(**{**vars(OPTIONS), **changed})
    model = InstaGanModel(
        {name: SetGenerator(options.ngf) for name in "AB"},
        {name: SetDiscriminator(options.ndf) for name in "AB"},
        ins_max=options.ins_max,
        ins_per=options.ins_per,
        lambdas={"A": options.lambda_A, "B": options.lambda_B, "idt": options.lambda_idt, "ctx": options.lambda_ctx},
    )
    if converged:
        with torch.no_grad():
            for _ in range(POWER_STEPS):
                for name in "AB":
                    model.networks[f"D_{name}"](random_batch([1]))
    return model, PublishedSystem(state_of(model)["networks"], options, torch.device("cpu"))


def joined(batch: InstanceBatch) -> torch.Tensor:
    return torch.cat([batch.image, batch.masks], dim=1)


@torch.no_grad()
def test_networks_are_the_same():
    model, published = both(converged=False)
    for count in (1, 3):
        x, exact_x = (random_batch([count], slots=4, dtype=dtype) for dtype in (torch.float32, torch.float64))
        theirs, ours = published.networks["G_A"], model.networks["G_A"]
        limit = between_two(ours, lambda exact, x=exact_x: joined(exact(x)))
        assert distance(theirs(joined(x)), joined(ours(x))) <= limit
        theirs, ours = published.networks["D_A"].eval(), model.networks["D_A"].eval()
        assert distance(theirs(joined(x)), ours(x)) <= between_two(ours, lambda exact, x=exact_x: exact(x))


@pytest.mark.parametrize("a, b, ins_per", [([3], [2], 3), ([1], [3], 3), ([2, 3], [1, 2], 3)])
def test_losses_of_the_first_mini_batch(a, b, ins_per):
    """A batch is one picture after the other there, with steps between them: its rows are compared one by one."""
    model, _ = both(converged=True, ins_per=ins_per)
    pair = random_pair(a, b)
    for row in range(len(a)):
        model, published = both(converged=True, ins_per=ins_per)
        single = rows_of(pair, slice(row, row + 1))
        ours, _ = trained_on(model, single)
        theirs = published.training_step(single)
        assert (
            set(theirs) == set(ours) == {f"{kind}_{name}" for kind in ("G", "cyc", "idt", "ctx", "D") for name in "AB"}
        )
        for name, loss in theirs.items():
            assert loss.item() == pytest.approx(ours[name].item(), rel=1e-4), name


def test_gradients_go_where_ours_go():
    """One mini-batch moves the weights alike: Adam's first step is the gradient's sign, which rounding may turn."""
    (model, published), pair = both(converged=True, ins_per=3), random_pair([3], [2])
    before = {name: weight.clone() for name, weight in weights(model).items()}
    trained_on(model, pair)
    published.training_step(pair)
    for name, start in before.items():
        ours, theirs = (weights(system)[name] - start for system in (model, published))
        assert ours.abs().max() > 1e-4
        # the sign of one gradient in sixty; few are so near to zero, but a layer may have no more than 200 weights
        assert (ours - theirs).norm() <= 0.25 * ours.norm(), name


def weights(system: InstaGanModel | PublishedSystem) -> dict[str, torch.Tensor]:
    """A layer near the picture and one far from it, of every network."""
    found = {}
    for name in "AB":
        G, D = system.networks[f"G_{name}"], system.networks[f"D_{name}"]
        found[f"G_{name} first"], found[f"G_{name} last"] = G.image_encoder[1].weight, G.mask_decoder[0].weight
        found[f"D_{name}"] = D.mask_features[0].parametrizations.weight.original
    return {name: weight.detach() for name, weight in found.items()}


def test_every_mini_batch_is_played_and_a_direction_may_end_early():
    """3 instances in mini-batches of 2 against 1: the second mini-batch knows one direction."""
    model, published = both(converged=True)
    pair = random_pair([3], [1])
    found = published._step(*published._real(pair, 0).values())
    assert [sorted(losses) for losses in found] == [
        sorted(f"{kind}_{name}" for kind in ("G", "cyc", "idt", "ctx", "D") for name in "AB"),
        ["D_A", "G_A", "ctx_A", "cyc_A", "idt_B"],
    ]
    update = Update([pair])
    model.training_step(update)
    for ours, theirs in zip(losses_of_rounds(update), found, strict=True):
        for name, loss in ours.items():
            assert theirs[name].item() == pytest.approx(loss.item(), rel=2e-2), name  # weights were stepped between


@torch.no_grad()
def test_the_test_step_gives_what_translate_gives():
    model, published = both(converged=False)
    pair = random_pair([3, 1], [2, 3])
    for row, found in enumerate(published.test_step(pair)):
        for batch, source, target in ((pair["A"], "A", "B"), (pair["B"], "B", "A")):
            real = batch[[row]].largest(OPTIONS.ins_max)
            slots = real.present[0].nonzero()[:, 0]

            def run(system, real=real, source=source, target=target, slots=slots):
                real = InstanceBatch.from_masks(*(t.to(next(system.parameters())) for t in (real.image, real.masks)))
                fake = system.translate(real, target.lower())
                first = system.networks[f"G_{source}"](real.slots(0, OPTIONS.ins_per))
                back = joined(system.networks[f"G_{target}"](first))
                return torch.cat([fake.image, fake.masks[:, slots], back], dim=1)

            fake = found[f"fake_{target}"]
            theirs = torch.cat([fake[:, :3], fake[:, 3 + slots], found[f"rec_{source}"]], dim=1)
            assert distance(theirs, run(model)) <= between_two(model, run)


def test_the_schedule_is_the_published_one(monkeypatch):
    """One instance per call; a power step in every call of a discriminator's sub-network; one backward for G."""
    _, published = both(converged=False, ins_max=4)
    pair = random_pair([4, 4], [4, 2])
    rows, power, backward = [], {}, []
    for name, network in published.networks.items():
        for part, module in network.named_children():
            module.register_forward_hook(
                lambda module, seen, out, where=(name[0], part): rows.append((*where, seen[0].shape[0]))
            )
    norm = published.networks["D_A"].mask_features[0].parametrizations.weight[0]
    step = type(norm)._power_method
    run = torch.Tensor.backward

    def counted_step(self, *given):
        power[self] = power.get(self, 0) + 1
        step(self, *given)

    monkeypatch.setattr(type(norm), "_power_method", counted_step)
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: (backward.append(1), run(self)))
    single = rows_of(pair, slice(1))
    published.training_step(single)
    assert {count for *_, count in rows} == {1}
    calls = {part: sum(row[:2] == part for row in rows) for part in {row[:2] for row in rows}}
    assert calls["G", "image_encoder"] == 2 * 2 * 3  # mini-batches, directions; fake, reconstruction, identity
    assert calls["G", "mask_encoder"] == calls["G", "mask_decoder"] == 2 * 2 * 3 * 2
    assert calls["D", "mask_features"] == 2 * 2 * 4 + 2 * (2 * 2 + 2 * 4)  # real 4 of 4, twice each fake of 2 and 4
    assert power[norm] == calls["D", "mask_features"] / 2
    assert len(backward) == 2 * (1 + 2)
    rows.clear()
    published.training_step(pair)
    assert {count for *_, count in rows} == {1} and len(backward) == 6 + 2 * 6 - 1  # B has no second mini-batch once


def test_nothing_of_the_projects_own_layers_is_in_it():
    for network in (PublishedGenerator(4), PublishedDiscriminator(4, 3)):
        assert {type(module).__module__.split(".")[0] for module in network.modules()} <= {"torch", "benchmarks"}


def test_existence_is_found_from_pixels():
    assert present(joined(random_batch([3], slots=3))) == [0, 1, 2]
    x = random_batch([2], slots=5)
    assert present(joined(x)) == x.present[0].nonzero()[:, 0].tolist()
    assert present(joined(random_batch([0], slots=2))) == [0]


def test_the_pool_shows_new_and_old_fakes():
    random.seed(0)
    pool = Pool(2)
    fakes = [torch.full((1, 4, 2, 2), float(number)) for number in range(40)]
    shown = [pool.query(fake) for fake in fakes]
    assert shown[:2] == fakes[:2] and len(pool.kept) == 2
    older = sum(one is not other for one, other in zip(shown, fakes, strict=True))
    assert 10 < older < 28
    assert all(one is other for one, other in zip(map(Pool(0).query, fakes), fakes, strict=True))
