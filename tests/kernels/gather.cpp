#include <fatwood/core/error.h>
#include <fatwood/kernels/gather.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using GatherOn = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(GatherOn);

struct Aligned {
  explicit Aligned(std::int64_t n)
      : p(static_cast<float*>(
            std::aligned_alloc(64, static_cast<std::size_t>((n * 4 + 127) / 64 * 64)))) {}
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  ~Aligned() { std::free(p); }
  float* p;
};

TEST_P(GatherOn, every_layout_holds_the_scaled_bytes_of_the_chosen_images) {
  std::mt19937 random(3);
  for (auto [channels, height, width] : {std::tuple{1, 28, 28}, {3, 5, 7}, {4, 1, 1}, {2, 33, 3}}) {
    const int count = 9;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count * channels * height * width));
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
    const ByteImages images{bytes.data(), count, channels, height, width};
    std::vector<ByteScaling> scaling;
    for (int c = 0; c < channels; ++c) scaling.push_back({0.01F * (c + 1), -0.5F * c});

    for (int batch : {1, 2, 4, 15, 16, 17, 40}) {
      std::vector<std::int64_t> indices;
      for (int i = 0; i < batch; ++i)
        indices.push_back(static_cast<std::int64_t>(random() % count));
      for (auto layout : {ImageLayout::nchw, ImageLayout::nhwc, ImageLayout::batch_innermost}) {
        const std::int64_t size = gathered_size(images, batch, layout, isa());
        Aligned out(size);
        gather(images, indices, scaling, layout, out.p, threads(2), isa());
        const int lanes = lanes_of(isa());
        std::int64_t at = 0;
        for (int n = 0; n < (batch + lanes - 1) / lanes * lanes; ++n) {
          if (n >= batch && layout != ImageLayout::batch_innermost) break;
          for (int c = 0; c < channels; ++c) {
            for (int p = 0; p < height * width; ++p) {
              const int plane = height * width;
              switch (layout) {
                case ImageLayout::nchw:
                  at = (n * channels + c) * plane + p;
                  break;
                case ImageLayout::nhwc:
                  at = (n * plane + p) * channels + c;
                  break;
                case ImageLayout::batch_innermost:
                  at = ((n / lanes * channels + c) * plane + p) * lanes + n % lanes;
              }
              float wanted = 0;
              if (n < batch) {
                const auto image = static_cast<std::size_t>(indices[static_cast<std::size_t>(n)]);
                const auto s = scaling[static_cast<std::size_t>(c)];
                wanted = bytes[(image * channels + c) * plane + p] * s.scale + s.shift;
              }
              ASSERT_NEAR(out.p[at], wanted, 2e-6F);
            }
          }
        }
      }
    }
  }
}

TEST(Gather, an_index_past_the_end_is_an_error_of_the_data) {
  const std::vector<std::uint8_t> bytes(4);
  const ByteScaling scaling;
  float out[4];
  for (std::int64_t index : {-1, 1}) {
    try {
      gather({bytes.data(), 1, 1, 2, 2}, std::span(&index, 1), std::span(&scaling, 1),
             ImageLayout::nchw, out);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
