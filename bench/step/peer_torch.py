"""PyTorch as a contestant: CONTESTANT NETWORK BATCH CHANNELS SIZE FEATURES, see worker.cpp.

A contestant is eager or compile, with -nhwc for channels-last and -bf16 for autocast. The optimiser is
the fused AdamW; compiled is model and loss together.
"""
import itertools
import sys

import torch
import torch.nn.functional as F

from networks import example, network
from serve import serve, start_of_peak


class Gather:
    """Whole batches of random images of a data set that is one tensor of bytes, in one order over and over, as worker.cpp
    takes them; no DataLoader, which takes images one by one."""

    def __init__(self, batch, channels, size):
        self.shape, self.batch, self.images = (60_000, channels, size, size), batch, None

    def __call__(self):
        if self.images is None:
            self.images = torch.randint(256, self.shape, dtype=torch.uint8)
            order = torch.randperm(self.shape[0])
            self.batches = itertools.cycle([chunk for chunk in order.split(self.batch) if len(chunk) == self.batch])
        return self.images[next(self.batches)].float().div_(255).sub_(0.286).div_(0.353)


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

    forward = model
    if mode == "compile":
        loss, forward = torch.compile(loss), torch.compile(model)

    def step():
        model.train()
        loss(x, y).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def evaluate():
        model.eval()
        forward(x)

    serve(torch.__version__, step, evaluate, before, Gather(int(batch), int(channels), int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
