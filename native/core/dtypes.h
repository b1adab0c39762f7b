#pragma once
// The dtype rows a kernel exists for: X(row, parameter, gradient, state), each a type V can load and store.
#define FO_DTYPE_ROWS(X) X(f32, float, float, float)

namespace fo {

#define FO_DTYPE_ENUM(name, P, G, S) name,
enum DtypeRow { FO_DTYPE_ROWS(FO_DTYPE_ENUM) kDtypeRows };
#undef FO_DTYPE_ENUM

}  // namespace fo
