"""The epoch's metrics against torchmetrics, batch by batch with a short last one."""

import pytest
import torch
import torch.nn.functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

TOP_K = (1, 2, 3, 5)

# Samples, classes, classes that the labels take, classes whose logits are raised.
CASES = {
    "all_classes": (1000, 10, range(10), ()),
    "one_batch": (30, 10, range(10), ()),
    "classes_without_labels": (500, 10, (0, 1, 2, 5), ()),
    "classes_neither_labelled_nor_predicted": (40, 10, (0, 3), (0, 3, 7)),
    "one_label": (65, 10, (4,), (4, 5)),
    "many_classes": (700, 100, range(0, 100, 3), ()),
}


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_torchmetrics(driver, case):
    samples, classes, labelled, raised = CASES[case]
    generator = torch.Generator().manual_seed(len(case))
    labels = torch.tensor(labelled)[torch.randint(len(labelled), (samples,), generator=generator)]
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 1
    logits[:, list(raised)] += 6
    ours = driver("metric", {"logits": logits, "labels": labels}, batch_size=64, k=TOP_K)

    theirs = {"accuracy": MulticlassAccuracy(classes),
              "accuracy_micro": MulticlassAccuracy(classes, average="micro"),
              **{f"top{k}": MulticlassAccuracy(classes, average="micro", top_k=k) for k in TOP_K}}
    loss = MeanMetric()
    for x, y in zip(logits.split(64), labels.split(64)):
        for metric in theirs.values():
            metric.update(x, y)
        loss.update(F.cross_entropy(x, y), weight=len(y))
    values = {name: metric.compute().item() for name, metric in [*theirs.items(), ("loss", loss)]}
    assert 0 < values["accuracy"] < 1
    assert {name: value.item() for name, value in ours.items()} == pytest.approx(values, rel=1e-6)
