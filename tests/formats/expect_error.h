// The Error that a piece of code throws, for tests of its code and exact message.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "formats/error.h"

namespace ggufmill {

// Exit::kOk and "no error" where nothing is thrown.
template <typename Call>
Error error_of(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    return error;
  }
  return Error(Exit::kOk, "no error");
}

template <typename Call>
void expect_error(Exit code, const std::string& message, Call&& call) {
  const Error error = error_of(std::forward<Call>(call));
  EXPECT_EQ(error.message(), message);
  EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << message;
}

}  // namespace ggufmill
