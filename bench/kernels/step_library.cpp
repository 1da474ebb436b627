// A C interface to a whole training step of the page's networks, for step.py.
#include "network.h"

using fatwood::kernels::Network;

extern "C" {
void* network_new(int kind, int batch, int threads, int bf16) {
  using fatwood::kernels::Precision;
  return new Network(kind, batch, threads, bf16 != 0 ? Precision::bf16 : Precision::f32);
}
void network_free(void* network) {
  delete static_cast<Network*>(network);
}
float* network_params(void* network) {
  return static_cast<Network*>(network)->params.data();
}
float* network_grads(void* network) {
  return static_cast<Network*>(network)->grads.data();
}
float* network_running(void* network) {
  return static_cast<Network*>(network)->running.data();
}
std::int64_t network_size(void* network) {
  return static_cast<std::int64_t>(static_cast<Network*>(network)->params.size());
}
std::int64_t network_bytes(void* network) {
  return static_cast<Network*>(network)->stretch->bytes();
}
/// One training step; lr 0: no optimiser. seconds (4): forward, loss, backward, optimiser.
double network_step(void* network, const float* x, const std::int64_t* targets, double lr,
                    double* seconds) {
  return static_cast<Network*>(network)->train(x, targets, lr, seconds);
}
}
