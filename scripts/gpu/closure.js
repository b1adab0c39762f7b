'use strict';

// Which installed packages some packages need, by walking what their package.json files say.

const fs = require('node:fs');
const path = require('node:path');

/** The directory that `name` means for a package in `from`: the nearest node_modules that has it. */
function locate(name, from) {
  for (let directory = from; ; directory = path.dirname(directory)) {
    const candidate = path.join(directory, 'node_modules', name);
    if (fs.existsSync(path.join(candidate, 'package.json'))) return candidate;
    if (directory === path.dirname(directory)) return undefined;
  }
}

/** Directories of the packages named and of all that they depend on, from `root`. What is optional may be missing. */
function closure(names, root) {
  const found = new Set();
  const visit = (name, from, optional) => {
    const directory = locate(name, from);
    if (!directory) {
      if (optional) return;
      throw new Error(
        `Expected the package ${name} to be installed for ${path.relative(root, from) || 'the tree'}.`,
      );
    }
    if (found.has(directory)) return;
    found.add(directory);
    const manifest = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
    for (const each of Object.keys(manifest.dependencies ?? {})) visit(each, directory, false);
    for (const each of Object.keys(manifest.optionalDependencies ?? {})) visit(each, directory, true);
  };
  for (const name of names) visit(name, root, false);
  // What lies inside another package comes with it.
  const inside = (directory) =>
    directory.slice(0, directory.lastIndexOf(`${path.sep}node_modules${path.sep}`));
  return [...found].filter((directory) => !found.has(inside(directory)));
}

module.exports = { closure };
