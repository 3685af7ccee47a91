"""The data sets there are: names, sizes, files with their checksums, mirrors. Does not import torch.

Sources: LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; Xiao, Rasul and Vollgraf,
"Fashion-MNIST", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A gzipped idx file of images.

    Attributes:
        name: of the file, on mirrors and here.
        sha256: of its decompressed content.
        examples: number of images.
    """

    name: str
    sha256: str
    examples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """What a data set is and where it comes from.

    Attributes:
        id: name in sweep files, and of its folder.
        title: what pages show.
        pixels: of an image.
        train, test: its two image files.
        mirrors: addresses of folders that hold the files, in the order they are tried.
    """

    id: str
    title: str
    pixels: int
    train: File
    test: File
    mirrors: tuple[str, ...]


_TRAIN, _TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"

MNIST = DataSet(
    id="mnist",
    title="MNIST",
    pixels=28 * 28,
    train=File(
        name=_TRAIN,
        sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        examples=60_000,
    ),
    test=File(
        name=_TEST, sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", examples=10_000
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)
FASHION_MNIST = DataSet(
    id="fashion_mnist",
    title="Fashion-MNIST",
    pixels=28 * 28,
    train=File(
        name=_TRAIN,
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        examples=60_000,
    ),
    test=File(
        name=_TEST, sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", examples=10_000
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)
DATA_SETS = {data_set.id: data_set for data_set in (MNIST, FASHION_MNIST)}
"""By id."""
