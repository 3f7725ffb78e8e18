// SPDX-License-Identifier: MIT
#include "admin/command_table.h"

#include <algorithm>

#include "core/config/root.h"
#include "core/config/units.h"

namespace relay {
namespace {

using Set = std::expected<void, std::string>;

const CommandSpec kCommands[] = {
    {"serve", Command::kServe, "", "serves what relay.yaml declares; the default",
     "SIGTERM lets answers in flight end, up to drain-timeout; a second one stops at once.\n"
     "SIGHUP reads relay.yaml anew, as a change of the file does."},
    {"check", Command::kCheck, "", "says what is wrong with relay.yaml, and runs the tests in it",
     "Prints every problem with line and column (exit code 2), else the outcome of each test\n"
     "(exit code 1 when one fails). Nothing is sent anywhere."},
    {"explain", Command::kExplain, "METHOD PATH", "what would become of a request, and why",
     "Asks the relay that runs with the same data folder, by what is known and in use there now;\n"
     "where none runs, relay.yaml alone tells. Nothing is taken, counted or sent. Exit code 1: "
     "the\n"
     "request would be refused."},
    {"usage", Command::kUsage, "", "what was used, and what it cost",
     "Asks the relay that runs with the same data folder."},
    {"health", Command::kHealth, "", "exit code 0 if the relay answers, else 1",
     "Asks over the control socket in the data folder, else at the first address of relay.yaml."},
    {"reload", Command::kReload, "", "has the running relay read relay.yaml anew",
     "The relay checks its file, runs the tests in it, and puts it in force if all is well: no\n"
     "connection is closed, no answer cut. Prints what changed, or why nothing did (exit code 2;\n"
     "1 when a test fails). It does the same by itself when the file changes."},
    {"diff", Command::kDiff, "", "what a relay.yaml would change of the running relay",
     "The relay reads the file with its own environment and compares it with what is in force;\n"
     "nothing is changed. Prints one line a change, no secrets. Exit code 2: the file is wrong."},
    {"accounts list", Command::kAccounts, "", "all accounts: state, cause, until when, token",
     "Asks the relay that runs with the same data folder, as the others of this group do."},
    {"accounts login", Command::kAccounts, "NAME", "logs a subscription in, by the vendor's page",
     "Prints the page's address, and reads from standard input what it shows in the end. NAME is "
     "a\n"
     "new one, or one of before: then that account is logged in again. How it is used is said as "
     "in\n"
     "relay.yaml: --weight 4 --tags team,eu --pause-at 5h=90%,week=95%",
     DescribeStruct<AccountTerms>},
    {"accounts add", Command::kAccounts, "NAME", "adds an account with an API key",
     "The key comes on standard input, or from a variable (--key-env); never on the command line,\n"
     "where other users of the machine would see it. How it is used is said as in relay.yaml:\n"
     "--priority 10 --concurrency 8 --models claude-sonnet-*,claude-haiku-*",
     DescribeStruct<AccountTerms>},
    {"accounts show", Command::kAccounts, "NAME",
     "all that is known of one, and its troubles of late"},
    {"accounts set", Command::kAccounts, "NAME", "changes how an account that was added so is used",
     "What is not named stays as it is; none takes a value away: --pause-at none, --pause-at\n"
     "week=none. What runs already is not ended.",
     DescribeStruct<AccountTerms>},
    {"accounts test", Command::kAccounts, "NAME",
     "a few small requests with an account, each told when it is done"},
    {"accounts pause", Command::kAccounts, "NAME", "lets an account have no more requests"},
    {"accounts resume", Command::kAccounts, "NAME", "ends a pause"},
    {"accounts reset", Command::kAccounts, "NAME", "forgets what is held against an account"},
    {"accounts remove", Command::kAccounts, "NAME", "removes an account that was added so"},
    {"keys make", Command::kKeys, "NAME", "makes a key, and prints it this once",
     "What it may do is said as in relay.yaml: --services claude --limits "
     "concurrency=4,cost-per-day=25\n"
     "--models deny=claude-opus-*. Without services and limits it may use all.",
     DescribeStruct<KeyTerms>},
    {"keys list", Command::kKeys, "", "who may use the relay: state, last use, limits"},
    {"keys show", Command::kKeys, "NAME", "all that is known of a key"},
    {"keys set", Command::kKeys, "NAME", "changes what a key may do",
     "What is not named stays as it is; none takes a value away: --limits cost-per-day=none",
     DescribeStruct<KeyTerms>},
    {"keys disable", Command::kKeys, "NAME", "refuses a key from the next request on",
     "Also a key of relay.yaml. What runs already is not ended."},
    {"keys enable", Command::kKeys, "NAME", "takes that back"},
    {"keys rotate", Command::kKeys, "NAME", "replaces a key, and prints the new one this once"},
    {"keys delete", Command::kKeys, "NAME", "refuses a key, and hides it from the list"},
    {"keys restore", Command::kKeys, "NAME", "takes that back"},
    {"alerts list", Command::kAlerts, "", "who is told of alerts, and how the last one went"},
    {"alerts test", Command::kAlerts, "[NAME]", "tells all of them, or one, that this is a test",
     "Prints what each receiver answered; exit code 1 when one did not take it."},
    {"rekey", Command::kRekey, "", "goes over to a new encryption key",
     "With a key file in the data folder, makes a new one. With secrets.encryption-key, give the "
     "new\n"
     "key there and the old one as previous-encryption-key first, and start the relay again.\n"
     "Keys of clients stay what they are."},
    {"state export", Command::kState, "FILE", "writes all of the store to one encrypted file",
     "Keys, accounts, what was used and what is spent; the file needs the passphrase of\n"
     "RELAY_PASSPHRASE or --passphrase-file, and no encryption key. The relay may run meanwhile."},
    {"state import", Command::kState, "FILE", "fills the store from such a file",
     "Any store takes it, also one of another kind or with another encryption key. No relay may\n"
     "use the store meanwhile."},
    {"filters", Command::kFilters, "", "what each filter does and takes"},
    {"schema", Command::kSchema, "", "the JSON schema of relay.yaml, for an editor"},
    {"help", Command::kHelp, "[COMMAND]", "this page, or the page of a command"},
};

// Those whose names have two words.
constexpr CommandGroup kGroups[] = {
    {"accounts", "logs accounts in, adds, lists, tests, pauses and removes them"},
    {"alerts", "who is told when something needs a person, and a test of it"},
    {"keys", "makes, lists, changes, disables, rotates and deletes relay keys"},
    {"state", "all that the store holds, to and from a file"},
};

constexpr std::string_view kUnbuilt[] = {"import", "doctor"};

const OptionSpec kOptions[] = {
    {"--config", "FILE",
     "serve check explain usage health reload diff accounts alerts keys rekey state",
     "instead of relay.yaml in this folder",
     [](Options& o, std::string_view value) -> Set {
       o.config = value;
       o.config_given = true;
       return {};
     }},
    {"--port-file", "FILE", "serve", "gets the ports in use, one a line, once the relay serves",
     [](Options& o, std::string_view value) -> Set {
       o.port_file = value;
       return {};
     }},
    {"--by", "WHAT", "usage", "key (the default), model, account or day",
     [](Options& o, std::string_view value) -> Set {
       auto by = ParseLedgerBy(value);
       if (!by) return std::unexpected("--by " + by.error());
       o.by = *by;
       return {};
     }},
    {"--json", "", "explain usage accounts/list accounts/show accounts/set alerts keys",
     "for programs",
     [](Options& o, std::string_view) -> Set {
       o.json = true;
       return {};
     }},
    {"--data", "FOLDER", "explain usage health reload diff accounts alerts keys rekey",
     "the relay's data folder, instead of looking it up in relay.yaml",
     [](Options& o, std::string_view value) -> Set {
       o.data = value;
       return {};
     }},
    {"--cluster", "NAME",
     "accounts/login accounts/add accounts/show accounts/set accounts/test accounts/pause "
     "accounts/resume accounts/reset accounts/remove",
     "the account's cluster; or write NAME as cluster/name",
     [](Options& o, std::string_view value) -> Set {
       o.cluster = value;
       return {};
     }},
    {"--setup-token", "", "accounts/login", "claude: a token for a year that is not refreshed",
     [](Options& o, std::string_view) -> Set {
       o.setup_token = true;
       return {};
     }},
    {"--accept-terms", "", "accounts/login", "says yes to the vendor's terms, for scripts",
     [](Options& o, std::string_view) -> Set {
       o.accept_terms = true;
       return {};
     }},
    {"--project", "NAME", "accounts/login", "gemini: a Google Cloud project of your own",
     [](Options& o, std::string_view value) -> Set {
       o.project = value;
       return {};
     }},
    {"--key", "NAME", "explain", "the name of the relay key that would be sent",
     [](Options& o, std::string_view value) -> Set {
       o.key = value;
       return {};
     }},
    {"--header", "TEXT", "explain", "a header of the request, 'name: value'; may stand repeatedly",
     [](Options& o, std::string_view value) -> Set {
       o.headers.emplace_back(value);
       return {};
     }},
    {"--body", "FILE", "explain", "has the request's body; - for standard input",
     [](Options& o, std::string_view value) -> Set {
       o.body = value;
       return {};
     }},
    {"--offline", "", "explain", "by relay.yaml alone, also while a relay runs",
     [](Options& o, std::string_view) -> Set {
       o.offline = true;
       return {};
     }},
    {"--key-env", "VARIABLE", "explain accounts/add", "takes the key from this variable",
     [](Options& o, std::string_view value) -> Set {
       o.key_env = value;
       return {};
     }},
    {"--proxy-env", "VARIABLE", "accounts/login accounts/add accounts/set",
     "takes the proxy from this variable, as one with a password must be",
     [](Options& o, std::string_view value) -> Set {
       o.proxy_env = value;
       return {};
     }},
    {"--model", "NAME", "accounts/test", "instead of one that the vendor lists",
     [](Options& o, std::string_view value) -> Set {
       o.model = value;
       return {};
     }},
    {"--deleted", "", "keys/list", "those that were deleted, too",
     [](Options& o, std::string_view) -> Set {
       o.deleted = true;
       return {};
     }},
    {"--purge", "", "keys/delete", "for good: what it used stays in the books under its name",
     [](Options& o, std::string_view) -> Set {
       o.purge = true;
       return {};
     }},
    {"--overlap", "TIME", "keys/rotate",
     "how long the old one stays valid, like 24h; without it not",
     [](Options& o, std::string_view value) -> Set {
       auto overlap = ParseDuration(value);
       if (!overlap) return std::unexpected("--overlap must be like 30m, 24h or 7d");
       o.overlap = *overlap;
       return {};
     }},
    {"--passphrase-file", "FILE", "state", "holds the passphrase, instead of RELAY_PASSPHRASE",
     [](Options& o, std::string_view value) -> Set {
       o.passphrase_file = value;
       return {};
     }},
    {"--replace", "", "state/import", "what the store holds goes, all of it",
     [](Options& o, std::string_view) -> Set {
       o.replace = true;
       return {};
     }},
    {"--force", "", "state/import", "though a relay may be running on that store elsewhere",
     [](Options& o, std::string_view) -> Set {
       o.force = true;
       return {};
     }},
    {"--url", "URL", "health", "a relay elsewhere: http://127.0.0.1:3000",
     [](Options& o, std::string_view value) -> Set {
       o.url = value;
       return {};
     }},
};

}  // namespace

std::string_view CommandSpec::action() const {
  size_t space = name.find(' ');
  return space == std::string_view::npos ? std::string_view() : name.substr(space + 1);
}

bool OptionSpec::IsFor(const CommandSpec& command) const {
  std::string_view rest = commands;
  while (!rest.empty()) {
    size_t end = std::min(rest.find(' '), rest.size());
    std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    size_t slash = word.find('/');
    if (word.substr(0, slash) != command.group()) continue;
    if (slash == std::string_view::npos || word.substr(slash + 1) == command.action()) return true;
  }
  return false;
}

std::span<const CommandSpec> Commands() {
  return kCommands;
}

std::span<const CommandGroup> CommandGroups() {
  return kGroups;
}

std::span<const OptionSpec> AllOptions() {
  return kOptions;
}

std::span<const std::string_view> UnbuiltCommands() {
  return kUnbuilt;
}

}  // namespace relay
