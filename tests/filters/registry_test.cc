// SPDX-License-Identifier: MIT
#include "filters/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/describe.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The complaints about a chain; its first filter stands on line 12, column 9.
std::vector<std::string> Complaints(const std::string& filters) {
  Problems problems;
  auto config = ExchangeWorld::Load(filters, "[{name: a, api-key: sk-a}]", problems);
  EXPECT_FALSE(problems.failed()) << problems.ErrorLines()[0];
  CheckChains(*config, problems);
  return problems.ErrorLines();
}

TEST(FilterKinds, AreTheFiveInTheOrderOfAChain) {
  std::vector<std::string_view> names;
  for (const FilterKind& kind : FilterKinds()) {
    names.push_back(kind.name);
    EXPECT_FALSE(kind.summary.empty());
    EXPECT_NE(kind.summary.back(), '.');
  }
  EXPECT_THAT(names,
              ElementsAre("auth", "rate-limit", "account-select", "rewrite", "usage-record"));
}

TEST(FilterKinds, DescribeEveryOptionForTheReference) {
  for (const FilterKind& kind : FilterKinds()) {
    Shape shape = kind.describe();
    for (const FieldShape& field : shape.fields) {
      EXPECT_FALSE(field.doc.empty()) << kind.name << " " << field.name;
    }
    if (kind.name != "usage-record") EXPECT_THAT(PrintReference(shape), HasSubstr("  "));
  }
}

TEST(CheckChains, TakesTheWholeChain) {
  EXPECT_THAT(Complaints("- auth: {service: claude}\n"
                         "- rate-limit: {}\n"
                         "- account-select: {sticky: session, wait: 5s}\n"
                         "- rewrite: {strip-prefix: true}\n"
                         "- usage-record: {}\n"),
              IsEmpty());
}

TEST(CheckChains, NamesTheNearestFilter) {
  EXPECT_THAT(Complaints("- auth: {service: claude}\n- ratelimit: {}\n- account-select: {}\n"),
              ElementsAre("relay.yaml:13:9: there is no filter 'ratelimit' (did you mean "
                          "'rate-limit'?)"));
  EXPECT_THAT(Complaints("- auth: {service: claude}\n- tea: {}\n- account-select: {}\n"),
              ElementsAre("relay.yaml:13:9: there is no filter 'tea'; there are auth, rate-limit, "
                          "account-select, rewrite or usage-record"));
}

TEST(CheckChains, SaysWhatGivesWhatAFilterNeeds) {
  EXPECT_THAT(Complaints("- rate-limit: {}\n- auth: {service: claude}\n- account-select: {}\n"),
              ElementsAre("relay.yaml:12:9: filter 'rate-limit' needs a key, which no earlier "
                          "filter gives; put 'auth' before it"));
  EXPECT_THAT(Complaints("- auth: {service: claude}\n- usage-record: {}\n- account-select: {}\n"),
              ElementsAre("relay.yaml:13:9: filter 'usage-record' needs an account, which no "
                          "earlier filter gives; put 'account-select' before it"));
}

TEST(CheckChains, RefusesAFilterTwice) {
  EXPECT_THAT(Complaints("- auth: {service: claude}\n- account-select: {}\n- rewrite: {}\n"
                         "- rewrite: {strip-prefix: true}\n"),
              ElementsAre("relay.yaml:15:9: filter 'rewrite' stands in this chain already, at "
                          "relay.yaml:14:9; a chain takes each filter once"));
}

TEST(CheckChains, RefusesAChainWithoutAnAccount) {
  EXPECT_THAT(Complaints("- auth: {service: claude}\n- rewrite: {}\n"),
              ElementsAre("relay.yaml:7:5: route 'main' sends requests to a cluster, but no filter "
                          "of it gives an account; add 'account-select'"));
}

TEST(CheckChains, TellsAllProblemsOfAllFiltersWithTheirPlaces) {
  EXPECT_THAT(Complaints("- auth: {service: cloud}\n"
                         "- rate-limit: {requests-per-minut: 5, concurrency: 0}\n"
                         "- account-select: {sticky: maybe, wait: 1h}\n"
                         "- usage-record: {x: 1}\n"),
              ElementsAre("relay.yaml:12:25: 'service' must be claude or gemini, not 'cloud'",
                          HasSubstr("relay.yaml:13:22: unknown key 'requests-per-minut' in filter "
                                    "'rate-limit' (did you mean 'requests-per-minute'?)"),
                          "relay.yaml:13:58: 'concurrency' must be 1..1000000, not 0",
                          "relay.yaml:14:34: 'sticky' must be session, key or none, not 'maybe'",
                          "relay.yaml:14:47: 'wait' must be 0ms..5m, not 1h",
                          "relay.yaml:15:24: unknown key 'x' in filter 'usage-record'"));
}

TEST(CheckChains, RefusesAServiceThatTheClusterIsNot) {
  EXPECT_THAT(Complaints("- auth: {service: gemini}\n- account-select: {}\n"),
              ElementsAre("relay.yaml:12:25: 'service' of filter 'auth' is gemini, but cluster "
                          "'vendor' is of provider claude"));
}

TEST(CheckChains, RefusesLimitsThatNobodyWouldSettle) {
  EXPECT_THAT(Complaints("- auth: {service: claude}\n"
                         "- rate-limit: {tokens-per-minute: 5, cost-per-day: 1.00}\n"
                         "- account-select: {}\n"),
              ElementsAre("relay.yaml:13:9: filter 'rate-limit' limits tokens or cost, but no "
                          "filter behind it records the usage; add 'usage-record'"));
  EXPECT_THAT(Complaints("- auth: {service: claude}\n"
                         "- rate-limit: {tokens-per-minute: 5, cost-per-day: 1.00}\n"
                         "- account-select: {}\n"
                         "- usage-record: {}\n"),
              IsEmpty());
}

}  // namespace
}  // namespace relay
