# The benchmark's own addon: bench/native/build/Release/stream_floor.node. Nothing of it is in the published package.
{
  "targets": [
    {
      "target_name": "stream_floor",
      "sources": ["addon.cpp", "streams.cpp"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NDEBUG"],
      "cflags_cc/": [["exclude", "^-std=gnu"]],
      # Built where it runs, so for exactly this CPU: a floor that leaves instructions unused is no floor.
      "cflags_cc": ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-pthread", "-Wall", "-Wextra"],
      "conditions": [["OS=='linux'", {"ldflags": ["-pthread"]}]],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "OTHER_CPLUSPLUSFLAGS": ["-O3", "-march=native", "-fno-math-errno"]
      }
    }
  ]
}
