'use strict';

// Builds the CPU addon as it is shipped: with one compiler, from native/sources.json, for any Linux of the last years.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Build } = require('../../test/native/build');
const { core, defines, flags, isas, kernels, node: nodeSources, prebuilt, root } = require('../sources');
const { compilerOf, tool } = require('./targets');

const headers = ['node-addon-api', 'node-api-headers'];
const nodeDefines = [
  ...defines.node,
  'NODE_GYP_MODULE_NAME=fused_optim',
  'BUILDING_NODE_EXTENSION',
  'NDEBUG',
];

const nodeFlags = () => [
  // Relative, so that no path of this machine gets into a binary.
  ...headers.flatMap((name) => [
    '-isystem',
    path.relative(root, path.resolve(root, require(name).include_dir)),
  ]),
  ...nodeDefines.map((define) => `-D${define}`),
];

function run([command, ...args]) {
  const { status, error, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

/** Builds the addon of a target whose compiler is here; returns its path. */
async function buildBinary(target) {
  const compiler = compilerOf(target);
  const build = new Build(compiler, path.join(root, 'build-package', target.name), ['-Inative', '-fPIC']);
  const compileAll = (files, suffix, own) =>
    files.map((file) =>
      build.object(path.parse(file).name + suffix, file, [...flags.common, '-DNDEBUG', ...own]),
    );
  const objects = [
    ...compileAll(core, '', []),
    ...compileAll(nodeSources, '', nodeFlags()),
    ...isas(target.arch).flatMap((isa) => compileAll(kernels, `_${isa}`, [...flags[isa], `-DFO_ISA=${isa}`])),
    ...(target.glibc ? compileAll(prebuilt, '', []) : []),
  ];
  await build.compile();
  const link = ['-shared', '-pthread', '-Wl,--gc-sections', '-Wl,--exclude-libs,ALL', '-Wl,-z,relro,-z,now'];
  // libstdc++ may be part of any program that GCC compiled (GCC Runtime Library Exception). libgcc_s stays outside with
  // glibc: Node needs it itself, and a static one would ask for the glibc that it was made with.
  link.push('-static-libstdc++', ...(target.glibc ? flags.oldGlibc : ['-static-libgcc']), '-ldl');
  const linked = await build.link('fused_optim.node', objects, link);
  const file = path.join(root, 'prebuilds', target.name, 'fused_optim.node');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  run([tool(compiler, 'strip'), '--strip-all', '-o', file, linked]);
  fs.chmodSync(file, 0o755);
  return file;
}

module.exports = { buildBinary };
