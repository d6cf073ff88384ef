"""A checkpoint tells when it is not what was written: any cut, any flipped bit, anything that would unpack itself."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from instagan.io import sealed
from instagan.io.sealed import fault, save_sealed

CONTENT = {"networks": {"G": {f"w{n}": torch.rand(5, n) for n in range(4)}}, "progress": {"steps": 3}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sealed") / "whole.pth"
    save_sealed(CONTENT, path)
    return path.read_bytes()


def test_torch_and_zip_read_it_as_any_archive(tmp_path, whole):
    path = tmp_path / "a.pth"
    path.write_bytes(whole)
    for mmap in (False, True):
        read = torch.load(path, weights_only=True, mmap=mmap)
        assert all(torch.equal(read["networks"]["G"][name], CONTENT["networks"]["G"][name]) for name in ("w0", "w3"))
    assert zipfile.ZipFile(path).testzip() is None
    assert zipfile.ZipFile(path).comment.startswith(b"instagan sha256 ")
    assert fault(path) == ""


def test_the_checksum_is_that_of_sha256sum(tmp_path, whole):
    path = tmp_path / "a.pth"
    path.write_bytes(whole[: -sealed.COMMENT_SIZE - 2])
    command = [
        sys.executable,
        "-c",
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())",
    ]
    shown = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout.strip()
    assert whole.decode("latin1").endswith(shown)


def test_every_flipped_bit_is_found(tmp_path, whole):
    """One random bit of every byte of the file's ends, and of every 19th in between."""
    random, path = np.random.default_rng(0), tmp_path / "a.pth"
    places = [*range(300), *range(300, len(whole) - 600, 19), *range(len(whole) - 600, len(whole))]
    path.write_bytes(whole)
    with path.open("r+b", buffering=0) as file:
        for place in places:
            for value in (whole[place] ^ 1 << int(random.integers(8)), whole[place]):
                file.seek(place)
                file.write(bytes([value]))
                assert bool(fault(path)) == (value != whole[place]), f"byte {place} of {len(whole)}"


def test_every_cut_is_found_but_that_of_the_checksum_alone(tmp_path, whole):
    path = tmp_path / "a.pth"
    for length in [*range(0, len(whole) - 200, 53), *range(len(whole) - 200, len(whole))]:
        path.write_bytes(whole[:length])
        assert fault(path), length
    path.write_bytes(whole + b"x")
    assert fault(path)


@pytest.mark.parametrize("part", ["data.pkl", "data/3"])
def test_without_our_checksum_the_archives_own_are_held_to(tmp_path, part):
    path = tmp_path / "a.pth"
    torch.save(CONTENT, path)
    assert fault(path) == ""
    archive = zipfile.ZipFile(path)
    place = next(found for found in archive.infolist() if found.filename.endswith(part))
    content = archive.read(place)
    damaged = bytearray(path.read_bytes())
    where = damaged.find(content)
    damaged[where + len(content) // 2] ^= 4
    path.write_bytes(damaged)
    assert part in fault(path)
    assert fault(path, strict=False) == ""


def test_bombs_are_found_without_unpacking_them(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**26))
    assert path.stat().st_size < 2**18
    assert "compressed, 67,108,864 bytes in" in fault(path)
    with zipfile.ZipFile(path, "w") as archive:  # and one whose table of contents names the same bytes many times
        archive.writestr("a/data/0", bytes(10_000))
        archive.filelist *= 20
    assert path.stat().st_size < 20_000
    assert "compressed, 200,000 bytes in" in fault(path)


def test_a_disk_that_fills_up_is_named(tmp_path):
    class Full:
        """Takes 1000 bytes more."""

        room = 1000

        def write(self, content):
            if self.room <= 0:
                raise OSError(28, "No space left on device")
            taken, self.room = min(self.room, len(content)), self.room - len(content)
            return taken

        def flush(self):
            pass

    hashed = sealed._Hashed(Full())
    with pytest.raises(RuntimeError):
        torch.save(CONTENT, hashed)
    assert hashed.problem.errno == 28


def test_the_real_full_disk_raises_its_own_error(tmp_path, monkeypatch):
    class Full(type(sealed._Hashed(None))):
        def write(self, content):
            self.problem = OSError(28, "No space left on device")
            raise self.problem

    monkeypatch.setattr(sealed, "_Hashed", Full)
    with pytest.raises(OSError, match="No space left"):
        save_sealed(CONTENT, tmp_path / "a.pth")
