"""Images and hidden layers of the categorical VAE as three programs had them. Does not import torch.

Table 5 of the ReinMax paper, 64 categories x 32 latents, puts two of them side by side: ReinMax was trained
on grey images (``grey_leaky``, as its code was released), the estimators beside it on fewer images that are
binarised anew at every use (``rebinarised``, as in the code of Fan et al. 2022). They are not compared like
with like: an encoder of binarised images sees the noise that the decoder has to explain, one of grey images
meets none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """What differs between the programs.

    Attributes:
        title: what a board's title says before the data set; empty for the usual one.
        slope: of hidden layers below 0: LeakyReLU, or ReLU at 0.
        binarised: whether pixels are drawn as 0 or 1 at every use, in training and in evaluation, with their
            grey values as probabilities; inputs and targets are then the same draw.
        first: how many of the training images are used, the first ones; ``None``: all.
        batch_size, epochs: at which numbers were published for 64 x 32.
        description: for documentation and forms.
    """

    title: str
    slope: float
    binarised: bool
    first: int | None
    batch_size: int
    epochs: int
    description: str


GREY, GREY_LEAKY, REBINARISED = "grey", "grey_leaky", "rebinarised"

PROTOCOLS = {
    GREY: Protocol(
        title="",
        slope=0.0,
        binarised=False,
        first=None,
        batch_size=100,
        epochs=160,
        description="grey values as inputs and targets, ReLU",
    ),
    GREY_LEAKY: Protocol(
        title="grey",
        slope=0.01,
        binarised=False,
        first=None,
        batch_size=200,
        epochs=1667,
        description="grey values as inputs and targets, LeakyReLU of slope 0.01",
    ),
    REBINARISED: Protocol(
        title="rebinarised",
        slope=0.2,
        binarised=True,
        first=50_000,
        batch_size=200,
        epochs=2000,
        description="the first 50,000 images, binarised anew at every use, LeakyReLU of slope 0.2",
    ),
}
"""By name. 1667 epochs of 300 updates are the first to make 500,000; 2000 of 250 are as many."""
