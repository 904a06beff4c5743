"""Archives that were made to do harm, and damaged ones: each is refused in one line, quickly, with little memory."""

import io
import pickle
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damage
from hypothesis import given

from layerscope.core import archive, record
from layerscope.core.errors import InputError

MAGIC = b"\x93NUMPY\x01\x00"


def npy(array: np.ndarray) -> bytes:
    part = io.BytesIO()
    np.lib.format.write_array(part, array, allow_pickle=True)
    return part.getvalue()


def header(text: str, magic: bytes = MAGIC) -> bytes:
    return magic + struct.pack("<H", len(text)) + text.encode("latin-1")


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(memory, "w", method) as file:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name.rstrip("\0")), content, method)
    return memory.getvalue()


def twice() -> bytes:
    memory = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(memory, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("x.npy", npy(np.zeros(2)))
        file.writestr("x.npy", npy(np.ones(2)))
    return memory.getvalue()


@cache
def bomb() -> bytes:
    """1.5 GB of zeros in 1.5 MB."""
    memory = io.BytesIO()
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (200000000,), }\n"
    with (
        zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
        file.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(header(text))
        block = bytes(16_000_000)
        for _ in range(100):
            member.write(block)
    return memory.getvalue()


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n"
NUMBERS = np.arange(3.0).tobytes()
EVIL: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not a NumPy archive"),
    "text": (b"hello, this is a text and no archive at all", "is not a NumPy archive"),
    "cut off": (packed({"x.npy": npy(np.arange(100.0))})[:-30], "cut off or damaged"),
    "a comment behind it": (packed({"x.npy": npy(np.zeros(2))}) + b"more", "cut off or damaged"),
    "out of the archive": (packed({"../x.npy": npy(np.zeros(2))}), "leads out of the archive"),
    "absolute": (packed({"/etc/x.npy": npy(np.zeros(2))}), "leads out of the archive"),
    "a drive": (packed({"C:x.npy": npy(np.zeros(2))}), "leads out of the archive"),
    "twice": (twice(), 'two arrays with the name "x"'),
    "no array": (packed({"run.py": b"print(1)"}), 'holds "run.py", which is no array'),
    "too many": (packed({f"{i}.npy": npy(np.zeros(1)) for i in range(300)}), "holds more than 256 arrays (300)"),
    "packed with bzip2": (packed({"x.npy": npy(np.zeros(2))}, zipfile.ZIP_BZIP2), "packed in a way that is not read"),
    "packed with LZMA": (packed({"x.npy": npy(np.zeros(2))}, zipfile.ZIP_LZMA), "packed in a way that is not read"),
    "objects": (packed({"x.npy": npy(np.array([{"a": 1}], dtype=object))}), "Python objects are never read"),
    "a pickle": (packed({"x.npy": pickle.dumps([1, 2])}), "does not begin as arrays do"),
    "structured": (packed({"x.npy": npy(np.zeros(2, dtype=[("a", "f4")]))}), "holds no plain numbers"),
    "complex": (packed({"x.npy": npy(np.zeros(2, dtype=complex))}), "holds no plain numbers"),
    "dates": (packed({"x.npy": npy(np.zeros(2, dtype="M8[s]"))}), "holds no plain numbers"),
    "bytes": (packed({"x.npy": npy(np.zeros(2, dtype="S5"))}), "holds no plain numbers"),
    "long doubles": (packed({"x.npy": header(GOOD.replace("<f8", "<f16"))}), "holds no plain numbers"),
    "long header": (packed({"x.npy": header(GOOD.strip() + " " * 20_000)}), "more than 10,000"),
    "header of 4 GB": (packed({"x.npy": b"\x93NUMPY\x02\x00" + b"\xff" * 4}), "more than 10,000"),
    "code in the header": (packed({"x.npy": header("__import__('os').abort()")}), "a header that cannot be read"),
    "deep header": (packed({"x.npy": header("{'shape': " + "(" * 5000)}), "a header that cannot be read"),
    "digits without end": (packed({"x.npy": header(GOOD.replace("3", "3" * 5000))}), "a header that cannot be read"),
    "a key twice": (packed({"x.npy": header(GOOD.replace("}", "'shape': (1,)}"))}), "a header that cannot be read"),
    "negative": (packed({"x.npy": header(GOOD.replace("3", "-3"))}), "a header that cannot be read"),
    "overflow": (packed({"x.npy": header(GOOD.replace("3,", "4294967296, 4294967296"))}), "512 MB"),
    "nothing times infinity": (packed({"x.npy": header(GOOD.replace("3,", "0, 99999999999999999"))}), "512 MB"),
    "8 terabytes": (packed({"x.npy": header(GOOD.replace("3,", "1000000000000"))}), "512 MB"),
    "too short": (packed({"x.npy": header(GOOD) + NUMBERS[:-8]}), "takes 24 bytes, and there are 16"),
    "too long": (packed({"x.npy": header(GOOD) + NUMBERS + b"more"}), "takes 24 bytes, and there are 28"),
    "dimensions": (packed({"x.npy": header(GOOD.replace("3,", "1," * 40)) + NUMBERS[:8]}), "has 40 dimensions"),
    "half-truths": (packed({"x.npy": header(GOOD.replace("<f8", "|b1")) + b"\x07\x00\x01"}), "neither true nor false"),
    "no characters": (
        packed({"x.npy": header(GOOD.replace("<f8", "<U1")) + struct.pack("<3I", 65, 0xD800, 66)}),
        "characters that do not exist",
    ),
    "beyond Unicode": (
        packed({"x.npy": header(GOOD.replace("<f8", "<U1")) + b"\xff" * 12}),
        "characters that do not exist",
    ),
}


@pytest.mark.parametrize("name", EVIL)
def test_evil_archives_are_refused_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled or run")

    for module, function in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, function, never)
    content, says = EVIL[name]
    path = tmp_path / "evil.npz"
    path.write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        archive.arrays(path)
    assert time.perf_counter() - began < 0.5
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_for_more_than_4_gigabytes_is_refused(tmp_path: Path) -> None:
    content = packed({"x.npy": npy(np.zeros(2))})
    locator = b"PK\x06\x07" + bytes(16)
    (tmp_path / "x.npz").write_bytes(content[:-22] + locator + content[-22:])
    with pytest.raises(InputError, match="more than 4 GB"):
        archive.arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("bit", [0x1, 0x20, 0x40])
def test_encrypted_and_patched_members_are_refused(bit: int, tmp_path: Path) -> None:
    content = bytearray(packed({"x.npy": npy(np.zeros(2))}))
    content[content.rfind(b"PK\x01\x02") + 8] |= bit
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match="is damaged: "):
        archive.arrays(tmp_path / "x.npz")


def measure(path: Path) -> tuple[float, float, str]:
    """(seconds, megabytes, complaint) of reading an archive in a process that may not have more than 1 GB."""
    program = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from layerscope.core import archive\n"
        "from layerscope.core.errors import InputError\n"
        "import numpy, zipfile\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()\n"
        "try:\n"
        "    archive.arrays(Path(sys.argv[1]))\n"
        "    said = 'read'\n"
        "except InputError as error:\n"
        "    said = str(error)\n"
        "spent = time.perf_counter() - began\n"
        "print(spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, said, sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    spent, more, said = done.stdout.strip().split("\n")
    return float(spent), float(more), said


@pytest.mark.skipif(sys.platform == "win32", reason="memory is limited by the operating system")
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(bomb())
    assert path.stat().st_size < 3_000_000
    spent, more, said = measure(path)
    assert "unpacks to 1,526 MB, and at most 512 MB are read" in said
    assert spent < 0.05
    assert more < 16


@pytest.mark.skipif(sys.platform == "win32", reason="memory is limited by the operating system")
@pytest.mark.parametrize("declared", [1000, 76, 100_000_000])
def test_a_bomb_that_lies_about_its_size_is_refused_too(declared: int, tmp_path: Path) -> None:
    content = bytearray(bomb())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", declared)
    path = tmp_path / "bomb.npz"
    path.write_bytes(content)
    spent, more, said = measure(path)
    assert said.startswith("is damaged: ") or "512 MB" in said
    assert spent < 0.2
    assert more < 16


def test_a_directory_without_end_is_not_read(tmp_path: Path) -> None:
    content = packed({"x.npy": npy(np.zeros(2))})
    end = bytearray(content[-22:])
    end[12:16] = struct.pack("<I", 60_000_000)  # length of the directory, with a number of entries of 1
    (tmp_path / "x.npz").write_bytes(content[:-22] + bytes(60_000_000) + bytes(end))
    with pytest.raises(InputError, match="holds more than 256 arrays|cut off or damaged"):
        archive.arrays(tmp_path / "x.npz")


TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">i8", ">u2", "U3", ">U4"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read_as_it_was(dtype: str, save: Any, tmp_path: Path) -> None:
    for array in (
        np.arange(24).reshape(2, 3, 4).astype(dtype),
        np.asfortranarray(np.arange(6).reshape(2, 3)).astype(dtype, order="F"),
        np.zeros((0, 5), dtype=dtype),
        np.array(1).astype(dtype),
    ):
        save(tmp_path / "x.npz", x=array, other=np.zeros(2))
        read = archive.arrays(tmp_path / "x.npz")
        assert list(read) == ["x", "other"]
        assert np.array_equal(read["x"], array)
        assert read["x"].dtype == array.dtype.newbyteorder("=")
        np.save(tmp_path / "x.npy", array)
        assert np.array_equal(archive.npy_array(tmp_path / "x.npy"), array)
        assert archive.npy_header(tmp_path / "x.npy").shape == array.shape


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_header_are_read(version: tuple[int, int], tmp_path: Path) -> None:
    part = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(part, np.arange(5.0), version=version)
    (tmp_path / "x.npy").write_bytes(part.getvalue())
    assert archive.npy_array(tmp_path / "x.npy").tolist() == [0, 1, 2, 3, 4]


def test_headers_of_other_programs_are_read(tmp_path: Path) -> None:
    for text in (
        "{'shape': (3,), 'descr': '<f8', 'fortran_order': False}",
        '{"descr": "<f8", "fortran_order": False, "shape": (3, )}',
        "{'descr':'<f8','fortran_order':False,'shape':(3L,)}  \n",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (3), }",
    ):
        (tmp_path / "x.npy").write_bytes(header(text) + NUMBERS)
        assert archive.npy_array(tmp_path / "x.npy").tolist() == [0, 1, 2]


def test_a_missing_array_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((5, 8, 8)), labels=np.zeros(5))
    with archive.opened(tmp_path / "x.npz") as file:
        assert file.header("images").shape == (5, 8, 8)
        with pytest.raises(InputError) as caught:
            file.array("image", "x")
    assert str(caught.value) == (
        'x: has no array "image" (did you mean "images"?); it has: images (5 × 8 × 8), labels (5)'
    )


def test_what_the_system_says_of_a_file_is_passed_on(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(InputError, match=r"(cannot be read|is not a file).*; check the path"):
            archive.arrays(path)


SMALL = {"x.npy": npy(np.arange(12.0).reshape(3, 4)), "y.npy": npy(np.array(["a", "b"]))}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_damage_to_an_archive_ends_in_one_line(method: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("damage") / "x.npz"
    content = packed(SMALL, method)

    @given(damage(content))
    def check(damaged: bytes) -> None:
        path.write_bytes(damaged)
        try:
            archive.arrays(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017

    check()


# --- records


def saved(folder: Path, **changes: Any) -> Path:
    """A small record's file with some arrays changed; None leaves one out."""
    made = record.Record(("0", "1"), ("dense", "dense"))
    made.append(np.random.default_rng(0).random((4, made.columns)))
    contents = {**record.arrays(made.view()), **changes}
    path = folder / "record.npz"
    path.write_bytes(record.npz({name: value for name, value in contents.items() if value is not None}))
    return path


def test_a_good_record_is_read(tmp_path: Path) -> None:
    assert len(record.load(saved(tmp_path))) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": None},
        {"layers": None},
        {"stride": None},
        {"loss": np.zeros(5)},
        {"loss": np.zeros((4, 1))},
        {"loss": np.zeros(())},
        {"loss": np.array(["a", "b", "c", "d"])},
        {"steps": np.zeros(4, dtype=np.int64)},
        {"steps": np.arange(4.0)},
        {"steps": np.zeros(4_000_000, dtype=np.int8)},
        {"steps": np.arange(5_000_000, dtype=np.int64), "layers": np.array(["0"] * 5000)},
        {"weight.norm": np.zeros((4, 3))},
        {"weight.norm": np.zeros((2, 4))},
        {"kinds": np.array(["dense"])},
        {"layers": np.zeros(2)},
        {"stride": np.array(0)},
        {"stride": np.array(2)},
        {"stride": np.array([1, 2])},
        {"stride": np.array("two")},
        {"validation_loss": np.zeros(3)},
        {"detail_steps": np.arange(3)},
        {"activation.p50": np.zeros((1, 2))},
    ],
)
def test_a_record_whose_arrays_do_not_fit_together_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        record.load(path)
    assert str(caught.value).startswith(f"{path}: is not a record of a run (")
    assert str(caught.value).endswith("; make it again with: layerscope run")


@pytest.mark.parametrize("name", ["objects", "too short", "twice", "text", "too many"])
def test_evil_records_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "record.npz"
    path.write_bytes(EVIL[name][0])
    with pytest.raises(InputError, match="record.npz: ") as caught:
        record.load(path)
    assert EVIL[name][1] in str(caught.value)
