#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>

namespace fatwood::cuda {

bool built() {
  return true;
}

struct OwnStream::State {
  c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream();
};

OwnStream::OwnStream() : state_(std::make_unique<State>()) {
  state_->before.synchronize();
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool());
}

OwnStream::~OwnStream() {
  try {
    c10::cuda::getCurrentCUDAStream().synchronize();
  } catch (const c10::Error&) {
    // The device's error came where it was made, or comes at its next use.
  }
  c10::cuda::setCurrentCUDAStream(state_->before);
}

struct Graph::State {
  at::cuda::CUDAGraph graph;
};

Graph::Graph(const std::function<void()>& work) : state_(std::make_unique<State>()) {
  c10::cuda::getCurrentCUDAStream().synchronize();
  state_->graph.capture_begin();
  try {
    work();
  } catch (...) {
    try {
      state_->graph.capture_end();
    } catch (const c10::Error&) {
      // Says that the recording was broken off, and it was.
    }
    // LibTorch leaves its generator as if that still went on: another one takes its state.
    at::Generator generator =
        at::globalContext().defaultGenerator(c10::Device(c10::kCUDA, c10::cuda::current_device()));
    generator.graphsafe_set_state(generator.clone());
    throw;
  }
  state_->graph.capture_end();
}

Graph::~Graph() = default;

void Graph::replay() {
  state_->graph.replay();
}

}  // namespace fatwood::cuda
