"""Published weights under our names and back, in every form in which they are kept; nothing else is ever loaded."""

import os
import pickle
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from instagan import InputError, Translator
from instagan.inference.published import from_published, to_published
from instagan.io.tensor_files import read_tensors
from instagan.networks.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.networks.generators import ResnetGenerator, SetGenerator
from tests.batches import random_batch
from tests.models.test_reference_parity import TRACES, WAYS, Trace, assert_golden
from tests.programs import draw_set, sentence, test_program, translate
from tests.using import state, tiny_run, write_published

FORMS = [(zipped, prefix) for zipped in (True, False) for prefix in ("", "module.")]
NETWORKS = {
    "set generator": lambda: SetGenerator(4, blocks=2),
    "CycleGAN's generator": lambda: ResnetGenerator(4, blocks=6),
    "CycleGAN+Seg's generator": lambda: ResnetGenerator(4, blocks=9, with_union=True),
    "set discriminator": lambda: SetDiscriminator(4, layers=2),
    "PatchGAN": lambda: PatchDiscriminator(4, layers=4),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_names_go_there_and_back(kind):
    weights = state(NETWORKS[kind]())
    published = to_published(weights)
    assert published.keys().isdisjoint(weights) and len(published) == len(weights)
    back = from_published(published, "x")
    assert {name: id(tensor) for name, tensor in back.items()} == {name: id(t) for name, t in weights.items()}
    assert from_published({f"module.{name}": tensor for name, tensor in published.items()}, "x").keys() == back.keys()


def test_published_names_are_those_that_cyclegan_has():
    generator = to_published(state(ResnetGenerator(4, blocks=9)))
    assert {"model.1.weight", "model.10.conv_block.1.weight", "model.18.conv_block.5.bias"} <= generator.keys()
    assert {"model.19.weight", "model.22.weight", "model.26.weight"} <= generator.keys()
    assert {name.split(".")[1] for name in to_published(state(PatchDiscriminator(4)))} == {"0", "2", "5", "8", "11"}


def test_dropout_and_what_old_instance_norms_kept_make_no_difference():
    published = to_published(state(ResnetGenerator(4, blocks=6)))
    with_dropout = {name.replace("conv_block.5.", "conv_block.6."): tensor for name, tensor in published.items()}
    with_dropout |= {"model.2.running_mean": torch.zeros(4), "model.2.num_batches_tracked": torch.zeros(())}
    assert from_published(with_dropout, "x").keys() == from_published(published, "x").keys()


@pytest.mark.parametrize("kind", ["set discriminator", "PatchGAN"])
def test_a_discriminator_that_was_converted_scores_the_same(kind):
    original, other = NETWORKS[kind]().eval(), NETWORKS[kind]().eval()
    other.load_state_dict(from_published(to_published(state(original)), "x"))
    batch = random_batch([2, 1], side=64)
    with torch.no_grad():
        assert torch.equal(original(batch), other(batch))


def golden(trace: Trace, folder: Path, zipped: bool, prefix: str) -> Path:
    for network in ("G_A", "G_B", "D_A", "D_B"):
        weights = {prefix + name: tensor for name, tensor in trace.published_weights("init", network).items()}
        torch.save(weights, folder / f"latest_net_{network}.pth", _use_new_zipfile_serialization=zipped)
    return folder


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("zipped", "prefix"), FORMS)
def test_golden_weights_in_published_files_give_the_golden_pictures(path, zipped, prefix, tmp_path):
    trace = Trace(path)
    folder = golden(trace, tmp_path, zipped, prefix)
    for source, target in WAYS:
        t = Translator.load(folder / f"latest_net_G_{source}.pth", to=target.lower(), device="cpu")
        image, masks = (trace.tensor(f"input/{source}{kind}")[0] for kind in ("", "_segs"))
        out = t(
            (image + 1) / 2, masks,
            ins_per=trace.meta["ins_per"], ins_max=trace.meta["ins_max"], tensors=True,
        )  # fmt: skip
        union = ((out.soft_masks + 1) / 2).sum(0).clamp(0, 1) * 2 - 1
        assert_golden(out.image[None], path, f"test/fake_{target}_img")
        assert_golden(union[None, None], path, f"test/fake_{target}_seg")


@pytest.mark.parametrize(("zipped", "prefix"), FORMS)
def test_published_files_translate_as_the_run_does(zipped, prefix, tmp_path):
    run, model = tiny_run(tmp_path)
    folder = write_published(tmp_path / "published", model, zipped=zipped, prefix=prefix, only="G")
    batch = random_batch([2])
    for to in "ab":
        ours, theirs = (Translator.load(path, to=to, device="cpu").network.run(batch) for path in (run.path, folder))
        assert torch.equal(ours.image, theirs.image) and torch.equal(ours.masks, theirs.masks)


def test_a_single_file_knows_its_direction_and_its_twin(tmp_path):
    _, model = tiny_run(tmp_path)
    folder = write_published(tmp_path / "published", model, only="G")
    batch = random_batch([1])
    one = Translator.load(folder / "latest_net_G_A.pth", to="a", device="cpu").network.run(batch)
    assert torch.equal(one.image, Translator.load(folder, to="a", device="cpu").network.run(batch).image)
    (folder / "latest_net_G_B.pth").rename(folder / "giraffe2sheep.pth")
    with pytest.raises(InputError, match="latest_net_G_A.pth translates the other way.*latest_net_G_B.pth beside it"):
        Translator.load(folder / "latest_net_G_A.pth", to="a")
    renamed = Translator.load(folder / "giraffe2sheep.pth", to="a", device="cpu").network.run(batch)
    assert torch.equal(one.image, renamed.image)
    with pytest.raises(InputError, match="has no checkpoint '7'; there are: giraffe2sheep.pth, latest_net_G_A.pth"):
        Translator.load(folder, epoch=7)


def test_opt_txt_tells_what_weights_do_not(tmp_path):
    _, model = tiny_run(tmp_path, "run", "--norm", "none")
    folder = write_published(tmp_path / "published", model, only="G")
    lines = ("norm: none  \t[default: instance]", "direction: BtoA   \t[default: AtoB]", "ins_per: 1  \t[default: 2]")
    head = "----------------- Options ---------------\n"
    (folder / "opt.txt").write_text(head + "".join(f"{line:>60}\n" for line in lines) + "--- End ---\n")
    t = Translator.load(folder, to="a", device="cpu")
    assert t.network.description.config["norm"] == "none" and t.network.ins_per == 1
    assert torch.equal(t.network.generator.image_encoder[1].weight, model.networks["G_A"].image_encoder[1].weight)


def test_test_py_translates_with_published_weights(tmp_path, capsys):
    dataroot = draw_set(tmp_path / "data", "test", a=(2, 0), b=(1,))
    _, model = tiny_run(tmp_path / "runs")
    write_published(tmp_path / "runs" / "downloaded", model, only="G")
    sizes = ("--load_size", "32", "--fine_size", "32")
    for name, flags in (("run", ()), ("downloaded", sizes)):
        assert translate(dataroot, tmp_path / "runs", tmp_path / "results", "--name", name, *flags) == 0
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / "results" / name / "test_latest").glob("*.png")}
        for name in ("run", "downloaded")
    )
    assert ours == theirs and "a0_fake_B.png" in ours
    where = ("--dataroot", dataroot, "--checkpoints_dir", tmp_path / "runs", "--name", "downloaded", "--device", "cpu")
    (tmp_path / "runs" / "downloaded" / "latest_net_G_B.pth").unlink()
    assert "latest_net_G_B.pth" not in os.listdir(tmp_path / "runs" / "downloaded")
    assert "*_net_G_B.pth beside the other" in sentence(capsys, test_program.main, *where)
    assert "--ngf 8 contradicts" in sentence(capsys, test_program.main, *where, "--ngf", "8")


class Malicious:
    """Touches a file when it is unpickled by a reader that runs what the file says."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("kind", ["zip", "old format", "bare pickle", "a checkpoint of ours"])
def test_a_malicious_file_is_refused_and_does_nothing(kind, tmp_path):
    mark, file = tmp_path / "touched", tmp_path / "latest_net_G_A.pth"
    weights = {**to_published(state(SetGenerator(4, blocks=1))), "x": Malicious(mark)}
    if kind == "bare pickle":
        file.write_bytes(pickle.dumps(Malicious(mark)))
    elif kind == "a checkpoint of ours":
        file = tmp_path / "latest.pth"
        torch.save({"format": 1, "networks": {"G_A": weights}}, file)
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(InputError, match="holds more than tensors"):
        Translator.load(file)
    assert not mark.exists()
    with suppress(Exception):
        torch.load(file, weights_only=False)
    assert mark.exists()  # the file is what it claims to be: an unsafe reader runs it


def test_files_that_are_no_weights_are_refused_by_name(tmp_path):
    good = tmp_path / "good.pth"
    torch.save(to_published(state(SetGenerator(4, blocks=1))), good)
    contents = {
        "html.pth": b"<html><body>404</body></html>" * 20,
        "empty.pth": b"",
        "cut.pth": good.read_bytes()[:4000],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is damaged or not a checkpoint"):
            Translator.load(tmp_path / name)
    (tmp_path / "graph.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(InputError, match="graph.onnx is a graph for other programs; pass the run's folder"):
        Translator.load(tmp_path / "graph.onnx")
    values = {
        "module.pth": (torch.nn.Linear(1, 1), "holds more than tensors .torch.nn.modules.linear.Linear"),
        "list.pth": ([1, 2], "no weights by name but a list"),
        "nested.pth": ({"a": [torch.zeros(1)]}, "holds 'a', a list"),
        "unknown.pth": ({"conv.weight": torch.zeros(1)}, "it holds 'conv.weight'"),
        "discriminator.pth": (to_published(state(SetDiscriminator(4))), "holds no generator"),
        "nan.pth": (
            {name: tensor * float("nan") for name, tensor in read_tensors(good).items()},
            "NaN or infinite weights",
        ),
        "partial.pth": (dict(list(read_tensors(good).items())[:8]), "does not fit its generator"),
    }  # fmt: skip
    for name, (value, reason) in values.items():
        torch.save(value, tmp_path / name)
        with pytest.raises(InputError, match=reason) as error:
            Translator.load(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        Translator.load(tmp_path / "no.pth")
