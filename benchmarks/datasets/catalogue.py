"""The data sets there are: names, sizes, files with their checksums, mirrors. Does not import torch.

Sources: LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; Xiao, Rasul and Vollgraf,
"Fashion-MNIST", 2017; Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic
program induction", 2015 (Omniglot); Krizhevsky, "Learning multiple layers of features from tiny images", 2009
(CIFAR); Nangia and Bowman, "ListOps: a diagnostic dataset for latent tree learning", 2018; Dong et al.,
"NATS-Bench", 2021.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from benchmarks.datasets import citations
from estimators.info import Citation


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of a data set.

    Attributes:
        name: of the file, on mirrors and here.
        sha256: of its content: of a gzipped file after decompression, since mirrors compress the same bytes
            differently, and of an archive (``.tar.gz``) as it is.
        examples: how many it holds.
        addresses: whole addresses besides the mirrors of its data set.
    """

    name: str
    sha256: str
    examples: int
    addresses: tuple[str, ...] = ()

    @property
    def is_archive(self) -> bool:
        """Whether several files are in it."""
        return self.name.endswith(".tar.gz")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """What a data set is and where it comes from.

    Attributes:
        id: name in sweep files, and of its folder unless that has its own.
        title: what pages show.
        files: all of them.
        mirrors: addresses of folders that hold the files, in the order they are tried.
        stand_in: empty for the files that everybody has, or what is different here. The digest of a stand-in
            is part of a trial's key.
        folder: where its files lie, below the data directory.
        citation: where it was published.
    """

    id: str
    title: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...] = ()
    stand_in: str = ""
    folder: str = ""
    citation: Citation | None = None

    @property
    def every_file(self) -> tuple[File, ...]:
        """Also those that are not part of its digest."""
        return self.files

    @property
    def digest(self) -> str:
        """SHA-256 over the names and checksums of the files."""
        lines = sorted(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet(DataSet):
    """Grey images in gzipped idx files.

    Attributes:
        pixels: of an image.
        train, test: its two image files.
        labels: files of the labels of both, where there are any.
    """

    pixels: int
    train: File
    test: File
    labels: tuple[File, File] | None = None

    @property
    def every_file(self) -> tuple[File, ...]:
        """Images and labels."""
        return (*self.files, *(self.labels or ()))


def image_set(
    *,
    id: str,
    title: str,
    pixels: int,
    train: File,
    test: File,
    labels: tuple[File, File] | None = None,
    mirrors: tuple[str, ...] = (),
    stand_in: str = "",
    folder: str = "",
    citation: Citation | None = None,
) -> ImageSet:
    """An :class:`ImageSet` with its files together; labels do not count in its digest."""
    return ImageSet(
        id=id,
        title=title,
        pixels=pixels,
        train=train,
        test=test,
        labels=labels,
        files=(train, test),
        mirrors=mirrors,
        stand_in=stand_in,
        folder=folder,
        citation=citation,
    )


_TRAIN, _TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"
_TRAIN_LABELS, _TEST_LABELS = "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

MNIST = image_set(
    id="mnist",
    title="MNIST",
    citation=citations.MNIST,
    pixels=28 * 28,
    train=File(
        name=_TRAIN,
        sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        examples=60_000,
    ),
    test=File(
        name=_TEST, sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", examples=10_000
    ),
    labels=(
        File(
            name=_TRAIN_LABELS,
            sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            examples=60_000,
        ),
        File(
            name=_TEST_LABELS,
            sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            examples=10_000,
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)
FASHION_MNIST = image_set(
    id="fashion_mnist",
    title="Fashion-MNIST",
    citation=citations.FASHION_MNIST,
    pixels=28 * 28,
    train=File(
        name=_TRAIN,
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        examples=60_000,
    ),
    test=File(
        name=_TEST, sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", examples=10_000
    ),
    labels=(
        File(
            name=_TRAIN_LABELS,
            sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            examples=60_000,
        ),
        File(
            name=_TEST_LABELS,
            sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            examples=10_000,
        ),
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)
OMNIGLOT_REBUILT = image_set(
    id="omniglot_rebuilt",
    title="Omniglot 28×28, rebuilt",
    citation=citations.OMNIGLOT,
    pixels=28 * 28,
    train=File(
        name="train-images-idx3-ubyte.gz",
        sha256="3d62ecbd1f693b0ccd59506a07693367b3c5438632c7eccfcb2725a384e046bf",
        examples=24_345,
    ),
    test=File(
        name="test-images-idx3-ubyte.gz",
        sha256="4bc4ad38372c38b014a0b1fc73d430c19a8ff24b40635c85b26459a8cbac7e0b",
        examples=8_070,
    ),
    folder="omniglot28",
    stand_in="scaled down anew from the original drawings, with a split of its own: results compare with "
    "each other, and not with published ones, which use Burda et al.'s file",
)
DATA_SETS = {it.id: it for it in (MNIST, FASHION_MNIST, OMNIGLOT_REBUILT)}
"""Images of 28 by 28 grey pixels, by id."""

_CIFAR = ("https://www.cs.toronto.edu/~kriz/",)
CIFAR10 = DataSet(
    id="cifar10",
    title="CIFAR-10",
    citation=citations.CIFAR,
    files=(
        File(
            name="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            examples=60_000,
        ),
    ),
    mirrors=_CIFAR,
)
CIFAR100 = DataSet(
    id="cifar100",
    title="CIFAR-100",
    citation=citations.CIFAR,
    files=(
        File(
            name="cifar-100-binary.tar.gz",
            sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            examples=60_000,
        ),
    ),
    mirrors=_CIFAR,
)
LISTOPS_REGENERATED = DataSet(
    id="listops",
    title="ListOps, training split regenerated",
    citation=citations.LISTOPS,
    files=(
        File(
            name="train.tsv.gz",
            sha256="fa61befa930d5c317c8eb14f8b6ff34b54416b3780cee81bd832e7bd61e3d507",
            examples=89_000,
        ),
        File(
            name="valid.tsv.gz",
            sha256="f9e96e70990dfd863e7652fb94c454b3ca9d08a10bf0a775a780ba485452725b",
            examples=1_000,
            addresses=("https://raw.githubusercontent.com/chijames/GST/master/data/listops/valid.tsv",),
        ),
        File(
            name="test.tsv.gz",
            sha256="71335416e6896e8dd8dc69281c8ed9b37316382d05d3705d660461564e843840",
            examples=10_000,
            addresses=(
                "https://raw.githubusercontent.com/chijames/GST/master/data/listops/test.tsv",
                "https://raw.githubusercontent.com/nyu-mll/spinn/listops-release/python/spinn/data/listops/"
                "test_d20s.tsv",
            ),
        ),
    ),
    stand_in="validation and test are the official files; the training split is drawn anew by the same "
    "process",
)
NATS_BENCH = DataSet(
    id="nats_bench",
    title="NATS-Bench, topology table",
    citation=citations.NATS_BENCH,
    files=(
        File(
            name="tss_accuracies.csv.gz",
            sha256="3fa128b2f88b023c834f74ace05786a78b99942b72da9e0fdd6b9c7c1716b5fe",
            examples=15_625,
        ),
    ),
)
CATALOGUE: dict[str, DataSet] = {
    it.id: it for it in (*DATA_SETS.values(), CIFAR10, CIFAR100, LISTOPS_REGENERATED, NATS_BENCH)
}
"""All data sets, by id."""
