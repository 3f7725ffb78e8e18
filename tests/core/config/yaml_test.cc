// SPDX-License-Identifier: MIT
#include "core/config/yaml.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace relay {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

Environment Of(Variables variables) {
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

struct Read {
  Node root;
  Problems problems;

  std::string Lines() const {
    std::string text;
    for (const std::string& line : problems.ErrorLines()) text += line + "\n";
    return text;
  }
  // The text of the value of a top-level key.
  std::string operator[](std::string_view key) const {
    const Node* node = root.Find(key);
    return node ? node->text : "(none)";
  }
};

Read Parse(std::string_view text, Variables variables = {}, const std::string& folder = "") {
  Read read;
  read.root = ParseYaml({text, "r.yaml", folder, Of(std::move(variables))}, read.problems);
  return read;
}

std::string Where(const Node* node) {
  return node ? node->place.Text() : "(none)";
}

TEST(Yaml, KnowsThePlaceOfEveryKeyAndValue) {
  Read read = Parse("# comment\na: 1\nb:\n  - x\n  - {c: 'd'}\n");
  EXPECT_EQ(read.Lines(), "");
  ASSERT_TRUE(read.root.IsMap());
  EXPECT_EQ(Where(read.root.Find("a")), "r.yaml:2:4");
  EXPECT_EQ(read.root.entries[1].key_place.Text(), "r.yaml:3:1");
  const Node* list = read.root.Find("b");
  ASSERT_TRUE(list && list->IsSequence());
  EXPECT_EQ(Where(&list->items[0]), "r.yaml:4:5");
  EXPECT_FALSE(list->items[0].quoted);
  EXPECT_EQ(Where(&list->items[1]), "r.yaml:5:5");
  const Node* quoted = list->items[1].Find("c");
  EXPECT_EQ(Where(quoted), "r.yaml:5:9");
  EXPECT_TRUE(quoted->quoted);
}

TEST(Yaml, ReportsAnEmptyValueAtItsKeyOrItsDash) {
  Read read = Parse("a:\nb: ~\nc:\n  -\n  # a comment - with a dash\n  - x\n  -\n\nd: 1\n");
  EXPECT_EQ(Where(read.root.Find("a")), "r.yaml:1:1");
  EXPECT_TRUE(read.root.Find("a")->IsNull());
  EXPECT_EQ(Where(read.root.Find("b")), "r.yaml:2:1");
  const Node* list = read.root.Find("c");
  ASSERT_EQ(list->items.size(), 3U);
  EXPECT_EQ(Where(&list->items[0]), "r.yaml:4:3");
  EXPECT_EQ(Where(&list->items[2]), "r.yaml:7:3");
}

TEST(Yaml, ReadsWindowsLineEndsAndAByteOrderMark) {
  Read read = Parse(
      "\xef\xbb\xbf"
      "a: b\r\nc: \"d\"\r\n");
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read["a"], "b");
  EXPECT_EQ(Where(read.root.Find("c")), "r.yaml:2:4");
}

TEST(Yaml, RefusesBytesThatAreNotUtf8) {
  for (const char* bytes : {"a: \xff", "a: \xc0\xaf", "a: \xed\xa0\x80", "a: \xf4\x90\x80\x80",
                            "a: \xe2\x82", "a: \xf0\x80\x80\x80"}) {
    Read read = Parse(bytes);
    EXPECT_EQ(read.Lines(), "r.yaml:1:4: this is not UTF-8\n");
    EXPECT_TRUE(read.root.broken);
  }
  EXPECT_EQ(Parse("a: \u20ac\U0001F600").Lines(), "");
  // Another encoding of the same text is none of ours.
  EXPECT_NE(Parse(std::string_view("a\0:\0 \0b\0", 8)).Lines(), "");
  EXPECT_NE(Parse("a: \rb").Lines(), "");
}

TEST(Yaml, RefusesWhatNestsDeeperThan32) {
  EXPECT_EQ(Parse(std::string(32, '[') + std::string(32, ']')).Lines(), "");
  EXPECT_EQ(Parse(std::string(33, '[') + std::string(33, ']')).Lines(),
            "r.yaml:1:33: nested deeper than 32 levels\n");
}

TEST(Yaml, RefusesMoreThan100000Values) {
  std::string text;
  for (int i = 0; i < 99'999; ++i) text += "- 1\n";
  EXPECT_EQ(Parse(text).Lines(), "");
  EXPECT_EQ(Parse(text + "- 1\n").Lines(), "r.yaml:100000:3: more than 100,000 values\n");
}

TEST(Yaml, RefusesMoreThanAMebibyte) {
  std::string text = "a: b #";
  text.resize(kMaxYamlBytes, 'x');
  EXPECT_EQ(Parse(text).Lines(), "");
  EXPECT_EQ(Parse(text + "x").Lines(), "r.yaml: larger than 1MiB\n");
}

// What drives a recursive or backtracking parser out of its stack or its time.
TEST(Yaml, SurvivesMuchOfAnything) {
  for (std::string piece :
       {"[",    "{",    "{a: ", "- ",    "? ",      "[a: ",   "\"",  "'",  "&",
        "&a ",  "*a ",  "!",    "!a ",   "|\n",     ">",      "#",   "a ", "a\n",
        ":",    ": ",   "%a\n", "---\n", "...\n",   "[\n",    "{\n", "}",  ",",
        " ",    "\n",   "\t",   "-\n",   "${",      "${A:=}", "$",   "\\", "\"\\x41",
        "? - ", "- ? ", "[,",   "{?",    "a: |\n ", "<<: "}) {
    std::string text;
    while (text.size() + piece.size() <= kMaxYamlBytes / 4) text += piece;
    Read read = Parse(text);
    EXPECT_LE(read.root.items.size() + read.root.entries.size(), kMaxYamlNodes) << piece;
  }
  std::string steps;
  for (int i = 0; i < 1400; ++i) steps += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_NE(Parse(steps).Lines(), "");
}

TEST(Yaml, GoesOnAfterWhatItRefuses) {
  Read read = Parse("a: &x 1\nb: *x\nc: !!int 5\n<<: {d: 1}\na: 2\ne: ok\n");
  EXPECT_EQ(read.problems.size(), 5U);
  EXPECT_TRUE(read.root.Find("a")->broken);
  EXPECT_TRUE(read.root.Find("b")->broken);
  EXPECT_EQ(read["e"], "ok");
  EXPECT_EQ(read.root.Find("<<"), nullptr);
}

TEST(Yaml, TellsAnEmptyFileFromABrokenOne) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "~"}) {
    Read read = Parse(text);
    EXPECT_TRUE(read.root.IsNull()) << text;
    EXPECT_FALSE(read.root.broken) << text;
    EXPECT_EQ(read.Lines(), "") << text;
  }
}

TEST(Variables, ReplaceInPlainAndQuotedScalars) {
  Read read =
      Parse("a: ${A}\nb: \"x${A}y\"\nc: '${A}'\nd: |\n  ${A}\ne: [\"${A}\", b]\n", {{"A", "1"}});
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read["a"], "1");
  EXPECT_EQ(read["b"], "x1y");
  EXPECT_EQ(read["c"], "1");
  EXPECT_EQ(read["d"], "1\n");
  EXPECT_EQ(read.root.Find("e")->items[0].text, "1");
}

TEST(Variables, AreEmptyWhenUnsetAndTheOtherWayRound) {
  for (const Variables& variables : {Variables{}, Variables{{"A", ""}}}) {
    Read read = Parse("a: ${A:=}\nb: ${A:=x}\nc: ${A}\nd: ${A:=}/${A:=}\n", variables);
    EXPECT_EQ(
        read.Lines(),
        "r.yaml:3:4: the variable A is not set, or empty; set it, or write ${A:=} where it may "
        "be missing\n");
    EXPECT_TRUE(read.root.Find("a")->Emptied());
    EXPECT_EQ(read.root.Find("a")->emptied_by, "A");
    EXPECT_EQ(read["b"], "x");
    EXPECT_FALSE(read.root.Find("b")->Emptied());
    EXPECT_TRUE(read.root.Find("c")->broken);
    EXPECT_FALSE(read.root.Find("d")->Emptied());
    EXPECT_EQ(read["d"], "/");
  }
}

TEST(Variables, TellWhatCameFromOutside) {
  Read read = Parse("a: ${A}\nb: ${B:=inline}\nc: inline\nd: ${A:=inline}\n", {{"A", "1"}});
  EXPECT_TRUE(read.root.Find("a")->from_outside);
  EXPECT_FALSE(read.root.Find("b")->from_outside);
  EXPECT_FALSE(read.root.Find("c")->from_outside);
  EXPECT_TRUE(read.root.Find("d")->from_outside);
}

TEST(Variables, AreNotLookedAtAgain) {
  Read read = Parse("a: ${A}\nb: $${A}\nc: a$b$\nd: $$\ne: $$${A}\n", {{"A", "${B}"}, {"B", "no"}});
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read["a"], "${B}");
  EXPECT_EQ(read["b"], "${A}");
  EXPECT_EQ(read["c"], "a$b$");
  EXPECT_EQ(read["d"], "$$");
  // The first two dollars and the brace make the literal; what is left is text.
  EXPECT_EQ(read["e"], "$${A}");
}

TEST(Variables, CannotChangeTheShapeOfTheFile) {
  Read read = Parse("a: ${A}\n", {{"A", "x\nb: injected\n- [{"}});
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read.root.entries.size(), 1U);
  EXPECT_EQ(read["a"], "x\nb: injected\n- [{");
}

TEST(Variables, TakeADefaultUpToTheBrace) {
  Read read = Parse("a: ${A:=https://api.example:8080/x}\nb: ${A:=:=}\nc: \"${A:= }\"\n");
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read["a"], "https://api.example:8080/x");
  EXPECT_EQ(read["b"], ":=");
  EXPECT_EQ(read["c"], " ");
}

TEST(Variables, RefuseTheShellsOtherSpellings) {
  for (const char* text :
       {"a: ${A:-x}", "a: ${A-x}", "a: ${A=x}", "a: ${A:?x}", "a: ${A+x}", "a: ${A:x}"}) {
    EXPECT_NE(Parse(text).Lines().find("write ${A:=…}"), std::string::npos) << text;
  }
}

TEST(Variables, BringInAMebibyteAtMost) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "- ${A}\n";
  EXPECT_EQ(Parse(text, {{"A", std::string(50'000, 'x')}}).Lines(), "");
  EXPECT_NE(Parse(text, {{"A", std::string(60'000, 'x')}}).Lines(), "");
}

class FileVariables : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "relay-yaml-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, std::string_view text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::filesystem::path folder_;
};

TEST_F(FileVariables, StartAtTheFolderOfTheConfig) {
  Write("token", "secret\n");
  Write("crlf", "two\nlines\r\n");
  Read read = Parse(
      "a: ${file:token}\nb: ${file:" + (folder_ / "token").string() + "}\nc: x-${file:crlf}\n", {},
      folder_.string());
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(read["a"], "secret");
  EXPECT_TRUE(read.root.Find("a")->from_outside);
  EXPECT_EQ(read["b"], "secret");
  EXPECT_EQ(read["c"], "x-two\nlines");
}

TEST_F(FileVariables, RefuseWhatIsNoSmallFile) {
  Write("empty", "");
  Write("line", "\n");
  Write("zero", std::string_view("a\0b", 3));
  Write("fits", std::string(64 << 10, 'x'));
  Write("large", std::string((64 << 10) + 1, 'x'));
  EXPECT_EQ(Parse("${file:fits}", {}, folder_.string()).Lines(), "");
  const std::pair<const char*, const char*> cases[] = {
      {"empty", "is empty"},
      {"line", "is empty"},
      {"zero", "holds a zero byte"},
      {"large", "is larger than 64KiB"},
      {".", "is no regular file"},
      {"nothing", "cannot be read: No such file or directory"},
      {"/dev/zero", "is no regular file"},
  };
  for (const auto& [name, why] : cases) {
    EXPECT_EQ(Parse("a: ${file:" + std::string(name) + "}", {}, folder_.string()).Lines(),
              "r.yaml:1:4: file '" + std::string(name) + "' " + why + "\n");
  }
}

TEST(RenderJson, TypesPlainScalarsOnly) {
  Read read = Parse(
      "{a: 1, b: '1', c: true, d: \"true\", e: null, f: ~, g: 1e5, h: 01, i: -0.5, j: x, k: [], l: "
      "{}, "
      "m: .5, n: \"q\\\"\\\\\\n\\x01\", o: 'é', p: 1., q: True}");
  EXPECT_EQ(read.Lines(), "");
  EXPECT_EQ(RenderJson(read.root),
            R"({"a":1,"b":"1","c":true,"d":"true","e":null,"f":null,"g":1e5,"h":"01","i":-0.5,)"
            R"("j":"x","k":[],"l":{},"m":".5","n":"q\"\\\n\u0001","o":"é","p":"1.","q":"True"})");
}

TEST(Problems, ComeOutInTheOrderOfTheFileAndOnce) {
  auto file = std::make_shared<const std::string>("r.yaml");
  Problems problems;
  EXPECT_FALSE(problems.failed());
  problems.Warn({file, 1, 1}, "hm");
  EXPECT_FALSE(problems.failed());
  problems.Add({file, 10, 2}, "later");
  problems.Add({file, 2, 10}, "second");
  problems.Add({file, 2, 9}, "first");
  problems.Add({file, 2, 9}, "first");
  problems.Add({file, 0, 0}, "all of it");
  EXPECT_TRUE(problems.failed());
  EXPECT_EQ(problems.ErrorLines(),
            (std::vector<std::string>{"r.yaml: all of it", "r.yaml:2:9: first",
                                      "r.yaml:2:10: second", "r.yaml:10:2: later"}));
  EXPECT_EQ(problems.WarningLines(), std::vector<std::string>{"r.yaml:1:1: warning: hm"});
}

}  // namespace
}  // namespace relay
