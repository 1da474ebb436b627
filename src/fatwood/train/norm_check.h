// Whether a network's batch norms can train on the smallest batch, asked before the first epoch.
#pragma once

#include <fatwood/model/layer.h>
#include <fatwood/train/batch.h>

namespace fatwood {

/// Throws Error{data} when the last training batch is a single sample and leaves a norm of the
/// model with one value per channel, over which there is no deviation. Otherwise does nothing; the
/// model, its running statistics and the random generator stay as they are.
void check_norms(const Layer& model, BatchSource& training);

}  // namespace fatwood
