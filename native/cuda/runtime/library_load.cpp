// Loading what was found.
#include <dlfcn.h>

#include <cstdlib>

#include "library_search.h"

namespace fo::cuda {
namespace {

std::string joined(const std::vector<std::string>& all, const char* between) {
  std::string text;
  for (const std::string& one : all) text += (text.empty() ? "" : between) + one;
  return text;
}

}  // namespace

std::string from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? value : "";
}

bool load_first(const Wanted& wanted, const Environment& environment, const char* library,
                const std::function<std::string(const std::string&)>& load, std::string* reason) {
  std::vector<std::string> searched, tried;
  for (const std::string& path : candidates(wanted, environment, &searched)) {
    const std::string error = load(path);
    if (error.empty()) return true;
    tried.push_back(error);
  }
  *reason = std::string("no ") + library + " could be loaded (" + wanted.variable +
            " names one); tried: " + joined(tried, "; ");
  if (!searched.empty())
    *reason += "; there is no " + joined(wanted.names, " or ") + " in " + joined(searched, ", ");
  return false;
}

void* Symbols::open(const std::string& path, std::string* error) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library) return library;
  const char* const reason = dlerror();
  *error = reason ? reason : "dlopen gave no reason";
  return nullptr;
}

void* Symbols::find(const char* name) { return dlsym(library_, name); }
void Symbols::close() { dlclose(library_); }

std::string Symbols::path_of(void* function, const std::string& otherwise) {
  Dl_info info;
  return dladdr(function, &info) != 0 && info.dli_fname ? info.dli_fname : otherwise;
}

}  // namespace fo::cuda
