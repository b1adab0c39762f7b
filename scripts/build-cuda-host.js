'use strict';

// Builds the CUDA addon without CUDA: its kernels as host code, on the stand-in for a GPU.
//   node scripts/build-cuda-host.js [--sanitize address,undefined | --sanitize thread]
// It prints the path of the addon: build-cuda-host/fused_optim_cuda_host.node, or with sanitizers
// build-cuda-host-address-undefined/... FUSED_OPTIM_CUDA_ADDON=<path> makes the package load it.

const path = require('node:path');
const { parseArgs } = require('node:util');
const { Build, capture, findCompiler, sanitizerFlags, withoutLocals } = require('../test/native/build');
const { cuda, defines, flags, root } = require('./sources');

/** A build of host code; everything is kept in build-cuda-host*. */
function hostBuild(sanitizers) {
  const compiler = findCompiler();
  if (!compiler) throw new Error('There is no C++ compiler: install g++ or clang++, or set CXX.');
  const directory = path.join(root, ['build-cuda-host', ...sanitizers].join('-'));
  const build = new Build(compiler, directory, ['-fPIC', '-pthread', ...sanitizerFlags(sanitizers)]);
  // Sanitizers' reports should be readable, and their compilation bearable.
  build.common = [...flags.common, ...(sanitizers.length > 0 ? ['-O1'] : []), '-DFO_STAND_IN'];
  // Kernels compute with fma, which is a call where the compiler may not assume the instruction.
  const native = capture([...compiler, '-march=native', '-E', '-x', 'c++', '/dev/null']).ok;
  build.kernels = [
    ...build.common,
    // -O3 takes twice as long to compile, which the little work of tests does not earn back.
    '-O1',
    ...(native ? ['-march=native'] : []),
    ...(sanitizers.includes('address') ? withoutLocals(compiler) : []),
    '-Wno-maybe-uninitialized',
    '-x',
    'c++',
  ];
  return build;
}

const objectName = (file) =>
  file
    .replace(/^native\//, '')
    .replace(/\.\w+$/, '')
    .replaceAll('/', '_');

/** Plans the objects of the backend, all but those that need Node. */
function coreObjects(build) {
  return [
    ...[...cuda.core, ...cuda.host].map((file) => build.object(objectName(file), file, build.common)),
    ...cuda.kernels.map((file) => build.object(`${objectName(file)}_cu`, file, build.kernels)),
  ];
}

/** Flags of a file that includes Node's headers. */
function nodeFlags(build) {
  const include = [require('node-addon-api').include_dir, require('node-api-headers').include_dir];
  const nodeDefines = [...defines.node, 'NODE_GYP_MODULE_NAME=fused_optim_cuda', 'BUILDING_NODE_EXTENSION'];
  // Objects of Node, such as V8's shared pointers, come without the type information that this check reads.
  const undefinedFlags = build.flags.some((flag) => /^-fsanitize=.*undefined/.test(flag))
    ? ['-fno-sanitize=vptr']
    : [];
  return [
    ...build.common,
    ...undefinedFlags,
    ...include.flatMap((directory) => ['-isystem', path.resolve(root, directory)]),
    ...nodeDefines.map((define) => `-D${define}`),
  ];
}

async function buildAddon(build) {
  const files = [...cuda.shared, ...cuda.node, ...cuda.hostNode];
  const objects = [
    ...coreObjects(build),
    ...files.map((file) => build.object(`${objectName(file)}_addon`, file, nodeFlags(build))),
  ];
  await build.compile();
  const strip = build.flags.includes('-g1') ? [] : ['-Wl,--exclude-libs,ALL'];
  return build.link('fused_optim_cuda_host.node', objects, ['-shared', '-Wl,-z,nodelete', ...strip, '-ldl']);
}

if (require.main === module) {
  const { values } = parseArgs({ options: { sanitize: { type: 'string', default: '' } } });
  Promise.resolve()
    .then(() => buildAddon(hostBuild(values.sanitize.split(',').filter(Boolean))))
    .then((addon) => console.log(path.relative(root, addon)))
    .catch((error) => {
      console.error(error.message);
      process.exitCode = 1;
    });
}

module.exports = { buildAddon, coreObjects, hostBuild, objectName };
