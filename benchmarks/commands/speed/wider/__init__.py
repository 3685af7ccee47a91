"""The wider field of ``make bench``: steps of other shapes than those that have a must, beside plain loops.

Of every task: what a researcher writes and runs, one process per trial, as in
:mod:`benchmarks.commands.speed.reference`: ``nn.Module``, ``torch.optim``, a ``DataLoader``, autograd, losses
fetched with ``.item()`` at every step; equal losses, batches and evaluations as the task. All on a CPU.
"""
