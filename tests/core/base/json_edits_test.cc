// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/json.h"

namespace relay {
namespace {

class EditsTest : public ::testing::Test {
 protected:
  void Read(std::string text) {
    text_ = std::move(text);
    Result<JsonIndex> index = JsonIndex::Parse(text_);
    ASSERT_TRUE(index) << index.error().what;
    index_ = std::move(*index);
  }
  // The edited text, which must be the same and of the promised size in every form.
  std::string Edited() {
    std::string plain = edits_.Apply(text_);
    EXPECT_EQ(edits_.SizeAfter(text_.size()), plain.size());
    Buffer buffer;
    edits_.Apply(Chunk::Copy(text_), buffer);
    EXPECT_EQ(buffer.ToString(), plain);
    EXPECT_TRUE(JsonIndex::Parse(plain)) << plain;
    return plain;
  }

  std::string text_;
  JsonIndex index_;
  Edits edits_;
};

TEST_F(EditsTest, ChangeNothingWhenThereAreNone) {
  Read(R"({ "a" : 1 })");
  EXPECT_TRUE(edits_.empty());
  edits_.Remove(index_, "absent");
  EXPECT_TRUE(edits_.empty());
  EXPECT_EQ(Edited(), text_);
}

TEST_F(EditsTest, ReplaceAValueAndLeaveEveryOtherByte) {
  Read(R"({ "model" : "old", "x":[1 , 2] })");
  edits_.Set(index_, "model", JsonString("n\"ew"));
  EXPECT_EQ(Edited(), R"({ "model" : "n\"ew", "x":[1 , 2] })");
  edits_.Set(index_, "model", "1");
  EXPECT_EQ(Edited(), R"({ "model" : 1, "x":[1 , 2] })");
}

TEST_F(EditsTest, AddFields) {
  Read(R"({"a":1 })");
  edits_.Set(index_, "b", "2");
  edits_.Set(index_, "c\"", "3");
  edits_.Set(index_, "b", "4");
  EXPECT_EQ(Edited(), R"({"a":1,"b":4,"c\"":3 })");
}

TEST_F(EditsTest, AddFieldsToAnEmptyObject) {
  Read("{ }");
  edits_.Set(index_, "b", "2");
  edits_.Set(index_, "c", "3");
  EXPECT_EQ(Edited(), R"({"b":2,"c":3 })");
}

TEST_F(EditsTest, RemoveAnyFieldsWithTheRightCommas) {
  const std::string names = "abcd";
  for (unsigned removed = 0; removed < 16; ++removed) {
    for (bool adds : {false, true}) {
      Read(R"({"a":1, "b":{"x":2} ,"c":3 , "d":4})");
      edits_.Clear();
      std::vector<std::string> left;
      for (size_t i = 0; i < names.size(); ++i) {
        std::string name(1, names[i]);
        if ((removed >> i & 1) != 0) {
          edits_.Remove(index_, name);
        } else {
          left.push_back(name);
        }
      }
      if (adds) {
        edits_.Set(index_, "e", "5");
        left.emplace_back("e");
      }
      std::string text = Edited();
      Result<JsonIndex> after = JsonIndex::Parse(text);
      ASSERT_TRUE(after) << text;
      std::vector<std::string> found;
      for (const JsonField& field : after->fields()) found.push_back(after->Key(field));
      EXPECT_EQ(found, left) << text;
    }
  }
}

TEST_F(EditsTest, TheLastWordCounts) {
  Read(R"({"a":1,"b":2})");
  edits_.Remove(index_, "a");
  edits_.Set(index_, "a", "3");
  EXPECT_EQ(Edited(), R"({"a":3,"b":2})");
  edits_.Remove(index_, "a");
  EXPECT_EQ(Edited(), R"({"b":2})");
  edits_.Set(index_, "new", "4");
  edits_.Remove(index_, "new");
  EXPECT_EQ(Edited(), R"({"b":2})");
}

TEST_F(EditsTest, AWiderRangeCoversWhatIsInsideIt) {
  Read(R"({"a":{"x":1,"y":2},"b":2})");
  Result<JsonIndex> inner = JsonIndex::Object(index_.Find("a"));
  ASSERT_TRUE(inner);
  edits_.Set(*inner, "x", "9");
  edits_.Set(*inner, "z", "8");
  EXPECT_EQ(Edited(), R"({"a":{"x":9,"y":2,"z":8},"b":2})");
  edits_.Set(index_, "a", "0");
  EXPECT_EQ(Edited(), R"({"a":0,"b":2})");
  edits_.Remove(index_, "a");
  EXPECT_EQ(Edited(), R"({"b":2})");
}

TEST_F(EditsTest, SplicesAnyRange) {
  Read(R"({"a":1})");
  edits_.Raw(0, 0, "{\"wrap\":");
  edits_.Raw(text_.size(), 0, "}");
  EXPECT_EQ(Edited(), R"({"wrap":{"a":1}})");
}

TEST_F(EditsTest, SendTheOriginalBytesWithoutCopying) {
  Read(R"({"model":"old","text":")" + std::string(100'000, 'x') + "\"}");
  edits_.Set(index_, "model", "\"new\"");
  Chunk body = Chunk::Copy(text_);
  Buffer out;
  edits_.Apply(body, out);
  EXPECT_EQ(out.Pop().data(), body.data());
  out.Pop();
  EXPECT_EQ(out.Pop().data(), body.data() + index_.Find("model").offset + 5);
}

TEST_F(EditsTest, TakesElementsOutWithTheirCommas) {
  struct Case {
    std::vector<bool> which;
    std::string after;
  };
  for (const Case& one :
       std::vector<Case>{{{false, false, false}, R"({"a":[ 1 , {"b":2} ,"c" ],"d":0})"},
                         {{true, false, false}, R"({"a":[ {"b":2} ,"c" ],"d":0})"},
                         {{false, true, false}, R"({"a":[ 1 , "c" ],"d":0})"},
                         {{false, false, true}, R"({"a":[ 1 , {"b":2} ],"d":0})"},
                         {{true, false, true}, R"({"a":[ {"b":2} ],"d":0})"},
                         {{false, true, true}, R"({"a":[ 1 ],"d":0})"},
                         {{true, true}, R"({"a":[ "c" ],"d":0})"},
                         {{true, true, true}, R"({"a":[  ],"d":0})"}}) {
    Read(R"({"a":[ 1 , {"b":2} ,"c" ],"d":0})");
    edits_.Clear();
    edits_.RemoveElements(index_.Find("a"), one.which);
    EXPECT_EQ(Edited(), one.after);
  }
}

TEST_F(EditsTest, TakeAnyOrderAndNumber) {
  constexpr int kCount = 100'000;
  std::string text = R"({"a":[)";
  std::string after = text;
  for (int i = 0; i < kCount; ++i) text += i == 0 ? "10,20" : ",10,20";
  for (int i = 0; i < kCount; ++i) after += i == 0 ? "20" : ",20";
  Read(text + R"(],"b":1})");
  std::vector<bool> which;
  for (int i = 0; i < 2 * kCount; ++i) which.push_back(i % 2 == 0);
  edits_.Set(index_, "b", "2");
  edits_.RemoveElements(index_.Find("a"), which);
  edits_.Set(index_, "b", "3");
  edits_.Set(index_, "c", "4");
  // What comes before all others, and twice the same.
  edits_.Raw(1, 1, "'");
  edits_.Raw(1, 1, "\"");
  EXPECT_TRUE(Edited() == after + R"(],"b":3,"c":4})");
}

}  // namespace
}  // namespace relay
