// SPDX-License-Identifier: MIT
#include "upstreams/code_assist.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

std::string Through(Envelope envelope, AnswerForm form, std::string_view text, size_t piece) {
  auto transform = MakeEnvelopeTransform(envelope, form);
  Buffer out;
  for (size_t at = 0; at < text.size(); at += piece) {
    transform->Apply(Chunk::Copy(text.substr(at, piece)), out);
  }
  transform->Finish(out);
  return out.ToString();
}

struct Row {
  const char* name;
  Envelope envelope;
  AnswerForm form;
  std::string in;
  std::string out;
};

std::vector<Row> Rows() {
  constexpr auto kAdd = Envelope::kAdd;
  constexpr auto kRemove = Envelope::kRemove;
  constexpr auto kEvents = AnswerForm::kEvents;
  constexpr auto kArray = AnswerForm::kEventsToArray;
  constexpr auto kJson = AnswerForm::kJson;
  return {
      {"crlf", kRemove, kEvents, "data: {\"response\":{\"a\":\"é\"},\"traceId\":\"t\"}\r\n\r\n",
       "data: {\"a\":\"é\"}\r\n\r\n"},
      {"lf, two events", kRemove, kEvents,
       "data: {\"response\":{}}\n\ndata: {\"response\": {\"b\" : 1} }\n\n",
       "data: {}\n\ndata: {\"b\" : 1}\n\n"},
      {"no space", kRemove, kEvents, "data:{\"response\":[]}\n\n", "data: []\n\n"},
      {"comment and other fields", kRemove, kEvents,
       ": hi\nevent: x\nid: 7\ndata: {\"response\":1}\n\n", ": hi\nevent: x\nid: 7\ndata: 1\n\n"},
      {"error", kRemove, kEvents, "data: {\"error\":{\"code\":429}}\n\n",
       "data: {\"error\":{\"code\":429}}\n\n"},
      {"no json", kRemove, kEvents, "data: [DONE]\n\ndata: {\n\n", "data: [DONE]\n\ndata: {\n\n"},
      {"no response", kRemove, kEvents, "data: {\"x\":1}\n\n", "data: {\"x\":1}\n\n"},
      {"cut", kRemove, kEvents, "data: {\"response\":{}}", "data: {}"},
      {"empty", kRemove, kEvents, "", ""},
      {"wrap", kAdd, kEvents, "data: {\"a\": [1]}\r\n\r\n",
       "data: {\"response\":{\"a\": [1]}}\r\n\r\n"},
      {"wrap an error", kAdd, kEvents, "data: {\"error\":{}}\n\n", "data: {\"error\":{}}\n\n"},
      {"to an array", kRemove, kArray, "data: {\"response\":1}\n\n: x\ndata: {\"response\":2}\n\n",
       "[1,\r\n2]"},
      {"to an empty array", kRemove, kArray, "", "[]"},
      {"wrap to an array", kAdd, kArray, "data: {\"a\":1}\n\n", "[{\"response\":{\"a\":1}}]"},
      {"json", kRemove, kJson, R"({"response":{"a":[{"b":"}\"]"}]},"traceId":"response"})",
       R"({"a":[{"b":"}\"]"}]})"},
      {"json, last", kRemove, kJson, "{ \"traceId\" : \"a\\\"b\" ,\n \"response\" : { } }\n",
       "{ } "},
      {"json, inside", kRemove, kJson, R"({"x":{"response":1},"response":{"response":2}})",
       R"({"response":2})"},
      {"json, a number", kRemove, kJson, R"({"response":12})", "12"},
      {"json, twice", kRemove, kJson, R"({"response":1,"response":2})", "1"},
      {"json, none", kRemove, kJson, R"({"x":"response"})", "{}"},
      {"json, wrapped", kAdd, kJson, R"({"a":1})", R"({"response":{"a":1}})"},
      {"json, wrapped nothing", kAdd, kJson, "", "{}"},
  };
}

TEST(CodeAssist, PutsAnswersIntoTheirEnvelopeAndTakesThemOut) {
  for (const Row& row : Rows()) {
    for (size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1000}}) {
      SCOPED_TRACE(std::string(row.name) + ", by " + std::to_string(piece));
      EXPECT_EQ(Through(row.envelope, row.form, row.in, piece), row.out);
    }
  }
}

TEST(CodeAssist, HoldsNoMoreThanALine) {
  auto transform = MakeEnvelopeTransform(Envelope::kRemove, AnswerForm::kEvents);
  Buffer out;
  transform->Apply(Chunk::Static("data: {\"response\":{}}\r\n"), out);
  EXPECT_EQ(out.ToString(), "data: {}\r\n");
}

TEST(CodeAssist, LetsJsonThroughAsItComes) {
  auto transform = MakeEnvelopeTransform(Envelope::kRemove, AnswerForm::kJson);
  Buffer out;
  transform->Apply(Chunk::Static("{\"response\":{\"a\":\"te"), out);
  EXPECT_EQ(out.ToString(), "{\"a\":\"te");
}

TEST(CodeAssist, PassesALineThatIsTooLong) {
  std::string line = "data: {\"response\":\"" + std::string(size_t{33} << 20, 'x') + "\"}\n";
  EXPECT_EQ(
      Through(Envelope::kRemove, AnswerForm::kEvents, line + "data: {\"response\":1}\n", 1 << 20),
      line + "data: 1\n");
}

}  // namespace
}  // namespace relay
