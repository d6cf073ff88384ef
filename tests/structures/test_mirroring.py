import torch

from instagan.structures.mirroring import draw_mirrored, mirror


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_about_the_wanted_share_of_rows_is_chosen_each_by_its_own_generator():
    chosen = draw_mirrored(0.5, seeded(*range(200)))
    assert 70 < chosen.sum() < 130
    assert torch.equal(draw_mirrored(0.5, seeded(*range(100, 200))), chosen[100:])
    assert not draw_mirrored(0, seeded(*range(20))).any() and draw_mirrored(1, seeded(*range(20))).all()


def test_chosen_rows_are_mirrored_and_mirrored_back():
    rows, chosen = torch.randn(3, 2, 4, 5), torch.tensor([True, False, True])
    mirrored = mirror(rows, chosen)
    assert torch.equal(mirrored[1], rows[1]) and torch.equal(mirrored[0, :, :, 0], rows[0, :, :, 4])
    assert torch.equal(mirror(mirrored, chosen), rows)
