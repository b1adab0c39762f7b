#pragma once
// The dtype rows a kernel exists for: X(row, vector type, type of its sums). Parameter, gradient and states
// are of the vector's own numbers; what is stored otherwise is converted on its way (formats.h, staging.h).
#define FO_DTYPE_ROWS(X) X(f32, V, Sum) X(f64, VD, SumD)

namespace fo {

#define FO_DTYPE_ENUM(name, V, Sum) name,
enum DtypeRow { FO_DTYPE_ROWS(FO_DTYPE_ENUM) kDtypeRows };
#undef FO_DTYPE_ENUM

}  // namespace fo
