#include "catalogue.h"

#include <atomic>
#include <cctype>
#include <utility>

#include "optimizer.h"
#include "refusal.h"

namespace fo::c {
namespace {

// Never destroyed: other addons may call until the process ends.
std::atomic<const Catalogue*> the_catalogue{nullptr};

bool same_word(const std::string& a, const char* b) {
  size_t i = 0;
  for (; i < a.size() && b[i] != '\0'; ++i)
    if (std::tolower(static_cast<unsigned char>(a[i])) != std::tolower(static_cast<unsigned char>(b[i])))
      return false;
  return i == a.size() && b[i] == '\0';
}

}  // namespace

void set_catalogue(Catalogue catalogue) {
  const Catalogue* expected = nullptr;
  const auto* const made = new Catalogue(std::move(catalogue));
  if (!the_catalogue.compare_exchange_strong(expected, made)) delete made;
}

const Catalogue& catalogue() { return *the_catalogue.load(); }

const Entry& entry_of(const char* name) {
  require(name != nullptr, "Expected the name of an optimizer but received NULL.");
  std::string known;
  for (const Entry& entry : catalogue().entries) {
    if (same_word(entry.name, name)) return entry;
    known += (known.empty() ? "" : ", ") + entry.name;
  }
  throw Refusal("Expected an optimizer to be one of " + known + " but received \"" + name + "\".");
}

}  // namespace fo::c
