#include "library_search.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace fo::cuda {
namespace {

namespace fs = std::filesystem;

// Entries of a directory whose names begin so, the last in order first; none where it cannot be read.
std::vector<fs::path> entries(const fs::path& directory, const std::string& prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.path().filename().string().rfind(prefix, 0) == 0) found.push_back(entry.path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

void add_toolkits(const Environment& environment, std::vector<fs::path>* directories) {
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const std::string root = environment(variable);
    if (!root.empty()) directories->push_back(fs::path(root) / "lib64");
  }
  for (const fs::path& root : entries("/usr/local", "cuda")) directories->push_back(root / "lib64");
}

// The directories that NVIDIA's wheels put it into, of the packages in <prefix>/lib/python3.x.
void add_wheels(const Wanted& wanted, const fs::path& prefix, std::vector<fs::path>* directories) {
  for (const char* lib : {"lib", "lib64"})
    for (const fs::path& python : entries(prefix / lib, "python3"))
      for (const char* packages : {"site-packages", "dist-packages"})
        for (const std::string& wheel : wanted.wheels) directories->push_back(python / packages / wheel);
}

void add_pythons(const Wanted& wanted, const Environment& environment, std::vector<fs::path>* directories) {
  std::vector<fs::path> prefixes;
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string prefix = environment(variable);
    if (prefix.empty()) continue;
    directories->push_back(fs::path(prefix) / "lib");  // conda has its own packages there
    prefixes.push_back(prefix);
  }
  std::stringstream path(environment("PATH"));
  for (std::string directory; std::getline(path, directory, ':');) {
    std::error_code error;
    const fs::path python = fs::path(directory) / "python3";
    if (directory.empty() || !fs::exists(python, error)) continue;
    // Where it lies, and, of a virtual environment's link, where it leads.
    prefixes.push_back(fs::path(directory).parent_path());
    const fs::path real = fs::canonical(python, error);
    if (!error) prefixes.push_back(real.parent_path().parent_path());
    break;
  }
  prefixes.push_back("/usr/local");
  const std::string home = environment("HOME");
  if (!home.empty()) prefixes.push_back(fs::path(home) / ".local");
  for (const fs::path& prefix : prefixes) add_wheels(wanted, prefix, directories);
}

}  // namespace

std::vector<std::string> candidates(const Wanted& wanted, const Environment& environment,
                                    std::vector<std::string>* searched) {
  const std::string chosen = environment(wanted.variable);
  if (!chosen.empty()) return {chosen};
  std::vector<std::string> all = wanted.names;
  std::vector<fs::path> directories;
  add_toolkits(environment, &directories);
  add_pythons(wanted, environment, &directories);
  std::vector<fs::path> seen;
  for (const fs::path& directory : directories) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) continue;
    const fs::path real = fs::canonical(directory, error);  // /usr/local/cuda is a link to a version
    if (std::find(seen.begin(), seen.end(), real) != seen.end()) continue;
    seen.push_back(real);
    bool any = false;
    for (const std::string& name : wanted.names) {
      if (!fs::exists(directory / name, error)) continue;
      all.push_back((directory / name).string());
      any = true;
    }
    if (!any) searched->push_back(directory.string());
  }
  return all;
}

}  // namespace fo::cuda
