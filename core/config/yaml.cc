// SPDX-License-Identifier: MIT
// The only file that sees yaml-cpp, and where its exceptions end.
#include "core/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "core/config/variables.h"

namespace relay {
namespace {

// Leaves the parser; the complaint was made already.
struct Abandoned {};

std::string_view LineOf(std::string_view text, int line) {
  for (int i = 0; i < line; ++i) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlSource& source, std::shared_ptr<const std::string> file, Problems& problems)
      : text_(source.text),
        file_(std::move(file)),
        problems_(problems),
        variables_(source, problems) {
    root_.place = Place{file_, 1, 1};
  }

  Node TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    // yaml-cpp begins a new document as well where a line does not fit what stands before it.
    bool marked = !mark.is_null() && LineOf(text_, mark.line).starts_with("---");
    Abandon(PlaceOf(mark), marked ? "only one YAML document is allowed in a file"
                                  : "not valid YAML: this line does not continue what stands "
                                    "before it (check the indentation)");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.place = PlaceOfNothing(mark);
    RefuseAnchor(node, anchor);
    Count(node.place);
    Put(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Node node;
    node.place = PlaceOf(mark);
    Refuse(node, kNoAliases);
    Count(node.place);
    Put(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Node::Kind::kScalar;
    node.place = PlaceOf(mark);
    node.text = value;
    // yaml-cpp gives "?" for a plain scalar and "!" for a quoted one.
    node.quoted = tag == "!";
    RefuseAnchor(node, anchor);
    if (tag != "?" && tag != "!") Refuse(node, kNoTags);
    Count(node.place);
    Put(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Node::Kind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  static constexpr std::string_view kNoAliases =
      "anchors (&name) and aliases (*name) are not supported; quote a text that begins so";
  static constexpr std::string_view kNoTags =
      "tags (!name) are not supported; quote a text that begins so";

 private:
  struct Frame {
    Node node;
    // Maps: the key whose value comes next.
    bool has_key = false;
    std::string key;
    Place key_place;
    bool key_dropped = false;                         // complained about: its value is thrown away
    std::unordered_map<std::string, uint32_t> lines;  // of the keys so far
  };

  Place PlaceOf(const YAML::Mark& mark) const {
    if (mark.is_null()) return Place{file_, 1, 1};
    return Place{file_, static_cast<uint32_t>(mark.line + 1),
                 static_cast<uint32_t>(mark.column + 1)};
  }

  // A missing value has the mark of whatever follows it: better its key, or its dash.
  Place PlaceOfNothing(const YAML::Mark& mark) const {
    Place place = PlaceOf(mark);
    if (frames_.empty()) return place;
    const Frame& frame = frames_.back();
    if (frame.has_key) return frame.key_place;
    if (frame.node.IsSequence()) return DashBefore(mark).value_or(place);
    return place;
  }

  // The last line before `mark` (or its own) that begins with a dash.
  std::optional<Place> DashBefore(const YAML::Mark& mark) const {
    if (mark.is_null()) return std::nullopt;
    size_t end = std::min(static_cast<size_t>(mark.pos), text_.size());
    auto line = static_cast<uint32_t>(mark.line + 1);
    while (true) {
      size_t start = end == 0 ? std::string_view::npos : text_.rfind('\n', end - 1);
      start = start == std::string_view::npos ? 0 : start + 1;
      size_t column = start;
      while (column < end && text_[column] == ' ') ++column;
      if (column < end && text_[column] == '-') {
        return Place{file_, line, static_cast<uint32_t>(column - start + 1)};
      }
      // Only blank and comment lines lie between a dash and what follows it.
      bool skipped = column == end || text_[column] == '#' || text_[column] == '\r';
      if (start == 0 || !skipped) return std::nullopt;
      end = start - 1;
      --line;
    }
  }

  [[noreturn]] void Abandon(const Place& place, std::string_view what) {
    problems_.Add(place, std::string(what));
    throw Abandoned{};
  }

  void Refuse(Node& node, std::string_view what) {
    if (!node.broken) problems_.Add(node.place, std::string(what));
    node.broken = true;
  }

  void RefuseAnchor(Node& node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(node, kNoAliases);
  }

  void Count(const Place& place) {
    if (++nodes_ > kMaxYamlNodes) Abandon(place, "more than 100,000 values");
  }

  void Open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = PlaceOf(mark);
    RefuseAnchor(frame.node, anchor);
    if (tag != "?" && !tag.empty()) Refuse(frame.node, kNoTags);
    Count(frame.node.place);
    if (frames_.size() >= static_cast<size_t>(kMaxYamlDepth)) {
      Abandon(frame.node.place, "nested deeper than 32 levels");
    }
    frames_.push_back(std::move(frame));
  }

  void Close() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    Put(std::move(node));
  }

  void Put(Node node) {
    if (frames_.empty()) {
      if (node.IsScalar() && !node.broken) variables_.Replace(node);
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.IsMap() && !frame.has_key) {
      PutKey(frame, std::move(node));
      return;
    }
    if (node.IsScalar() && !node.broken) variables_.Replace(node);
    if (frame.node.IsSequence()) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    frame.has_key = false;
    if (frame.key_dropped) return;
    frame.node.entries.push_back({std::move(frame.key), frame.key_place, std::move(node)});
  }

  void PutKey(Frame& frame, Node node) {
    frame.has_key = true;
    frame.key_place = node.place;
    frame.key_dropped = true;
    if (node.broken) return;
    if (!node.IsScalar() || node.text.empty()) {
      Refuse(node, "a key must be a word");
    } else if (node.text == "<<" && !node.quoted) {
      Refuse(node, "merge keys (<<) are not supported");
      // What it lacks without them is no complaint of its own.
      frame.node.broken = true;
    } else if (node.text.find("${") != std::string::npos) {
      Refuse(node, "${…} is not replaced in keys");
    } else {
      auto [first, fresh] = frame.lines.emplace(node.text, node.place.line);
      if (fresh) {
        frame.key_dropped = false;
        frame.key = std::move(node.text);
      } else {
        Refuse(node, "duplicate key '" + node.text + "' (the first is in line " +
                         std::to_string(first->second) + ")");
      }
    }
  }

  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  Problems& problems_;
  Variables variables_;
  std::vector<Frame> frames_;
  Node root_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

// How many bytes the UTF-8 sequence at `at` has (RFC 3629 §4: no overlong forms, no surrogates), or
// 0 when it is none.
size_t Utf8Length(std::string_view text, size_t at) {
  auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  unsigned char first = byte(at);
  if (first < 0x80) return 1;
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  unsigned char second = byte(at + 1);
  if (first == 0xe0 && second < 0xa0) return 0;
  if (first == 0xed && second > 0x9f) return 0;
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second > 0x8f) return 0;
  return length;
}

// yaml-cpp guesses encodings and takes control bytes; what it gets is plain UTF-8. False after a
// complaint.
bool CheckText(std::string_view text, const std::shared_ptr<const std::string>& file,
               Problems& problems) {
  Place place{file, 1, 1};
  for (size_t at = 0; at < text.size();) {
    size_t length = Utf8Length(text, at);
    auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0) {
      problems.Add(place, "this is not UTF-8");
      return false;
    }
    bool line_end = byte == '\n' || (byte == '\r' && at + 1 < text.size() && text[at + 1] == '\n');
    if ((byte < 0x20 && byte != '\t' && !line_end) || byte == 0x7f) {
      problems.Add(place, "a control byte (" + std::to_string(int{byte}) + ") is not allowed");
      return false;
    }
    place.column += static_cast<uint32_t>(length);
    if (byte == '\n') {
      ++place.line;
      place.column = 1;
    }
    at += length;
  }
  return true;
}

// yaml-cpp's words (exceptions.h) and ours, which say what to do.
constexpr std::pair<std::string_view, std::string_view> kExplained[] = {
    {"illegal map value",
     "a ':' where no key can stand (check the indentation; quote a text that holds ': ')"},
    {"end of map not found", "this line does not fit the indentation of those before it"},
    {"end of sequence not found", "this line does not fit the indentation of those before it"},
    {"end of map flow not found", "expected ',' or '}'"},
    {"end of sequence flow not found", "expected ',' or ']'"},
    {"illegal EOF in scalar", "the file ends inside a quoted text"},
    {"unknown token", "a character that must be quoted here"},
};

// What yaml-cpp says, in words that help.
std::string Explain(const YAML::Exception& error, std::string_view text) {
  std::string_view said = error.msg;
  if (said.find("anchor") != said.npos || said.find("alias") != said.npos) {
    return std::string(TreeBuilder::kNoAliases);
  }
  if (said.find("tag") != said.npos) return std::string(TreeBuilder::kNoTags);
  for (const auto& [theirs, ours] : kExplained) {
    if (said == theirs) {
      said = ours;
      break;
    }
  }
  std::string_view line = error.mark.is_null() ? std::string_view() : LineOf(text, error.mark.line);
  if (line.substr(0, line.find_first_not_of(" \t")).find('\t') != line.npos) {
    return "not valid YAML: indent with spaces, not tabs";
  }
  std::string what = "not valid YAML: " + std::string(said);
  if (line.find("${") != line.npos) {
    what += " (inside {…} and […] a ${…} must be quoted)";
  }
  return what;
}

}  // namespace

Node ParseYaml(const YamlSource& source, Problems& problems) {
  auto file = std::make_shared<const std::string>(source.name);
  Place whole{file, 0, 0};
  Node nothing;
  nothing.place = Place{file, 1, 1};
  nothing.broken = true;
  if (source.text.size() > kMaxYamlBytes) {
    problems.Add(whole, "larger than 1MiB");
    return nothing;
  }
  YamlSource plain = source;
  if (plain.text.starts_with("\xef\xbb\xbf")) plain.text.remove_prefix(3);
  if (!CheckText(plain.text, file, problems)) return nothing;

  TreeBuilder builder(plain, file, problems);
  try {
    std::istringstream in{std::string(plain.text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.TakeRoot();
  } catch (const Abandoned&) {
    return nothing;
  } catch (const YAML::Exception& error) {
    Place place = nothing.place;
    if (!error.mark.is_null()) {
      place.line = static_cast<uint32_t>(error.mark.line + 1);
      place.column = static_cast<uint32_t>(error.mark.column + 1);
    }
    problems.Add(place, Explain(error, plain.text));
  } catch (const std::exception& error) {
    problems.Add(whole, std::string("cannot be read: ") + error.what());
  }
  return nothing;
}

}  // namespace relay
