// SPDX-License-Identifier: MIT
#include "core/store/late_store.h"

#include <gtest/gtest.h>

#include "core/store/memory_store.h"

namespace relay {
namespace {

TEST(LateStore, IsTriedWithEachCallUntilItIsThere) {
  int tries = 0;
  LateStore store([&tries]() -> Result<std::unique_ptr<Store>> {
    if (++tries < 3) return Fail(Party::kRelay, Fault::kInternal, "no space", true);
    return std::make_unique<MemoryStore>();
  });
  auto put = [&] {
    return Await<Unit>([&](auto done) { store.PutStates({{"kind", "id", "x"}}, std::move(done)); });
  };
  auto load = [&] {
    return Await<std::vector<StateBlob>>(
        [&](auto done) { store.LoadStates("kind", std::move(done)); });
  };
  EXPECT_EQ(store.kind(), "memory");
  EXPECT_EQ(put().error().what, "no space");
  EXPECT_EQ(load().error().what, "no space");
  EXPECT_TRUE(put());
  ASSERT_EQ(load()->size(), 1U);
  EXPECT_EQ(tries, 3) << "it is opened once";
}

}  // namespace
}  // namespace relay
