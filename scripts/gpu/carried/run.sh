#!/bin/sh
# Unpacks what lies beside this file and proves and measures the CUDA backend of fused-optim with it.
#   sh run.sh [all | test | bench | build] [options of that program]
#
# all: test, then bench. test: npm run test:gpu. bench: npm run bench:gpu. build: the CUDA addon for this GPU, by nvcc
# and cmake, instead of the one that was carried here. Results go to $RESULTS, by default ./results.
# Needs a GPU's driver, and Python 3 or tar with xz to unpack. cuBLAS, torch, compute-sanitizer and nvcc are used
# where they are. Nothing outside this folder is written.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$here/work
results=${RESULTS:-$here/results}
what=${1:-all}
[ $# -gt 0 ] && shift

if [ ! -e "$work/unpacked" ]; then
  mkdir -p "$work/bin"
  if command -v python3 > /dev/null; then
    python3 "$here/unpack.py" "$here" "$work"
  else
    for archive in tree modules; do xz -dc "$here/$archive.tar.xz" | tar -xf - -C "$work"; done
    [ ! -e "$here/node.xz" ] || xz -dc "$here/node.xz" > "$work/bin/node"
  fi
  [ ! -e "$work/bin/node" ] || chmod 755 "$work/bin/node"
  : > "$work/unpacked"
fi
PATH=$work/bin:$PATH
export PATH
mkdir -p "$results"
results=$(cd "$results" && pwd)
cd "$work"

# Python brings cuBLAS where the system has none.
if [ -z "${FUSED_OPTIM_CUBLAS:-}" ] && command -v python3 > /dev/null; then
  FUSED_OPTIM_CUBLAS=$(python3 find_cublas.py)
  if [ -n "$FUSED_OPTIM_CUBLAS" ]; then export FUSED_OPTIM_CUBLAS; else unset FUSED_OPTIM_CUBLAS; fi
fi

prove() { node scripts/test-gpu.js --out "$results/gpu-tests.json" "$@"; }
measure() { node bench/gpu/main.js --out "$results/gpu-bench.json" "$@"; }

case $what in
  test) prove "$@" ;;
  bench) measure "$@" ;;
  all)
    status=0
    prove "$@" || status=$?
    measure "$@" || status=$?
    exit $status
    ;;
  build)
    cmake -S . -B build-cuda -DCMAKE_BUILD_TYPE=Release -DFO_CUDA=ON -DFO_CUDA_ARCHITECTURES="${1:-native}"
    cmake --build build-cuda --target fused_optim_cuda --parallel
    ;;
  *)
    echo "Expected all, test, bench or build but received \"$what\"." >&2
    exit 2
    ;;
esac
