// SPDX-License-Identifier: MIT
//
// Waiting for what comes by itself, with a bound.

import assert from 'node:assert/strict';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What `test` gives once it gives something, asked each `pace` milliseconds. Fails after `ms`, saying `what`, which may be a function. */
export async function until(test, what, ms = 15_000, pace = 20) {
  const end = performance.now() + ms;
  for (let last; ; await sleep(pace)) {
    last = await test();
    if (last) return last;
    if (performance.now() > end) assert.fail(`not within ${ms} ms: ${typeof what === 'function' ? what() : what}`);
  }
}
