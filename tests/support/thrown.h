// The fatwood::Error that a piece of code throws, for tests of its kind and its words.
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>

namespace fatwood {

struct Thrown {
  bool thrown = false;
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

template <typename Code>
Thrown thrown_by(Code code) {
  try {
    code();
  } catch (const Error& error) {
    return {true, error.kind(), error.what()};
  }
  return {};
}

/// Matches a Thrown of that kind whose message has `part` in it.
inline auto error_with(ErrorKind kind, const std::string& part) {
  return testing::AllOf(testing::Field("thrown", &Thrown::thrown, true),
                        testing::Field("kind", &Thrown::kind, kind),
                        testing::Field("message", &Thrown::message, testing::HasSubstr(part)));
}

}  // namespace fatwood
