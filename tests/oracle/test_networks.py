"""Same weights, same batch: logits, loss, every gradient and the running statistics."""

import pytest
import torch

from agreement import (assert_as_exact_as_torch, batch_off_the_kinks, in_both_layouts, in_double)
from reference import NARROW, NETWORKS, narrow_residual_cnn, prefixed, trained_looking


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_as_exact_as_torch(driver, name, training):
    compare(driver, trained_looking(NETWORKS[name], seed=1), training, model=name)


def test_a_block_of_equal_widths_leaves_id_conv_without_a_gradient(driver):
    ours = compare(driver, trained_looking(narrow_residual_cnn, seed=1), training=True,
                   model="residual_cnn", nfs=NARROW)
    assert "grad.layers.0.id_conv.weight" in ours
    assert "grad.layers.1.id_conv.weight" not in ours


def compare(driver, network, training, **options):
    x, y = batch_off_the_kinks(network, training)
    ours = driver("pass", {"x": x, "y": y, **prefixed("model.", network.state_dict())},
                  training=training, **options)
    assert_as_exact_as_torch(ours, in_both_layouts(network, x, y, training),
                             in_double(network, x, y, training))
    tracked = [t for key, t in ours.items() if key.endswith("num_batches_tracked")]
    assert tracked and all(t.dtype == torch.int64 and t == 17 + training for t in tracked)
    return ours
