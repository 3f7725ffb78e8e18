# SPDX-License-Identifier: MIT
# Counts what the runners of one log said: GoogleTest, node's runner (spec and TAP), and our own
# "N passed, N failed, N skipped". Prints "PASSED FAILED SKIPPED", then each skipped test's name.

function skip_name(name) {
  sub(/ *[(][0-9.]+ ?ms[)]/, "", name)
  sub(/ # .*$/, "", name)
  names[++named] = name
}

# GoogleTest: the totals, and under "listed below" the names.
/^\[  PASSED  \] [0-9]+ tests?\./ { passed += $4 }
/^\[  FAILED  \] [0-9]+ tests?, listed below:/ { failed += $4 }
/^\[  SKIPPED \] [0-9]+ tests?, listed below:/ { skipped += $4; listing = 1; next }
listing && /^\[  SKIPPED \] / { skip_name($4); next }
/^\[  FAILED  \]/ { listing = 0 }
/YOU HAVE [0-9]+ DISABLED TESTS?/ {
  for (i = 1; i <= NF; i++) if ($i == "HAVE") { disabled = $(i + 1) }
  skipped += disabled
  while (disabled-- > 0) skip_name("a disabled test")
}

# node --test: the totals, and the marked lines.
/^(#|ℹ) pass [0-9]+$/ { passed += $3 }
/^(#|ℹ) (fail|cancelled) [0-9]+$/ { failed += $3 }
/^(#|ℹ) (skipped|todo) [0-9]+$/ { skipped += $3 }
/^ *﹣ / { line = $0; sub(/^ *﹣ /, "", line); skip_name(line) }
/^ *(not )?ok [0-9]+ - .* # (SKIP|TOD[O])/ { line = $0; sub(/^ *(not )?ok [0-9]+ - /, "", line); skip_name(line) }

# Ours.
/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $1; failed += $3; skipped += $5 }
/^SKIP: / { line = $0; sub(/^SKIP: /, "", line); skip_name(line) }

END {
  print passed + 0, failed + 0, skipped + 0
  for (i = 1; i <= named; i++) print names[i]
}
