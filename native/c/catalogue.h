#pragma once
// What lib/ says of the optimizers to those who call from C: their names, options, defaults and ranges. They
// are written down in lib/ alone; nativeApi() hands them over before it hands out the table of functions.
#include <string>
#include <vector>

#include "../core/formats.h"
#include "../core/rule_table.h"

namespace fo::c {

struct OptionInfo {
  std::string name, camel;  // snake_case, and as users of JavaScript say it
  std::string expected;     // "a finite number >= 0"
  double fallback;          // its default
  double least, most;
  bool open_least, open_most, whole;
  bool follows_lr;  // its default is the group's lr
  bool is_fixed;    // the class has it so; nobody sets it
};

struct Entry {
  std::string name;
  const RuleInfo* rule;
  std::vector<OptionInfo> options;  // one for each hyper-parameter of the rule, in its order
};

struct Catalogue {
  std::vector<Entry> entries;
  std::string isa;
  int threads;
  Rounding rounding;  // of 16-bit parameters
};

// The first one given stays, whichever thread of JavaScript it came from.
void set_catalogue(Catalogue catalogue);
const Catalogue& catalogue();

}  // namespace fo::c
