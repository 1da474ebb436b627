// Where the values of a plan lie, and what each of its threads works with, as large as the largest
// operation needs it.
#include <algorithm>
#include <iterator>

#include <fatwood/kernels/plan.h>
#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {

namespace {

/// The last operation that reads each value; that of the output, and of one that nobody reads, is
/// behind all of them.
std::vector<std::size_t> last_reads(const Plan& plan) {
  std::vector<std::size_t> last(plan.values.size(), plan.operations.size());
  for (std::size_t i = 0; i < plan.values.size(); ++i) {
    const Value* value = plan.values[i].get();
    for (std::size_t o = plan.operations.size(); o-- > 0;) {
      const Operation& operation = plan.operations[o];
      const bool reads = operation.convolution ? operation.convolution->in == value
                         : operation.junction  ? operation.junction->main == value ||
                                                    operation.junction->identity == value
                                              : operation.pooling->in == value;
      if (!reads) continue;
      last[i] = o;
      break;
    }
  }
  return last;
}

}  // namespace

void place_values(Plan& plan) {
  struct Slot {
    std::size_t size = 0;
    std::size_t free_from = 0;  ///< the first operation that may write there
  };
  std::vector<Slot> slots;
  std::vector<std::size_t> slot_of;
  const std::vector<std::size_t> last = last_reads(plan);
  for (std::size_t i = 0; i < plan.values.size(); ++i) {
    const std::size_t size = plan.values[i]->size;
    // Of what is free when operation i - 1 makes the value: what needs to grow least, and of that
    // the smallest.
    const auto growth = [&](const Slot& slot) {
      return std::pair(size - std::min(size, slot.size), slot.size);
    };
    auto best = slots.end();
    for (auto slot = slots.begin(); slot != slots.end(); ++slot) {
      if (plan.options.keeps_values || i == 0 || slot->free_from > i - 1) continue;
      if (best == slots.end() || growth(*slot) < growth(*best)) best = slot;
    }
    if (best == slots.end()) best = slots.emplace(slots.end());
    best->size = std::max(best->size, size);
    best->free_from = last[i] + 1;
    slot_of.push_back(static_cast<std::size_t>(std::distance(slots.begin(), best)));
  }
  for (const Slot& slot : slots) plan.storage.emplace_back(slot.size);
  for (std::size_t i = 0; i < plan.values.size(); ++i)
    plan.values[i]->raw = plan.storage[slot_of[i]].data();
}

void add_thread_memory(Plan& plan) {
  std::int64_t turned = 0;
  std::int64_t sums = 0;
  std::int64_t border_sums = 0;
  std::int64_t pooled = 0;
  std::int64_t spread = 0;
  std::int64_t reduction = 0;
  std::int64_t formed = 0;
  std::int64_t winograd = 0;
  std::int64_t input_points = 0;
  std::int64_t gradient_points = 0;
  std::int64_t split = 0;
  std::size_t channels = 0;
  for (const auto& value : plan.values) {
    channels = std::max(channels, static_cast<std::size_t>(value->shape.channels));
    if (!value->late) continue;
    const int chunk = value->readers.empty() ? 1 : value->readers.front()->chunk;
    formed = std::max(formed, value->group_size * chunk);
  }
  plan.most_channels = channels;
  const auto stats = static_cast<std::int64_t>(channels + channels % 2) * 3 * plan.lanes;
  const auto include = [&](const Convolution& c) {
    if (c.winograd_forward) {
      winograd = std::max(winograd, winograd_scratch_size(c.shape.c_in, c.shape.c_out, plan.lanes));
    }
    if (!plan.options.keeps_values) return;
    turned = std::max(turned, c.turned_size * c.chunk);
    if (plan.bf16()) split = std::max(split, c.in->group_size * c.chunk);
    sums = std::max(sums, c.sums_size);
    border_sums = std::max(border_sums, c.border_sums_size);
    reduction = std::max(reduction, static_cast<std::int64_t>(c.tap_sums.size()));
    if (c.winograd) {
      winograd = std::max(winograd, winograd_scratch_size(c.shape.c_out, c.shape.c_in, plan.lanes));
    }
    if (c.winograd_gradient) {
      const WinogradGradient job = winograd_gradient_job(c.shape, plan.lanes);
      input_points = std::max(input_points, job.input_stride * kWinogradPoints);
      gradient_points = std::max(gradient_points, job.gradient_stride * kWinogradPoints);
    }
  };
  for (const auto& convolution : plan.convolutions) include(*convolution);
  for (const auto& junction : plan.junctions) {
    const std::int64_t size =
        plan.planes(junction->identity->shape.channels) * junction->out->plane(plan.lanes);
    pooled = std::max(pooled, size);
    if (plan.options.keeps_values) spread = std::max(spread, size);
    if (junction->projected) include(junction->projection);
  }
  for (const auto& value : plan.values) {
    if (plan.options.keeps_values && value->readers.size() > 1)
      spread = std::max(spread, value->group_size);
  }
  const auto floats = [](std::int64_t n) { return Buffer<float>(static_cast<std::size_t>(n)); };
  for (int t = 0; t < std::max(1, plan.options.threads); ++t) {
    plan.memory.push_back({.stats = floats(stats),
                           .turned = floats(turned),
                           .sums = floats(sums),
                           .border_sums = floats(border_sums),
                           .pooled = floats(pooled),
                           .spread = floats(spread),
                           .formed = floats(formed),
                           .split = floats(split),
                           .reduction = floats(reduction),
                           .winograd = floats(winograd),
                           .input_points = floats(input_points),
                           .gradient_points = floats(gradient_points),
                           .moments = std::vector<PartialMoments>(channels),
                           .gradient_sums = std::vector<double>(4 * channels)});
    plan.sums.push_back(plan.memory.back().sums.data());
    plan.border_sums.push_back(plan.memory.back().border_sums.data());
    plan.reductions.push_back(plan.memory.back().reduction.data());
  }
  plan.input_sums.resize(2 * channels);
  const int padded = round_up(static_cast<int>(channels), std::max(plan.block, plan.lanes));
  plan.plain = Buffer<float>(4 * static_cast<std::size_t>(padded));
  for (std::size_t i = 0; i < plan.plain.size(); i += 4) plan.plain[i] = 1;
}

std::int64_t Plan::bytes() const {
  std::size_t floats = 0;
  const auto include = [&](const Convolution& c) {
    floats += c.weights.size() + c.table.size() + c.tap_sums.size() + c.totals.size() +
              c.middle.size() + c.middle_gradient.size();
    for (const GradientPart& part : c.gradient_parts) floats += part.weights.size();
  };
  for (const Buffer<float>& buffer : storage) floats += buffer.size();
  for (const auto& value : values) {
    floats += value->gradient.size() + value->scale.size() + value->shift.size() +
              value->coefficients.size();
  }
  for (const auto& convolution : convolutions) include(*convolution);
  for (const auto& junction : junctions) include(junction->projection);
  for (const ThreadMemory& m : memory) {
    floats += m.stats.size() + m.turned.size() + m.sums.size() + m.border_sums.size() +
              m.pooled.size() + m.formed.size() + m.split.size() + m.spread.size() +
              m.reduction.size() + m.winograd.size() + m.input_points.size() +
              m.gradient_points.size();
  }
  return static_cast<std::int64_t>(floats * sizeof(float));
}

}  // namespace fatwood::kernels
