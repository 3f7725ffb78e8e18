// SPDX-License-Identifier: MIT
#include "admin/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace relay {
namespace {

using Words = std::vector<std::string_view>;

std::string ErrorOf(const Words& words) {
  auto options = ParseOptions(words);
  return options ? "no error" : options.error();
}

Options Parsed(const Words& words) {
  auto options = ParseOptions(words);
  EXPECT_TRUE(options) << options.error();
  return options.value_or(Options{});
}

TEST(Options, ServeIsTheDefault) {
  EXPECT_EQ(Parsed({}).command, Command::kServe);
  EXPECT_EQ(Parsed({}).config, "relay.yaml");
  Options options = Parsed({"--config", "other.yaml", "--port-file", "port"});
  EXPECT_EQ(options.command, Command::kServe);
  EXPECT_EQ(options.config, "other.yaml");
  EXPECT_TRUE(options.config_given);
  EXPECT_EQ(options.port_file, "port");
}

TEST(Options, EveryCommandIsKnown) {
  struct Case {
    std::string_view word;
    Command command;
  };
  constexpr Case kCases[] = {{"serve", Command::kServe},
                             {"check", Command::kCheck},
                             {"usage", Command::kUsage},
                             {"health", Command::kHealth},
                             {"reload", Command::kReload},
                             {"diff", Command::kDiff},
                             {"filters", Command::kFilters},
                             {"schema", Command::kSchema},
                             {"--version", Command::kVersion},
                             {"-V", Command::kVersion},
                             {"help", Command::kHelp},
                             {"--help", Command::kHelp},
                             {"-h", Command::kHelp}};
  for (const Case& c : kCases) EXPECT_EQ(Parsed({c.word}).command, c.command) << c.word;
}

TEST(Options, AValueMayBeJoinedToItsOption) {
  EXPECT_EQ(Parsed({"check", "--config=a=b.yaml"}).config, "a=b.yaml");
  EXPECT_EQ(Parsed({"health", "--url=http://127.0.0.1:1"}).url, "http://127.0.0.1:1");
}

TEST(Options, UsageTakesItsOwn) {
  Options options = Parsed({"usage", "--by", "account", "--json", "--data", "/data"});
  EXPECT_EQ(options.by, LedgerBy::kAccount);
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.data, "/data");
  EXPECT_EQ(Parsed({"usage", "--by", "day"}).by, LedgerBy::kDay);
  EXPECT_EQ(Parsed({"usage", "--by=model"}).by, LedgerBy::kModel);
}

TEST(Options, HelpOfACommandIsAskedForInTwoWays) {
  EXPECT_EQ(Parsed({"help", "usage"}).topic, "usage");
  EXPECT_EQ(Parsed({"usage", "--help"}).topic, "usage");
  EXPECT_EQ(Parsed({"usage", "--json", "-h"}).command, Command::kHelp);
  EXPECT_EQ(Parsed({"help"}).topic, "");
}

TEST(Options, WhatIsWrongIsNamedWithTheNearest) {
  EXPECT_EQ(ErrorOf({"chek"}),
            "there is no command 'chek' (did you mean 'check'?); relay --help lists them");
  EXPECT_EQ(ErrorOf({"xyzzy"}), "there is no command 'xyzzy'; relay --help lists them");
  EXPECT_EQ(ErrorOf({"help", "usge"}),
            "there is no command 'usge' (did you mean 'usage'?); relay --help lists them");
  EXPECT_EQ(ErrorOf({"serve", "--confg", "x"}),
            "'serve' has no option '--confg' (did you mean '--config'?); relay help serve lists "
            "them");
  EXPECT_EQ(ErrorOf({"--json"}), "'serve' has no option '--json'; relay help serve lists them");
  EXPECT_EQ(ErrorOf({"check", "relay.yaml"}), "'check' takes no argument 'relay.yaml'");
  EXPECT_EQ(ErrorOf({"check", "--config"}), "--config needs a value: --config FILE");
  EXPECT_EQ(ErrorOf({"check", "--config="}), "--config needs a value: --config FILE");
  EXPECT_EQ(ErrorOf({"usage", "--json=yes"}), "--json takes no value");
  EXPECT_EQ(ErrorOf({"usage", "--by", "modle"}),
            "--by must be key, model, account or day, not 'modle' (did you mean 'model'?)");
  EXPECT_EQ(ErrorOf({"--version", "now"}), "--version stands alone");
}

TEST(Options, ACommandThatComesLaterIsNoTypingError) {
  for (std::string_view later : {"import", "doctor"}) {
    EXPECT_EQ(ErrorOf({later}), "'" + std::string(later) + "' is not built yet");
    EXPECT_EQ(HelpText("").find("  " + std::string(later) + " "), std::string::npos) << later;
  }
}

TEST(Options, CommandsOfAGroupHaveArgumentsAndFields) {
  Options options =
      Parsed({"keys", "make", "alice", "--services", "claude", "--limits=concurrency=2"});
  EXPECT_EQ(options.command, Command::kKeys);
  EXPECT_EQ(options.action, "make");
  EXPECT_EQ(options.names, std::vector<std::string>{"alice"});
  ASSERT_EQ(options.fields.size(), 2U);
  EXPECT_EQ(options.fields[1], std::pair(std::string("limits"), std::string("concurrency=2")));
  // What is true or false needs no value.
  Options told = Parsed({"keys", "make", "--decisions", "alice"});
  EXPECT_EQ(told.names, std::vector<std::string>{"alice"});
  EXPECT_EQ(told.fields.front(), std::pair(std::string("decisions"), std::string("true")));
  told = Parsed({"keys", "set", "alice", "--decisions=false"});
  EXPECT_EQ(told.fields.front(), std::pair(std::string("decisions"), std::string("false")));
  EXPECT_EQ(Parsed({"keys", "rotate", "a", "--overlap", "24h"}).overlap, std::chrono::hours(24));
  EXPECT_EQ(Parsed({"keys", "--help"}).topic, "keys");
  EXPECT_EQ(Parsed({"help", "keys", "make"}).topic, "keys make");
  EXPECT_EQ(ErrorOf({"keys", "mke"}),
            "'keys' has no 'mke' (did you mean 'make'?); relay help keys lists what there is");
  EXPECT_TRUE(ErrorOf({"keys"}).starts_with("'keys' needs one of make, list, "));
  EXPECT_EQ(ErrorOf({"keys", "make"}), "'keys make' needs NAME: relay keys make NAME");
  EXPECT_EQ(ErrorOf({"keys", "make", "a", "b"}), "'keys make' takes no argument 'b'");
  EXPECT_EQ(ErrorOf({"keys", "list", "--overlap", "1h"}),
            "'keys list' has no option '--overlap'; relay help keys list lists them");
  EXPECT_EQ(ErrorOf({"keys", "make", "a", "--limit", "x"}),
            "'keys make' has no option '--limit' (did you mean '--limits'?); relay help keys make "
            "lists them");
}

TEST(Options, ControlBytesOfAnArgumentAreNotPrinted) {
  EXPECT_EQ(ErrorOf({"\x1b[31m"}), "there is no command '?[31m'; relay --help lists them");
}

TEST(Help, ListsEveryCommandAndTheOptionsOfEach) {
  std::string all = HelpText("");
  for (std::string_view command :
       {"serve", "check", "usage", "health", "keys", "rekey", "filters", "schema", "help"}) {
    EXPECT_NE(all.find("\n  " + std::string(command) + " "), std::string::npos) << command;
    EXPECT_TRUE(HelpText(command).starts_with("relay " + std::string(command))) << command;
  }
  EXPECT_NE(HelpText("keys").find("keys rotate NAME"), std::string::npos);
  EXPECT_NE(HelpText("keys make").find("--limits VALUE"), std::string::npos);
  // However long an option is, and whoever declares it.
  EXPECT_NE(HelpText("accounts add").find("\n  --proxy-env VARIABLE  takes the proxy"),
            std::string::npos);
  EXPECT_NE(HelpText("accounts add").find("\n  --tags VALUE          groups"), std::string::npos);
  EXPECT_NE(HelpText("usage").find("--by WHAT"), std::string::npos);
  EXPECT_NE(HelpText("health").find("--url URL"), std::string::npos);
  EXPECT_EQ(HelpText("check").find("--port-file"), std::string::npos);
}

TEST(Version, NamesTheProgramAndItsVersion) {
  EXPECT_EQ(VersionText(), std::string("relay ") + RELAY_VERSION);
}

}  // namespace
}  // namespace relay
