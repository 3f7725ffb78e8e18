// SPDX-License-Identifier: MIT
//
// What the lints know of C++: comments and literals blanked out, line numbers, include lines.

const isCpp = (path) => /\.(cc|h)$/.test(path);

/** The C++ files of a tree, as [path, text]. */
export function cppFiles(tree) {
  return [...tree].filter(([path]) => isCpp(path));
}

/** `text` with comments, strings and characters turned into spaces; newlines stay, so offsets do too. */
export function blank(text) {
  const blanked = (part) => part.replace(/[^\n]/g, ' ');
  const tokens = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|R"([^(\s]*)\([\s\S]*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'/g;
  return text.replace(tokens, (part) => (part.startsWith('/') ? blanked(part) : `"${blanked(part).slice(2)}"`));
}

/** The line, from 1, of an offset. */
export function lineAt(text, offset) {
  return text.slice(0, offset).split('\n').length;
}

/** Every include of a file: {line, path, system}. */
export function includes(text) {
  return text.split('\n').flatMap((content, index) => {
    const found = content.match(/^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)/);
    return found ? [{line: index + 1, path: found[1] ?? found[2], system: found[2] !== undefined}] : [];
  });
}
