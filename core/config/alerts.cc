// SPDX-License-Identifier: MIT
#include "core/config/alerts.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/config/fits.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// Of a query: what RFC 3986 §3.4 allows.
bool IsQuery(std::string_view text) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=:@/?%";
  return std::ranges::all_of(text, [&](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || kMarks.find(c) != kMarks.npos;
  });
}

bool IsAlertUrl(std::string_view text) {
  size_t mark = std::min(text.find('?'), text.size());
  return ParseUrl(text.substr(0, mark)) && IsQuery(text.substr(std::min(mark + 1, text.size())));
}

void CheckTemplate(Fields& f, const AlertConfig& a) {
  AlertValues samples;
  for (std::string_view word : kAlertWords) samples.emplace_back(word, "sample");
  auto filled = FillAlertTemplate(a.text, samples);
  if (!filled) {
    f.Complain("template", filled.error());
  } else if (!JsonIndex::Parse(*filled)) {
    f.Complain("template",
               "must be a JSON object once it is filled in: '{\"content\": \"{{summary}}\"}'");
  }
}

// Options that say nothing where others stand.
void CheckFormat(Fields& f, const AlertConfig& a) {
  bool telegram = a.format == AlertFormat::kTelegram;
  if (f.Has("template") && f.Has("format")) {
    f.Complain("template", "cannot stand beside 'format': it takes its place");
  } else if (f.Fine("template")) {
    CheckTemplate(f, a);
  }
  if (telegram && !f.Has("chat")) {
    f.Complain("format", "telegram needs a 'chat', the id of who is told");
  }
  if (!telegram && f.Fine("format") && f.Has("chat")) f.Complain("chat", "is for telegram only");
  if (!f.Has("format") && f.Has("chat")) f.Complain("chat", "is for format: telegram only");
  if (f.Has("secret") && a.format != AlertFormat::kJson) {
    f.Complain("secret", "signs JSON and templates; Slack and Telegram do not look at it");
  }
}

}  // namespace

std::span<const Word<AlertEvent>> WordsOf(AlertEvent) {
  static constexpr Word<AlertEvent> kWords[] = {
      {"refused", AlertEvent::kRefused},       {"limited", AlertEvent::kLimited},
      {"expired", AlertEvent::kExpired},       {"broken", AlertEvent::kBroken},
      {"overloaded", AlertEvent::kOverloaded}, {"unserved", AlertEvent::kUnserved},
      {"budget", AlertEvent::kBudget},         {"store", AlertEvent::kStore},
      {"config", AlertEvent::kConfig}};
  return kWords;
}

std::string_view NameOf(AlertEvent event) {
  for (const Word<AlertEvent>& word : WordsOf(event)) {
    if (word.value == event) return word.text;
  }
  return "";
}

static std::span<const Word<AlertFormat>> WordsOf(AlertFormat) {
  static constexpr Word<AlertFormat> kWords[] = {{"json", AlertFormat::kJson},
                                                 {"slack", AlertFormat::kSlack},
                                                 {"telegram", AlertFormat::kTelegram}};
  return kWords;
}

void Bind(Fields& f, AlertConfig& a) {
  f.Title("alert");
  a.place = f.place();
  f.Required("name", a.name, kName, "unique; appears in logs and metrics");
  f.Optional("url", a.url, NonEmpty{}, Fits{IsAlertUrl, "must be an http:// or https:// URL"},
             "where it is posted; empty through ${NAME:=}: it is left out");
  f.Optional("format", a.format, "what is posted");
  f.Optional("template", a.text, NonEmpty{},
             "a JSON object instead of a format, in which {{summary}}, {{event}}, {{phase}}, "
             "{{severity}}, {{subject}}, {{details}} and {{time}} are filled in");
  f.Optional("chat", a.chat, NonEmpty{}, Fits{IsCredential, "must be printable"},
             "telegram: the id of the chat");
  f.Optional("secret", a.secret, NonEmpty{}, Fits{IsSessionKey, "must be 16 to 1024 characters"},
             "signs what is sent, by HMAC-SHA-256 in x-relay-signature");
  f.Optional("on", a.on, OneOrMany{}, NonEmpty{}, "what is told");
  f.Optional("budget-percent", a.budget_percent, OneOrMany{}, NonEmpty{}, Range{1, 100},
             "of a key's cost limit: told when so much of it is spent");
  f.Optional("quiet", a.quiet, Range{Duration(0), Duration(24h)},
             "the same is not told again so soon after");
  f.Optional("proxy", a.proxy, "the way out; without it direct");
  if (f.describing()) return;
  CheckFormat(f, a);
  std::ranges::sort(a.budget_percent);
  const Node* secret = f.NodeOf("secret");
  if (secret != nullptr && secret->Emptied()) {
    f.Warn("secret", "is empty, so what is sent is not signed");
  }
  const Node* url = f.NodeOf("url");
  if (url != nullptr && url->Emptied()) {
    a.emptied_by = url->emptied_by;
  } else if (url == nullptr) {
    f.ComplainHere("needs a 'url'");
  }
}

AlertUrl SplitAlertUrl(const Secret& url) {
  std::string_view text = url.Reveal();
  size_t mark = std::min(text.find('?'), text.size());
  AlertUrl split;
  if (auto parsed = ParseUrl(text.substr(0, mark))) split.url = std::move(*parsed);
  split.query = std::string(text.substr(std::min(mark + 1, text.size())));
  return split;
}

std::expected<std::string, std::string> FillAlertTemplate(std::string_view text,
                                                          const AlertValues& values) {
  std::string filled;
  while (true) {
    size_t open = text.find("{{");
    filled += text.substr(0, open);
    if (open == text.npos) return filled;
    text.remove_prefix(open + 2);
    size_t close = text.find("}}");
    if (close == text.npos) return std::unexpected("has a '{{' without its '}}'");
    std::string_view name = text.substr(0, close);
    text.remove_prefix(close + 2);
    auto value = std::ranges::find(values, name, &AlertValues::value_type::first);
    if (value == values.end()) {
      return std::unexpected("has '{{" + std::string(name) +
                             "}}', which is none of summary, event, phase, severity, subject, "
                             "details and time");
    }
    std::string quoted = JsonString(value->second);
    filled += std::string_view(quoted).substr(1, quoted.size() - 2);
  }
}

}  // namespace relay
