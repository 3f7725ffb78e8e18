// SPDX-License-Identifier: MIT
//
// The command line clients, run headless in a home of their own with nothing inherited.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {run} from './process.mjs';

const kModules = fileURLToPath(new URL('../node_modules', import.meta.url));
const kClaude = path.join(kModules, '.bin', 'claude');
const kGemini = path.join(kModules, '@google', 'gemini-cli', 'bundle', 'gemini.js');

const kGeminiSettings = {
  privacy: {usageStatisticsEnabled: false},
  telemetry: {enabled: false},
  general: {enableAutoUpdate: false},
};

async function inFreshHome(work) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-home-'));
  const folder = path.join(home, 'work');
  fs.mkdirSync(folder);
  try {
    return {home, ...(await work(home, folder))};
  } finally {
    fs.rmSync(home, {recursive: true, force: true, maxRetries: 5});
  }
}

/** The program itself: the wrapper in .bin is made by a script of the package that is not run here. */
function claudeProgram() {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  for (const name of [`claude-code-linux-${arch}`, `claude-code-linux-${arch}-musl`]) {
    const program = path.join(kModules, '@anthropic-ai', name, 'claude');
    if (fs.existsSync(program)) return program;
  }
  return kClaude;
}

/** base: its ANTHROPIC_BASE_URL. Answers what run() does, `home`, and `events`: its output by line. */
export function runClaude({base, args, env = {}, timeoutMs = 60_000}) {
  return inFreshHome(async (home, cwd) => {
    const ended = await run(claudeProgram(), args, {cwd, timeoutMs, env: {
      PATH: process.env.PATH, HOME: home, TERM: 'dumb', TZ: 'UTC', ANTHROPIC_BASE_URL: base,
      DISABLE_AUTOUPDATER: '1', ...env}});
    return {...ended, events: jsonLines(ended.stdout)};
  });
}

function jsonLines(text) {
  return text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

/** mode: 'code-assist' or 'api-key'. Answers what run() does, `home`, and `json`: the object it printed. */
export function runGemini({mode, base, credential, args, env = {}, timeoutMs = 60_000}) {
  return inFreshHome(async (home, cwd) => {
    const settings = mode === 'api-key'
      ? {...kGeminiSettings, security: {auth: {selectedType: 'gemini-api-key'}}} : kGeminiSettings;
    fs.mkdirSync(path.join(home, '.gemini'));
    fs.writeFileSync(path.join(home, '.gemini', 'settings.json'), JSON.stringify(settings));
    const way = mode === 'api-key'
      ? {GEMINI_API_KEY: credential, GOOGLE_GEMINI_BASE_URL: base}
      : {CODE_ASSIST_ENDPOINT: base, GOOGLE_CLOUD_ACCESS_TOKEN: credential, GOOGLE_GENAI_USE_GCA: 'true'};
    const ended = await run(process.execPath, [kGemini, ...args], {cwd, timeoutMs, env: {
      PATH: process.env.PATH, HOME: home, TERM: 'xterm-256color', NO_COLOR: '1', TZ: 'UTC',
      GEMINI_CLI_TRUST_WORKSPACE: 'true', GEMINI_CLI_NO_RELAUNCH: 'true', ...way, ...env}});
    const begin = ended.stdout.indexOf('{\n');
    let json = null;
    try {
      json = begin < 0 ? null : JSON.parse(ended.stdout.slice(begin));
    } catch {
      // The test that needs it shows stdout.
    }
    return {...ended, json};
  });
}
