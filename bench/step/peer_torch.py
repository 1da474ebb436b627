"""PyTorch as a contestant: CONTESTANT NETWORK BATCH CHANNELS SIZE FEATURES, see worker.cpp.

A contestant is eager or compile, with -nhwc for channels-last and -bf16 for autocast. The optimiser is
the fused AdamW; compiled is model and loss together.
"""
import sys

import torch
import torch.nn.functional as F

from networks import example, network
from serve import serve, start_of_peak


class Gather:
    """Batches of random images of a data set that is one tensor of bytes; no DataLoader, which takes images one by one."""

    def __init__(self, batch, channels, size):
        self.shape, self.batch = (60_000, channels, size, size), batch
        self.images, self.batches = None, iter(())

    def __call__(self):
        indices = next(self.batches, None)
        if indices is None:  # first of all, and after an epoch
            if self.images is None:
                self.images = torch.randint(256, self.shape, dtype=torch.uint8)
            self.batches = iter(torch.randperm(self.shape[0]).split(self.batch))
            indices = next(self.batches)
        return self.images[indices].float().div_(255).sub_(0.286).div_(0.353)


def main(contestant, name, batch, channels, size, features):
    mode, *options = contestant.split("-")
    layout = torch.channels_last if "nhwc" in options else torch.contiguous_format
    torch.manual_seed(0)
    x, y = example(int(batch), int(channels), int(size), layout)
    before = start_of_peak()
    model = network(name, int(channels), [int(f) for f in features.split(",")]).to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def loss(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options):
            return F.cross_entropy(model(x), y)

    if mode == "compile":
        loss = torch.compile(loss)

    def step():
        model.train()
        loss(x, y).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def evaluate():
        model.eval()
        model(x)

    serve(torch.__version__, step, evaluate, before, Gather(int(batch), int(channels), int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
