// SPDX-License-Identifier: MIT
#include "core/config/fields.h"

#include <gtest/gtest.h>

#include "core/config/describe.h"
#include "core/config/wording.h"
#include "core/config/yaml.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

enum class Colour : uint8_t { kRed, kGreen };
std::span<const Word<Colour>> WordsOf(Colour) {
  static constexpr Word<Colour> kWords[] = {{"red", Colour::kRed}, {"green", Colour::kGreen}};
  return kWords;
}

struct Inner {
  std::string name;
  int count = 7;
};
void Bind(Fields& f, Inner& i) {
  f.Title("thing");
  f.Required("name", i.name, NonEmpty{}, "what it is called");
  f.Optional("count", i.count, Range{1, 9}, "how many");
}

bool IsLower(std::string_view text) {
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == text.npos;
}

struct Options {
  bool flag = false;
  int64_t whole = 3;
  uint16_t small = 0;
  double number = 0.5;
  std::string text = "default";
  std::string word = "one";
  Colour colour = Colour::kGreen;
  Duration duration = 10s;
  Bytes bytes{1024};
  BytesOrShare share{{}, 25};
  HostPort address;
  Url url;
  Secret secret;
  Node any;
  int workers = 0;
  std::optional<int> maybe;
  std::vector<std::string> list;
  std::vector<Colour> colours;
  std::map<std::string, std::string> map;
  std::vector<std::pair<std::string, int>> ordered;
  std::optional<Inner> inner;
  std::vector<Inner> things;
  std::vector<Inner> named;
  At<std::string> placed;
};

void Bind(Fields& f, Options& o) {
  f.Optional("flag", o.flag, "a flag");
  f.Optional("whole", o.whole, Range{-5, 5'000'000'000});
  f.Optional("small", o.small);
  f.Optional("number", o.number, Range{0.0, 2.5});
  f.Optional("text", o.text, NonEmpty{}, Fits{IsLower, "must be lower case"});
  f.Optional("word", o.word, OneOf{"one", "two", "three"}, "a word");
  f.Optional("colour", o.colour);
  f.Optional("duration", o.duration, Range{1ms, 1h});
  f.Optional("bytes", o.bytes, Range{Bytes{1}, Bytes{1 << 20}});
  f.Optional("share", o.share);
  f.Optional("address", o.address);
  f.Optional("url", o.url);
  f.Optional("secret", o.secret);
  f.Optional("any", o.any);
  f.Optional("workers", o.workers, OrWord{"auto", 0}, Range{1, 64});
  f.Optional("maybe", o.maybe, Range{1, 5});
  f.Optional("list", o.list, OneOrMany{}, NonEmpty{}, Fits{IsLower, "must be lower case"});
  f.Optional("colours", o.colours);
  f.Optional("map", o.map);
  f.Optional("ordered", o.ordered, Range{1, 5});
  f.Optional("inner", o.inner);
  f.Optional("things", o.things);
  f.Named("named", o.named, Fits{IsLower, "must be lower case"}, "by name");
  f.Optional("placed", o.placed);
  f.NotBuilt("future");
}

struct Bound {
  Options options;
  bool fine = false;
  Problems problems;
  std::string Lines() const {
    std::string text;
    for (const std::string& line : problems.ErrorLines()) text += line + "\n";
    return text;
  }
};

Bound Read(std::string_view text) {
  Bound bound;
  Environment environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "FOUR") return "4";
    return std::nullopt;
  };
  Node root = ParseYaml({text, "r.yaml", "", environment}, bound.problems);
  bound.fine = ReadStruct(root, "filter 'x'", bound.problems, bound.options);
  return bound;
}

TEST(Fields, ReadEveryKindOfMember) {
  Bound b = Read(R"(
flag: true
whole: 5000000000
small: 65535
number: 2.5
text: abc
word: two
colour: red
duration: 250ms
bytes: 2KiB
share: 1MiB
address: 127.0.0.1:80
url: https://a.example/x
secret: s3cret
any: [1, {a: b}]
workers: auto
maybe: 5
list: [a, b]
colours: [green, red]
map: {x: y, a: b}
ordered: {z: 1, a: 2}
inner: {name: n}
things: [{name: t, count: 9}]
named: {first: {name: overwritten}, second: {name: two}}
placed: here
)");
  EXPECT_EQ(b.Lines(), "");
  EXPECT_TRUE(b.fine);
  const Options& o = b.options;
  EXPECT_TRUE(o.flag);
  EXPECT_EQ(o.whole, 5'000'000'000);
  EXPECT_EQ(o.small, 65535);
  EXPECT_EQ(o.number, 2.5);
  EXPECT_EQ(o.text, "abc");
  EXPECT_EQ(o.word, "two");
  EXPECT_EQ(o.colour, Colour::kRed);
  EXPECT_EQ(o.duration, Duration(250ms));
  EXPECT_EQ(o.bytes, Bytes{2048});
  EXPECT_EQ(o.share.bytes, Bytes{1 << 20});
  EXPECT_EQ(o.address.port, 80);
  EXPECT_EQ(o.url.path, "/x");
  EXPECT_EQ(o.secret.Reveal(), "s3cret");
  EXPECT_EQ(RenderJson(o.any), R"([1,{"a":"b"}])");
  EXPECT_EQ(o.workers, 0);
  EXPECT_EQ(o.maybe, 5);
  EXPECT_EQ(o.list, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(o.colours, (std::vector<Colour>{Colour::kGreen, Colour::kRed}));
  EXPECT_EQ(o.map, (std::map<std::string, std::string>{{"a", "b"}, {"x", "y"}}));
  EXPECT_EQ(o.ordered, (std::vector<std::pair<std::string, int>>{{"z", 1}, {"a", 2}}));
  ASSERT_TRUE(o.inner);
  EXPECT_EQ(o.inner->count, 7);
  ASSERT_EQ(o.things.size(), 1U);
  EXPECT_EQ(o.things[0].count, 9);
  ASSERT_EQ(o.named.size(), 2U);
  EXPECT_EQ(o.named[1].name, "two");
  EXPECT_EQ(o.placed.value, "here");
  EXPECT_EQ(o.placed.place.Text(), "r.yaml:25:9");
}

TEST(Fields, KeepDefaultsOfWhatIsNotGiven) {
  Bound b = Read("{flag: false, text: \"${NONE:=}\", whole: \"${NONE:=}\", list: \"${NONE:=}\"}");
  EXPECT_EQ(b.Lines(), "");
  EXPECT_EQ(b.options.text, "default");
  EXPECT_EQ(b.options.whole, 3);
  EXPECT_TRUE(b.options.list.empty());
}

TEST(Fields, TypeWhatCameFromVariables) {
  Bound b = Read(
      "{whole: \"${FOUR}\", workers: \"${FOUR}\", ordered: {a: \"${FOUR}\", b: \"${NONE:=}\"}, "
      "list: [a, \"${NONE:=}\"]}");
  EXPECT_EQ(b.Lines(), "");
  EXPECT_EQ(b.options.whole, 4);
  EXPECT_EQ(b.options.workers, 4);
  // Items without a value are left out.
  EXPECT_EQ(b.options.ordered, (std::vector<std::pair<std::string, int>>{{"a", 4}}));
  EXPECT_EQ(b.options.list, std::vector<std::string>{"a"});
}

TEST(Fields, TakeOneWhereManyMayStand) {
  EXPECT_EQ(Read("list: a").options.list, std::vector<std::string>{"a"});
  EXPECT_EQ(Read("list: {a: b}").Lines(),
            "r.yaml:1:7: 'list' must be a value or a list, not a map\n");
  EXPECT_EQ(Read("list: []").Lines(), "r.yaml:1:7: 'list' must hold at least one value\n");
  EXPECT_EQ(Read("list: [a, B]").Lines(), "r.yaml:1:11: 'list' must be lower case, not 'B'\n");
  EXPECT_EQ(Read("colours: red").Lines(), "r.yaml:1:10: 'colours' must be a list, not 'red'\n");
}

TEST(Fields, SayWhatAValueMustBe) {
  const std::pair<const char*, const char*> cases[] = {
      {"flag: yes", "1:7: 'flag' must be true or false, not 'yes'"},
      {"whole: 5000000001", "1:8: 'whole' must be -5..5000000000, not 5000000001"},
      {"whole: 0x10", "1:8: 'whole' must be a whole number in -5..5000000000, not 0x10"},
      {"small: 65536", "1:8: 'small' must be 0..65535, not 65536"},
      {"small: -1", "1:8: 'small' must be 0..65535, not -1"},
      {"number: 2.51", "1:9: 'number' must be 0..2.5, not 2.51"},
      {"number: nan", "1:9: 'number' must be a number like 10 or 2.50 in 0..2.5, not 'nan'"},
      {"text: ''", "1:7: 'text' must not be empty"},
      {"text: [a]", "1:7: 'text' must be text, not a list"},
      {"word: tow", "1:7: 'word' must be one, two or three, not 'tow' (did you mean 'two'?)"},
      {"colour: 5", "1:9: 'colour' must be red or green, not 5"},
      {"duration: 2h", "1:11: 'duration' must be 1ms..1h, not 2h"},
      {"bytes: 2MiB", "1:8: 'bytes' must be 1B..1MiB, not 2MiB"},
      {"workers: 65", "1:10: 'workers' must be auto or 1..64, not 65"},
      {"workers: Auto", "1:10: 'workers' must be auto or a whole number in 1..64, not 'Auto'"},
      {"maybe: 9", "1:8: 'maybe' must be 1..5, not 9"},
      {"map: [a]", "1:6: 'map' must be a map (name: value), not a list"},
      {"ordered: {x: 9}", "1:14: 'x' must be 1..5, not 9"},
      {"secret: [a]", "1:9: 'secret' must be text, not a list"},
      {"future: 1", "1:1: 'future' is not built yet; remove it"},
      {"named: {A: {name: x}}", "1:9: the name 'A' must be lower case"},
      {"inner: 5", "1:8: thing must be a map (name: value), not 5"},
      {"inner: {}", "1:8: 'name' is missing in thing"},
      {"inner: {name: a, count: 0}", "1:25: 'count' must be 1..9, not 0"},
      {"things: [{name: a, cuont: 1}]",
       "1:20: unknown key 'cuont' in thing 'a' (did you mean 'count'?)"},
      {"named: {k: {nam: x}}", "1:13: unknown key 'nam' in thing 'k' (did you mean 'name'?)"},
      {"flga: true", "1:1: unknown key 'flga' in filter 'x' (did you mean 'flag'?)"},
      {"futur: true", "1:1: unknown key 'futur' in filter 'x'"},
      {"zebra: true", "1:1: unknown key 'zebra' in filter 'x'"},
      {"[flag]", "1:1: filter 'x' must be a map (name: value), not a list"},
  };
  for (const auto& [text, line] : cases) {
    Bound b = Read(text);
    EXPECT_EQ(b.Lines(), "r.yaml:" + std::string(line) + "\n") << text;
    EXPECT_FALSE(b.fine) << text;
  }
}

TEST(Fields, SaySomethingOnceOnly) {
  // The scalar is complained about where its variable is; nothing is added to that.
  Bound b = Read("{whole: \"${NONE}\", list: [\"${NONE}\"], inner: {name: \"${NONE}\"}}");
  EXPECT_EQ(b.problems.ErrorLines().size(), 3U);
  EXPECT_FALSE(b.problems.ErrorLines()[0].find("NONE") == std::string::npos);
}

TEST(Fields, ShowAValueOnlyAsFarAsItIsSafe) {
  EXPECT_EQ(Read("word: \"a\\x1b[31mb\"").Lines(),
            "r.yaml:1:7: 'word' must be one, two or three, not 'a?[31mb'\n");
  std::string line = Read("word: " + std::string(59, 'a') + "éé").Lines();
  EXPECT_NE(line.find(std::string(59, 'a') + "…'"), std::string::npos) << line;
}

TEST(Fields, WarnOfSecretsInTheFileItself) {
  Bound b = Read("secret: abc");
  EXPECT_EQ(b.problems.WarningLines().size(), 1U);
  EXPECT_EQ(b.problems.WarningLines()[0].find("abc"), std::string::npos);
  EXPECT_TRUE(Read("secret: \"${FOUR}\"").problems.WarningLines().empty());
  EXPECT_TRUE(Read("secret: \"${NONE:=}\"").problems.WarningLines().empty());
  EXPECT_EQ(Read("secret: \"${NONE:=abc}\"").problems.WarningLines().size(), 1U);
}

TEST(NearestName, IsTheOneThatAPersonMeant) {
  const std::string_view names[] = {"requests-per-minute", "concurrency", "name", "on"};
  EXPECT_EQ(NearestName("request-per-minute", names), "requests-per-minute");
  EXPECT_EQ(NearestName("REQUESTS_PER_MINUTE", names), "requests-per-minute");
  EXPECT_EQ(NearestName("cocnurrency", names), "concurrency");
  EXPECT_EQ(NearestName("nmae", names), "name");
  EXPECT_EQ(NearestName("x", names), "");
  EXPECT_EQ(NearestName("tokens", names), "");
  EXPECT_EQ(NearestName(std::string(100'000, 'x'), names), "");
}

TEST(Describe, PrintsWhatBindDeclares) {
  std::string text = PrintReference(DescribeStruct<Inner>());
  EXPECT_EQ(text,
            "  name   text (required): what it is called\n"
            "  count  whole number 1..9 (default 7): how many\n");
  std::string all = PrintReference(DescribeStruct<Options>(), 0);
  for (const char* line :
       {"flag      true or false (default false): a flag\n",
        "word      one | two | three (default one): a word\n",
        "colour    red | green (default green)\n", "duration  duration 1ms..1h (default 10s)\n",
        "bytes     size 1B..1MiB (default 1KiB)\n", "share     size or share (default 25%)\n",
        "workers   whole number 1..64, or auto (default auto)\n",
        "list      list of text (must be lower case), or one alone\n",
        "things    list of maps\n  name   text (required)", "maybe     whole number 1..5\n"}) {
    EXPECT_NE(all.find(line), std::string::npos) << line << all;
  }
  EXPECT_EQ(all.find("future"), std::string::npos);
}

TEST(Describe, PrintsAJsonSchema) {
  EXPECT_EQ(PrintJsonSchema(DescribeStruct<Inner>(), "a \"thing\""),
            R"({"$schema":"https://json-schema.org/draft/2020-12/schema","title":"a \"thing\"",)"
            R"("type":"object","properties":{"name":{"description":"what it is called",)"
            R"("type":["string","number","boolean"],"minLength":1},)"
            R"("count":{"description":"how many","default":7,"anyOf":[)"
            R"({"type":"integer","minimum":1,"maximum":9},{"type":"string","pattern":"\\$\\{"}]}},)"
            R"("required":["name"],"additionalProperties":false})");
}

TEST(Describe, GivesASchemaThatIsJsonOfItsOwn) {
  // JSON is YAML: what the schema of everything holds is read back by our own reader.
  std::string schema = PrintJsonSchema(DescribeStruct<Options>(), "options");
  Problems problems;
  Node root =
      ParseYaml({schema, "schema", "", [](std::string_view) { return std::nullopt; }}, problems);
  const Node* properties = root.Find("properties");
  ASSERT_TRUE(properties);
  Options options;
  Shape shape = DescribeStruct<Options>();
  EXPECT_EQ(properties->entries.size(), shape.fields.size());
}

}  // namespace
}  // namespace relay
