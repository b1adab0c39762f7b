{
  "targets": [
    {
      "target_name": "line",
      "sources": ["line.c"],
      # All that it takes of fused-optim is a header: there is nothing to link.
      "include_dirs": ["<!(node -p \"require('fused-optim').include\")"],
      "cflags_c": ["-std=c99", "-Wall", "-Wextra"]
    }
  ]
}
