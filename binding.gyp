# node-gyp's build of the CPU addon: build/Release/fused_optim.node.
# Sources and flags come from native/sources.json, which CMakeLists.txt reads too.
{
  "target_defaults": {
    "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
    "defines": ["<!@(node scripts/sources.js defines.node)"],
    # Node's own defaults: exceptions off (the core turns std::bad_alloc into an error message) and a C++
    # standard that changes with the Node version.
    "cflags_cc/": [["exclude", "^-fno-(exceptions|rtti)$"], ["exclude", "^-std=gnu"]],
    "cflags_cc": ["<!@(node scripts/sources.js flags.common)"],
    "configurations": {"Release": {"defines": ["NDEBUG"]}},
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
      "OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.js flags.common)"]
    }
  },
  "targets": [
    {
      "target_name": "kernels_scalar",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js kernels)"],
      "defines": ["FO_ISA=scalar"],
      "cflags_cc": ["<!@(node scripts/sources.js flags.scalar)"],
      "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.js flags.scalar)"]}
    },
    {
      "target_name": "fused_optim",
      "sources": ["<!@(node scripts/sources.js core)", "<!@(node scripts/sources.js node)"],
      "dependencies": ["kernels_scalar"],
      "conditions": [
        ["target_arch=='x64'", {"dependencies": ["kernels_avx2", "kernels_avx512"]}],
        ["OS=='linux'", {
          "ldflags": ["-pthread", "-s", "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL"],
          "libraries": ["-ldl"]
        }],
        ["OS=='mac'", {"xcode_settings": {"OTHER_LDFLAGS": ["-Wl,-dead_strip"]}}]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.js kernels)"],
          "defines": ["FO_ISA=avx2"],
          "cflags_cc": ["<!@(node scripts/sources.js flags.avx2)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.js flags.avx2)"]}
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.js kernels)"],
          "defines": ["FO_ISA=avx512"],
          "cflags_cc": ["<!@(node scripts/sources.js flags.avx512)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.js flags.avx512)"]}
        }
      ]
    }]
  ]
}
