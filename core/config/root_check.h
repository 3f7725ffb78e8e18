// SPDX-License-Identifier: MIT
// Between binding and Config: the drafts hold what a complaint or a left-out account still needs,
// and FinishConfig checks what spans several parts of the file.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/config/root.h"

namespace relay {

struct KeyDraft : KeyConfig {
  std::string emptied_by;  // the variable whose lack leaves it without its key
};

struct AccountDraft : AccountConfig {
  std::string emptied_by;
  Place project_place;
};

struct ClusterDraft : ClusterConfig {
  std::vector<AccountDraft> drafts;
};

// keys.cc, clusters.cc
void Bind(Fields& f, KeyDraft& k);
void Bind(Fields& f, ClusterDraft& c);

struct RouteDraft : RouteConfig {
  std::vector<At<std::string>> placed_prefixes;
  std::vector<At<std::string>> placed_paths;
};

struct TestRequest {
  std::string method = "GET";
  std::string path;
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
  Node body;
};

struct TestExpect {
  At<std::string> route;
  At<std::string> account;
  int status = 0;
};

struct TestDraft {
  TestRequest request;
  TestExpect expect;
  Place place;
};

struct ProcessLimits {
  BytesOrShare buffered_bytes{{}, 25};
};

struct ConfigDraft : Config {
  ProcessLimits limits;
  std::vector<KeyDraft> key_drafts;
  std::vector<ClusterDraft> cluster_drafts;
  std::vector<RouteDraft> route_drafts;
  std::vector<AlertConfig> alert_drafts;
  std::vector<TestDraft> test_drafts;
};

// Moves the drafts to where Config has them, leaves out what has no credential, joins relative
// paths to the folder, and complains about names that are doubled, missing or never reached.
void FinishConfig(ConfigDraft& draft, const Node& root, const Environment& environment,
                  Problems& problems);

}  // namespace relay
