"""PyTorch on a GPU as a contestant: CONTESTANT NETWORK ROUNDS STEPS, see worker.cpp.

A contestant is eager, compile (mode max-autotune, model and loss together) or graph (the whole step, optimiser and gathering
included, in one torch.cuda.graph), with -nhwc for channels-last and -bf16 for autocast. The images reside on the device; the
optimiser is the fused AdamW, without a schedule.
"""
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "step"))
from networks import network  # noqa: E402

BATCH = 512


def main(contestant, name, rounds, steps):
    mode, *options = contestant.split("-")
    steps = int(steps)
    layout = torch.channels_last if "nhwc" in options else torch.contiguous_format
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    images = torch.randint(256, (BATCH * steps, 1, 28, 28), dtype=torch.uint8, device="cuda")
    labels = torch.arange(BATCH * steps, device="cuda") % 10
    model = network(name, 1, [8, 16, 32, 64, 128]).cuda().to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True, capturable=mode == "graph")

    def loss_of(x, y):
        with torch.autocast("cuda", torch.bfloat16, enabled="bf16" in options):
            return F.cross_entropy(model(x), y)

    loss = torch.compile(loss_of, mode="max-autotune") if mode == "compile" else loss_of

    def step(rows):
        x = images[rows].float().mul_(1 / 255 / 0.353).sub_(0.286 / 0.353)
        if layout == torch.channels_last:
            x = x.as_strided(x.shape, (784, 1, 28, 1))  # with one channel the same bytes
        loss(x, labels[rows]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    if mode == "graph":
        rows, side, plain = torch.zeros(BATCH, dtype=torch.long, device="cuda"), torch.cuda.Stream(), step
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                plain(rows)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            plain(rows)

        def step(chosen):
            rows.copy_(chosen)
            graph.replay()

    print(torch.__version__, flush=True)
    for round_ in range(int(rounds) + 1):
        order = torch.randperm(BATCH * steps, device="cuda").split(BATCH)
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for rows_ in order:
            step(rows_)
        torch.cuda.synchronize()
        if round_ > 0:
            print(1e3 * (time.perf_counter() - begin) / steps, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
